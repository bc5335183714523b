//! The conformance suite on every backend, and what else a backend's own tests try.

use spectral_workflow::{Failure, Result};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What runs the suite on each backend, as arguments of `cargo test`: where it can be, a part of what `cargo test` has
/// built already. Every test prints its report, which begins with [`REPORT`].
const RUNS: [(&str, &str); 3] = [
    ("cpu", "--workspace --test suite conformance::"),
    (
        "torch",
        "-p spectral-tch -p spectral-tests --features spectral-tch/libtorch,spectral-tests/torch --lib --test suite \
         --test determinism --test torch",
    ),
    ("cuda, its kernels on the CPU", "-p spectral-cuda --features cuda --test suite"),
];

/// How the line with the count of a conformance run begins.
const REPORT: &str = "backend `";

/// Runs all and prints the counts.
pub(crate) fn run(root: &Path) -> Result<()> {
    let libtorch = std::env::var_os("LIBTORCH").map_or_else(|| root.join(".libtorch/torch"), Into::into);
    if !libtorch.join("lib").is_dir() {
        return Err(Failure::input("libtorch is not set up; run `cargo xtask setup torch`"));
    }
    let mut reports = Vec::new();
    for (name, args) in RUNS {
        let found = suite(root, args)?;
        if found.is_empty() {
            return Err(Failure::Check(format!("{name}: no conformance suite ran")));
        }
        reports.extend(found.into_iter().map(|line| format!("{name}: {line}")));
    }
    println!("conformance:\n  {}", reports.join("\n  "));
    Ok(())
}

/// Runs tests, passing their output on; the reports of conformance runs among it.
fn suite(root: &Path, args: &str) -> Result<Vec<String>> {
    let shown = format!("cargo test --locked {args}");
    println!("{shown}");
    let problem = |e: std::io::Error| Failure::input(format!("{shown}: {e}"));
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--locked"])
        .args(args.split_whitespace())
        .args(["--", "--nocapture"])
        .current_dir(root)
        .stdout(Stdio::piped());
    // Threads of libtorch that spin while they wait starve each other where tests run side by side.
    let mut child = cargo.env("OMP_WAIT_POLICY", "passive").spawn().map_err(problem)?;
    let mut reports = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let line = line.map_err(problem)?;
        println!("{line}");
        if let Some(at) = line.find(REPORT) {
            reports.push(line[at..].to_string());
        }
    }
    match child.wait().map_err(problem)? {
        status if status.success() => Ok(reports),
        status => Err(Failure::Check(format!("{shown} ended with {status}"))),
    }
}
