//! Files and paths that could break things, on purpose or by accident: nothing is destroyed, and the answer is one
//! sentence.

use crate::support::{files, folder, ok, xtask};
use std::path::Path;
use std::time::{Duration, Instant};

/// Models of a few hundred bytes that ask for terabytes.
#[test]
fn models_that_ask_for_more_than_they_are_get_one_sentence() {
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spectral-io/tests/hostile");
    let folder = folder(&[]);
    let at = folder.path();
    let mut problems = Vec::new();
    for (file, words) in [
        ("wide50", "SPECTRAL_MAX_SAMPLE"),
        ("img", "SPECTRAL_MAX_SAMPLE"),
        ("cat", "SPECTRAL_MAX_SAMPLE"),
        ("name-with-line-break", "node `a\\nb` is damaged"),
        ("parameters-of-one-name", "another parameter has its name"),
        ("shape-overflow", "is damaged"),
    ] {
        let model = hostile.join(format!("{file}.spectral"));
        let model = model.to_str().unwrap();
        for args in [
            &["compact", model, "--out", "x.spectral"][..],
            &["sparsify", model, "--out", "x.spectral"],
            &["prove", model, model],
            &["eval", model],
            &["prune", model, "--criterion", "magnitude", "--amount", "0.5", "--out", "x.spectral"],
        ] {
            let started = Instant::now();
            let done = xtask(at, args);
            let sentence = done.err.trim();
            let good = done.code == 2 && sentence.lines().count() == 1 && sentence.contains(words);
            if !good || started.elapsed() > Duration::from_secs(10) {
                problems.push(format!("{args:?}: {} {}{}", done.code, done.out, done.err));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(files(at), ["small.toml"]);
}

#[cfg(unix)]
#[test]
fn what_out_leads_to_stays_what_it_is() {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder(&[("epochs = 3", "epochs = 0")]);
    let at = folder.path();
    let train = |out: &str| ok(at, &["train", "small.toml", "--out", out]);
    train("/dev/null");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    train("dense.spectral");
    fs::set_permissions(at.join("dense.spectral"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("dense.spectral", at.join("link.spectral")).unwrap();
    train("link.spectral");
    assert!(fs::symlink_metadata(at.join("link.spectral")).unwrap().is_symlink());
    assert_eq!(fs::metadata(at.join("dense.spectral")).unwrap().permissions().mode() & 0o777, 0o640);
    let refused = xtask(at, &["train", "small.toml", "--out", "missing/dense.spectral"]);
    assert_eq!((refused.code, refused.err.trim().lines().count()), (2, 1), "{}", refused.err);
    assert_eq!(files(at), ["dense.spectral", "link.spectral", "small.toml"]);
}

/// 4-16-16-3 on Iris (R. A. Fisher, UCI Machine Learning Repository, CC BY 4.0): the metadata of a run must not
/// outweigh the hundred weights that pruning removes.
#[test]
fn a_short_network_comes_out_smaller() {
    let folder = folder(&[
        ("set = \"digits\"", "set = \"iris.csv\""),
        ("kind = \"spectral\", units = 40", "kind = \"dense\", units = 16"),
        ("units = 20, activation = \"sigmoid\"", "units = 16, activation = \"relu\""),
        ("{ kind = \"dense\", units = 10 }", "{ kind = \"dense\", units = 3 }"),
        ("epochs = 3\nbatch = 50", "epochs = 30\nbatch = 20\noptimizer = { name = \"adam\", rate = 5e-3 }"),
        ("amount = 0.6", "amount = 0.5"),
        ("epochs = 30\nbatch = 50", "epochs = 10\nbatch = 20"),
    ]);
    let at = folder.path();
    std::fs::write(at.join("iris.csv"), include_str!("iris.csv")).unwrap();
    let done = xtask(at, &["run", "small.toml", "--out", "out", "--json"]);
    let smaller = &done.json()["verdict"]["smaller"];
    assert!(smaller["ok"] == true && smaller["ratio"].as_f64().unwrap() <= 0.6, "{smaller}");
    let bytes = |name: &str| std::fs::metadata(at.join("out").join(name)).unwrap().len() as f64;
    for stage in ["compact.spectral", "sparse.spectral"] {
        assert!(bytes(stage) <= 0.6 * bytes("dense.spectral"), "{stage}");
    }
}
