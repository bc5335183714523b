//! What CI checks besides the tests, cheapest first.

use crate::{report, tidy};
use spectral_workflow::{Failure, Result};
use std::path::Path;
use std::process::Command;

/// What each crate may depend on inside the workspace (normal dependencies).
const MAY_DEPEND_ON: [(&str, &[&str]); 14] = [
    ("spectral-core", &[]),
    ("spectral-cpu", &["core"]),
    ("spectral-tch", &["core"]),
    ("spectral-cuda", &["core"]),
    ("spectral-layers", &["core"]),
    ("spectral-train", &["core"]),
    ("spectral-prune", &["core", "train"]),
    ("spectral-sparse", &["core"]),
    ("spectral-io", &["core"]),
    ("spectral-data", &["core"]),
    ("spectral-testkit", &["core"]),
    ("spectral-workflow", &["core", "cpu", "cuda", "data", "io", "layers", "prune", "sparse", "tch", "train"]),
    ("spectral-bench", &["core", "cpu", "data", "io", "layers", "prune", "sparse", "train", "workflow"]),
    ("spectral", &["core", "cpu", "data", "io", "layers", "prune", "sparse", "train"]),
];

/// Crates that must not reach spectral-core, because it is what plug-ins compile against.
const NOT_IN_CORE: [&str; 6] = ["rayon", "clap", "sprs", "bincode", "tch", "cudarc"];

/// What cargo checks, in words and as its arguments.
const CHECKS: [(&str, &str); 6] = [
    ("Every file is formatted.", "fmt --all --check"),
    (
        "The workspace has no lints, with the verbs that xtask builds in when asked.",
        "clippy --workspace --all-targets --locked --features xtask/bench -- -D warnings",
    ),
    (
        "The libtorch backend has none; its types need no libtorch.",
        "clippy -p spectral-tch --all-targets --locked --features libtorch,tch/doc-only -- -D warnings",
    ),
    (
        "The CUDA backend has none; its driver needs nothing of CUDA to build.",
        "clippy -p spectral-cuda --all-targets --locked --features cuda -- -D warnings",
    ),
    (
        "Data can be read without what downloads it.",
        "clippy -p spectral-data --no-default-features --locked -- -D warnings",
    ),
    ("The documentation has no broken links.", "doc --workspace --no-deps --locked"),
];

/// Runs every check.
pub(crate) fn run(root: &Path) -> Result<()> {
    tidy::run(root)?;
    dependencies(root)?;
    for (what, command) in CHECKS {
        println!("{what}");
        let args: Vec<&str> = command.split_whitespace().collect();
        cargo(root, &args, Some(("RUSTDOCFLAGS", "-D warnings")))?;
    }
    println!("The plug-in crates outside the workspace pass their own tests.");
    // Where the end-to-end tests have built it already.
    let target = root.join("target/plugin").display().to_string();
    ["plugin", "layer"].iter().try_for_each(|example| {
        cargo(&root.join("examples").join(example), &["test", "--quiet"], Some(("CARGO_TARGET_DIR", &target)))
    })
}

/// Checks that dependencies only point where the crate map says.
fn dependencies(root: &Path) -> Result<()> {
    let mut problems = Vec::new();
    for (name, allowed) in MAY_DEPEND_ON {
        let tree = tree(root, &["-p", name, "-e", "normal", "--prefix", "none", "--depth", "1"])?;
        for dependency in tree.iter().filter(|d| d.starts_with("spectral") && *d != name) {
            let short = dependency.trim_start_matches("spectral-");
            if !allowed.contains(&short) {
                problems.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    let core = tree(root, &["-p", "spectral-core", "-e", "normal", "--prefix", "none"])?;
    for forbidden in NOT_IN_CORE {
        if core.iter().any(|d| d == forbidden) {
            problems.push(format!("spectral-core must not depend on {forbidden}"));
        }
    }
    report("dependencies", &problems)
}

/// Names that `cargo tree` lists.
fn tree(root: &Path, args: &[&str]) -> Result<Vec<String>> {
    let output = Command::new("cargo").arg("tree").arg("--locked").args(args).current_dir(root).output();
    let output = output.map_err(|e| Failure::input(format!("cargo tree: {e}")))?;
    if !output.status.success() {
        return Err(Failure::Check(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|l| l.split_whitespace().next()).map(str::to_string).collect())
}

fn cargo(folder: &Path, args: &[&str], env: Option<(&str, &str)>) -> Result<()> {
    println!("cargo {}", args.join(" "));
    let status = Command::new("cargo").args(args).envs(env).current_dir(folder).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Check(format!("cargo {} ended with {status}", args.join(" ")))),
        Err(e) => Err(Failure::input(format!("cargo: {e}"))),
    }
}
