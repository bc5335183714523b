//! Same seed, same bytes: two runs, and any number of threads.

use crate::support::{folder, ok};
use serde_json::Value;

/// The report without timings.
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

/// Layers switch to stored weights during training. When they do depends only on masks.
#[test]
fn training_on_stored_weights_does_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = |out: &str, threads: &str, when: &str| {
        let when = format!("sparse_training={when}");
        let short = ["--set", "train.epochs=2", "--set", "finetune.epochs=11", "--set", "report.sweep=[]"];
        let args =
            [&["run", "gradual", "--out", out, "--json", "--threads", threads, "--set", &when], &short[..]].concat();
        let report = ok(at, &args).json();
        let layers: Vec<Value> = (0..3).map(|curve| report["curves"][curve]["layers"].clone()).collect();
        (layers, std::fs::read(at.join(out).join("pruned.spectral")).unwrap(), report)
    };
    let (one, two, never) = (run("one", "1", "auto"), run("two", "2", "auto"), run("never", "2", "never"));
    assert!(one.0[1][0]["since"].is_u64() && one.0 == two.0, "{:?}", one.0);
    assert!(one.1 == two.1, "pruned.spectral differs with 2 threads");
    assert_eq!(never.0, [Value::Null, Value::Null, Value::Null]);
    // The same network within rounding: the numbers of weights and the pruning history agree.
    for stage in ["pruned", "finetuned"] {
        let of = |report: &Value| {
            let stages = report["stages"].as_array().unwrap();
            stages.iter().find(|s| s["name"] == stage).map(|s| s["nonzeros"].clone())
        };
        assert_eq!(of(&one.2), of(&never.2), "{stage}");
    }
    assert_eq!(one.2["pruning"], never.2["pruning"]);
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
