//! Targets of a recipe are reached, refused before training, or reported as missed; held-out samples are never trained
//! on.

use crate::support::{files, folder, ok, xtask};
use serde_json::Value;
use std::fmt::Write;

/// 5 epochs of 29 steps, and a schedule that ends with step 2,000.
const GRADUAL: &str = r#"
name = "g"
seed = 7
[data]
set = "digits"
[network]
layers = [ { kind = "dense", units = 40, activation = "relu" }, { kind = "dense", units = 10 } ]
[train]
epochs = 1
batch = 50
[prune]
criterion = "magnitude"
amount = 0.9
schedule = { gradual = { start = 10, end = 2000, every = 10 } }
[finetune]
epochs = 5
batch = 50
"#;

#[test]
fn a_gradual_schedule_that_ends_after_its_phase_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("g.toml"), GRADUAL).unwrap();
    let run = ["run", "g.toml", "--out", "out"];
    let done = xtask(at, &[&run[..], &["--set", "train.epochs=20000"]].concat());
    assert_eq!((done.code, files(at)), (2, vec!["g.toml".to_string()]), "{}", done.err);
    assert!(done.err.contains("ends with step 2000") && done.err.contains("has 145"), "{}", done.err);
    // Held-out samples are not trained on, so there are fewer steps.
    let held_out = ["--set", "finetune.validation=0.2", "--set", "prune.schedule.gradual.end=145"];
    let done = xtask(at, &[&run[..], &held_out].concat());
    assert!(done.code == 2 && done.err.contains("has 115"), "{}", done.err);
    let fits = ["--set", "prune.schedule.gradual.end=140", "--set", "verdict.max_drop=1.0", "--json"];
    let report = ok(at, &[&run[..], &fits].concat()).json();
    let (removed, kept) =
        (report["pruning"][0]["removed"].as_u64().unwrap(), report["pruning"][0]["kept"].as_u64().unwrap());
    assert_eq!(removed, (0.9 * (removed + kept) as f64).round_ties_even() as u64);
}

#[test]
fn a_phase_that_ends_early_fails_with_what_was_asked_for_and_reached() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("g.toml"), GRADUAL).unwrap();
    let early = [
        "prune.schedule.gradual.end=145",
        "prune.schedule.gradual.every=60",
        "finetune.patience=1",
        "finetune.min_delta=9.0",
    ];
    let set: Vec<&str> = early.iter().flat_map(|s| ["--set", s]).collect();
    let done = xtask(at, &[&["run", "g.toml", "--out", "out"], &set[..]].concat());
    assert_eq!((done.code, files(at)), (1, vec!["g.toml".to_string()]), "{}", done.err);
    assert!(done.err.contains("an amount of 0.9 and reached 0."), "{}", done.err);
}

/// `n` rows of coin tosses: 20 features, and a label that is independent of them.
fn coin_tosses(n: u64) -> String {
    let mut state = 12345u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut text = String::new();
    for _ in 0..n {
        (0..20).for_each(|_| write!(text, "{},", next() % 10_000).unwrap());
        writeln!(text, "{}", next() % 2).unwrap();
    }
    text
}

const NOISE: &str = r#"
name = "noise"
seed = 7
[data]
set = "noise.csv"
[network]
layers = [ { kind = "dense", units = 128, activation = "relu" }, { kind = "dense", units = 64, activation = "relu" }, { kind = "dense", units = 2 } ]
[train]
epochs = 200
batch = 32
optimizer = { name = "adam", rate = 3e-3 }
validation = 0.2
[prune]
criterion = "magnitude"
amount = 0.5
[finetune]
epochs = 5
batch = 32
optimizer = { name = "adam", rate = 1e-3 }
validation = 0.2
keep_best = true
[verdict]
max_drop = 1.0
[report]
sweep = []
"#;

