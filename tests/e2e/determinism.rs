//! Same seed, same bytes: two runs, and any number of threads.

use crate::support::{folder, ok};
use serde_json::Value;

/// The report without what time measures.
fn timeless(mut report: Value) -> Value {
    for stage in report["stages"].as_array_mut().unwrap() {
        stage["latency_us"] = Value::Null;
    }
    for curve in report["curves"].as_array_mut().unwrap() {
        for epoch in curve["epochs"].as_array_mut().unwrap() {
            epoch["seconds"] = Value::Null;
        }
    }
    report["verdict"]["faster"] = Value::Null;
    report["machine"]["threads"] = Value::Null;
    report["seconds"] = Value::Null;
    report
}

#[test]
fn files_and_reports_do_not_depend_on_threads() {
    let folder = folder(&[]);
    let at = folder.path();
    let first = ok(at, &["run", "small.toml", "--out", "a", "--json", "--threads", "2"]).json();
    let plan = ["--plan", "a/sparse.spectral", "--json", "--threads"];
    for (out, threads) in [("again", "2"), ("one", "1"), ("eight", "8")] {
        let args = [&["run", "small.toml", "--out", out], &plan[..], &[threads]].concat();
        let report = ok(at, &args).json();
        for file in ["dense", "pruned", "compact", "sparse"] {
            let read = |folder: &str| std::fs::read(at.join(folder).join(format!("{file}.spectral"))).unwrap();
            assert!(read("a") == read(out), "{file}.spectral differs with {threads} threads");
        }
        assert_eq!(timeless(report), timeless(first.clone()), "{threads} threads");
    }
}

#[test]
fn another_seed_gives_another_network() {
    let folder = folder(&[]);
    let at = folder.path();
    for seed in ["1", "2"] {
        ok(at, &["train", "small.toml", "--seed", seed, "--out", &format!("{seed}.spectral")]);
    }
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert_ne!(read("1.spectral"), read("2.spectral"));
}
