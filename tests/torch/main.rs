//! The main job on libtorch, end to end; with the feature `torch` only.
#![allow(missing_docs, clippy::unwrap_used)]

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs the command line in `folder`, which must succeed, and returns its JSON output.
fn ok(folder: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_spectral-tests")).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Accuracy of the trained and of the fine-tuned network.
fn accuracies(report: &Value) -> [f64; 2] {
    let stages = report["stages"].as_array().unwrap();
    ["dense", "finetuned"]
        .map(|name| stages.iter().find(|stage| stage["name"] == name).unwrap()["accuracy"].as_f64().unwrap())
}

#[test]
fn a_run_ends_like_one_on_the_cpu_and_its_models_compute_the_same_on_both() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let [cpu, torch] = ["cpu", "torch"].map(|backend| {
        let report = ok(at, &["run", "digits", "--json", "--backend", backend, "--out", backend]);
        assert_eq!(report["machine"]["backend"], backend);
        accuracies(&report)
    });
    for (cpu, torch) in cpu.iter().zip(torch) {
        assert!((cpu - torch).abs() <= 0.03, "{cpu} on the CPU, {torch} on libtorch");
    }
    for file in ["torch/dense.spectral", "torch/compact.spectral", "torch/sparse.spectral", "cpu/sparse.spectral"] {
        let proofs = ok(at, &["prove", file, "--json", "--backends", "cpu,torch", "--tolerance", "1e-4"]);
        assert_eq!(proofs.as_array().unwrap().len(), 2, "{proofs}");
    }
}