/// No network is better than chance on samples that it was never trained on.
#[test]
fn held_out_samples_are_those_of_the_first_phase_in_all_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("noise.csv"), coin_tosses(400)).unwrap();
    std::fs::write(at.join("noise.toml"), NOISE).unwrap();
    let last = |epochs: &Value| {
        let epoch = epochs.as_array().unwrap().last().unwrap().clone();
        (epoch["train"]["accuracy"].as_f64().unwrap(), epoch["validation"]["accuracy"].as_f64().unwrap())
    };
    let report = ok(at, &["run", "noise.toml", "--out", "out", "--json"]).json();
    let curves = report["curves"].as_array().unwrap();
    let trained = ok(at, &["train", "noise.toml", "--out", "t.spectral", "--json"]).json();
    let tuned = ["finetune", "t.spectral", "--recipe", "noise.toml", "--seed", "3", "--out", "f.spectral", "--json"];
    let tuned = ok(at, &tuned).json();
    for (phase, epochs) in [
        ("train", &curves[0]["epochs"]),
        ("finetune", &curves[1]["epochs"]),
        ("verb train", &trained["epochs"]),
        ("verb finetune", &tuned["epochs"]),
    ] {
        let (train, validation) = last(epochs);
        assert!(train > 0.7, "{phase}: the network learnt only {train} by heart");
        assert!((validation - 0.5).abs() < 0.2, "{phase}: {validation} on coin tosses that were held out");
        assert_eq!(epochs[0]["validation"]["samples"], 64, "{phase}");
    }
    // The verb `train` gives the same model as the run.
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert!(read("t.spectral") == read("out/dense.spectral"));
}

/// A class with one sample is trained, but cannot be tested.
#[test]
fn a_class_with_one_sample_is_trained_and_said_to_be_untested() {
    let rows: String = (0..60).map(|i| format!("{}.5,{},{}\n", i % 7, i % 5, ["a", "b"][i % 2])).collect();
    let folder = folder(&[
        ("set = \"digits\"", "set = \"rare.csv\""),
        ("units = 10 }", "units = 3 }"),
        ("batch = 50", "batch = 10"),
        ("batch = 50", "batch = 10"),
    ]);
    let at = folder.path();
    std::fs::write(at.join("rare.csv"), format!("x,y,kind\n{rows}9.5,9,rare\n")).unwrap();
    let done = ok(at, &["train", "small.toml", "--out", "m.spectral"]);
    let said = "class `rare` of rare.csv is trained but not tested";
    assert!(done.err.contains(said), "{}", done.err);
    let report = xtask(at, &["run", "small.toml", "--out", "out", "--json"]).json();
    assert!(report["warnings"][0].as_str().unwrap().contains(said), "{}", report["warnings"]);
}

#[test]
fn a_validation_share_that_rounds_to_none_is_named() {
    let small = [
        ("set = \"digits\"", "set = \"n6.csv\""),
        ("units = 10 }", "units = 2 }"),
        ("batch = 50", "batch = 2\nvalidation = 0.1"),
    ];
    let folder = folder(&small);
    std::fs::write(
        folder.path().join("n6.csv"),
        "-0.5,-0.4,0\n1.7,-1.1,1\n-0.4,0.2,0\n1.7,-2.6,1\n0.6,-0.2,0\n1.6,-0.8,1\n",
    )
    .unwrap();
    let done = xtask(folder.path(), &["train", "small.toml", "--out", "m.spectral"]);
    assert_eq!((done.code, done.err.trim().lines().count()), (2, 1), "{}", done.err);
    assert!(
        done.err.contains("validation") && done.err.contains("a share of 0.1 of its 4 samples rounds to none"),
        "{}",
        done.err
    );
}

/// Fine-tuning uses the loss that the model was trained with, unless another is given.
#[test]
fn fine_tuning_goes_on_with_the_loss_of_the_model() {
    let folder = folder(&[("epochs = 3\nbatch = 50", "epochs = 3\nbatch = 50\nloss = \"mse\"")]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "m.spectral"]);
    ok(at, &["finetune", "m.spectral", "--out", "f.spectral", "--epochs", "1"]);
    let model = spectral::io::load(at.join("f.spectral"), &spectral_core::Reference).unwrap();
    let losses: Vec<&str> = model.meta.history.iter().map(|e| e.detail["loss"].as_str().unwrap()).collect();
    assert_eq!(losses, ["mse", "mse"]);
    ok(at, &["run", "small.toml", "--out", "out", "--set", "verdict.max_drop=1.0"]);
    let model = spectral::io::load(at.join("out/pruned.spectral"), &spectral_core::Reference).unwrap();
    let losses: Vec<&str> = model.meta.history.iter().filter_map(|e| e.detail["loss"].as_str()).collect();
    assert_eq!(losses, ["mse", "mse"]);
}
