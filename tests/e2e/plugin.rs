//! A plug-in crate outside the workspace, with its own xtask.

use crate::support::{Done, SMALL, done};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs cargo in a crate outside the workspace, with the workspace's versions and a target folder that is reused.
fn cargo(folder: &Path, args: &[&str]) -> Done {
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(folder).env("CARGO_TARGET_DIR", root().join("target/plugin"));
    done(command.output().unwrap())
}

/// The criterion appears in `plugins`, in `--help`, and works in a recipe.
fn check(folder: &Path, criterion: &str) {
    let listed = cargo(folder, &["run", "--quiet", "--", "plugins"]);
    assert!(listed.code == 0 && listed.out.contains(criterion), "{}{}", listed.out, listed.err);
    let help = cargo(folder, &["run", "--quiet", "--", "prune", "--help"]);
    assert!(help.out.contains(criterion), "{}", help.out);
    let work = tempfile::tempdir().unwrap();
    let recipe = work.path().join("recipe.toml");
    std::fs::write(&recipe, SMALL.replace("\"magnitude\"", &format!("\"{criterion}\""))).unwrap();
    let out = work.path().join("out");
    let ran = cargo(
        folder,
        &["run", "--quiet", "--", "run", recipe.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["pruning"][0]["criterion"], criterion);
}

/// A layer appears in `plugins` and in recipes, and is pruned, compacted, stored and proven like a built-in one.
fn check_layer(folder: &Path) {
    let listed = cargo(folder, &["run", "--quiet", "--", "plugins"]);
    assert!(listed.code == 0 && listed.out.contains("weight_norm"), "{}{}", listed.out, listed.err);
    let work = tempfile::tempdir().unwrap();
    let (recipe, out) = (work.path().join("recipe.toml"), work.path().join("out"));
    let spectral = r#"{ kind = "spectral", units = 40, activation = "relu" },"#;
    let own = r#"{ kind = "weight_norm", units = 40 }, { kind = "activation", activation = "relu" },"#;
    assert!(SMALL.contains(spectral));
    std::fs::write(&recipe, SMALL.replace(spectral, own)).unwrap();
    let args = ["run", "--quiet", "--", "run", recipe.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"];
    let ran = cargo(folder, &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = ran.json();
    assert_eq!(report["verdict"]["equal"]["ok"], true);
    let units = report["stages"].as_array().unwrap().iter().find(|s| s["name"] == "compact").unwrap()["units"].clone();
    assert!(units[1].as_u64().unwrap() < 40, "units of the layer went: {units}");
    let dense = cargo(folder, &["run", "--quiet", "--", "inspect", out.join("dense.spectral").to_str().unwrap()]);
    assert!(dense.code == 0 && dense.out.contains("weight_norm"), "{}{}", dense.out, dense.err);
}

/// All in one test, because they share a target folder.
#[test]
fn a_criterion_and_a_layer_outside_the_workspace_are_full_citizens() {
    check(&root().join("examples/plugin"), "energy");
    check_layer(&root().join("examples/layer"));

    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("least-used");
    let written = crate::support::ok(folder.path(), &["new", "pruner", "least-used"]);
    assert!(written.out.contains("cargo xtask plugins"), "{}", written.out);
    check(&made, "least-used");
    let tested = cargo(&made, &["test", "--quiet"]);
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.err);
}
