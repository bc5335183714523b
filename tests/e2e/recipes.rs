//! The built-in recipes reach what they promise.

use crate::support::{data_dir, files, ok};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What a recipe's report must show in addition to a verdict that holds.
struct Expected {
    name: &'static str,
    /// Overrides that shorten it if its data is large.
    set: &'static [&'static str],
    /// Titles of its tables.
    tables: &'static [&'static str],
    /// Checks the numbers of the report.
    check: fn(&Value),
}

const RECIPES: [Expected; 13] = [
    Expected { name: "digits", set: &[], tables: &[], check: |_| {} },
    Expected {
        name: "dynamic-sparse",
        set: &[],
        tables: &["Dynamic sparse training"],
        check: few_weights_are_ever_stored,
    },
    Expected { name: "fashion-mnist", set: SHORT, tables: &[], check: |_| {} },
    Expected { name: "gradual", set: &[], tables: &[], check: thin_layers_train_on_stored_weights },
    Expected {
        name: "learn-classes",
        set: &[],
        tables: &[
            "Accuracy on old and new classes",
            "learn_classes: new classes, selected parameters: Cosine distance between classes, mean over samples",
        ],
        check: less_is_forgotten,
    },
    Expected {
        name: "metric-pruning",
        set: &[],
        tables: &["Pruning levels, by accuracy"],
        check: within_three_per_cent,
    },
    Expected { name: "mnist", set: SHORT, tables: &[], check: |_| {} },
    Expected { name: "model-mixing", set: &[], tables: &["Mixed models"], check: the_mix_beats_the_mean },
    Expected { name: "prune-convert", set: &[], tables: &[], check: sparse_kernels_were_tried },
    Expected { name: "slimming", set: &[], tables: &[], check: |_| {} },
    Expected { name: "spectral-distil", set: &[], tables: &["Distillation"], check: small_and_accurate },
    Expected {
        name: "spectral-pretrain",
        set: &[],
        tables: &["Pruning levels, by accuracy"],
        check: small_and_accurate,
    },
    Expected { name: "sub-model", set: &[], tables: &["Sub-model training"], check: the_sub_model_helped },
];

const SHORT: &[&str] = &["train.epochs=1", "finetune.epochs=1", "report.sweep=[]"];

/// Every recipe ends smaller and proven equal, with its own tables. The published examples are among them: of
/// spectraltools, distillation, and penalties followed by a search by metric; of Sparana, prune and convert, and
/// forgetting.
#[test]
fn every_recipe_runs_to_a_report() {
    let known: BTreeSet<String> = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes"))
        .iter()
        .map(|f| f.replace(".toml", ""))
        .collect();
    assert_eq!(known, RECIPES.iter().map(|r| r.name.to_string()).collect(), "every recipe is run here");
    let data = data_dir("every_recipe_runs_to_a_report").is_some();
    for Expected { name, set, tables, check } in RECIPES.iter().filter(|r| data || !r.name.contains("mnist")) {
        let folder = tempfile::tempdir().unwrap();
        let overrides = set.iter().flat_map(|s| ["--set", s]);
        let args: Vec<&str> = ["run", name, "--out", "out", "--json"].into_iter().chain(overrides).collect();
        let report = ok(folder.path(), &args).json();
        for link in ["smaller", "equal", "as_good"] {
            assert_eq!(report["verdict"][link]["ok"], true, "{name}: {}", report["verdict"]);
        }
        let titles: Vec<&str> = array(&report["tables"]).iter().map(|t| t["title"].as_str().unwrap()).collect();
        assert!(tables.iter().all(|t| titles.contains(t)), "{name}: {titles:?}");
        let page = std::fs::read_to_string(folder.path().join("out/report.html")).unwrap();
        assert!(titles.iter().all(|t| page.contains(&format!("<h2>{t}</h2>"))), "{name}");
        check(&report);
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A number in the table `title`, by the text of its first cell and the name of its column.
fn cell(report: &Value, title: &str, row: &str, column: &str) -> f64 {
    let table = array(&report["tables"]).iter().find(|t| t["title"] == title).unwrap();
    let column = array(&table["columns"]).iter().position(|c| c == column).unwrap();
    let row = array(&table["rows"]).iter().find(|r| r[0] == row).unwrap();
    row[column].as_f64().unwrap()
}

fn accuracy(report: &Value, stage: usize) -> f64 {
    report["stages"][stage]["accuracy"].as_f64().unwrap()
}

fn less_is_forgotten(report: &Value) {
    let of = |row, column| cell(report, "Accuracy on old and new classes", row, column);
    assert!(of("all", "old before") > 0.9 && of("all", "new before") < 0.1);
    assert!(of("selected", "new after") > 0.8, "{}", of("selected", "new after"));
    let (all, selected) = (of("all", "old after"), of("selected", "old after"));
    assert!(selected > all + 0.1, "old classes: {all} with all parameters, {selected} with selected ones");
}

/// Every layer that becomes thin in the gradual phase switches to stored weights there, and starts the next phase with
/// them.
fn thin_layers_train_on_stored_weights(report: &Value) {
    let thin = |curve: usize| -> Vec<(u64, u64)> {
        let layers = array(&report["curves"][curve]["layers"]);
        layers.iter().filter_map(|l| Some((l["since"].as_u64()?, l["kept"].as_u64().unwrap()))).collect()
    };
    assert_eq!((thin(0).len(), report["curves"][1]["phase"].as_str()), (0, Some("gradual")));
    assert!(thin(1).len() >= 2 && thin(1).iter().all(|(since, _)| (29..=290).contains(since)), "{:?}", thin(1));
    assert!(thin(2).iter().all(|(since, _)| *since == 0), "{:?}", thin(2));
    let kept = |layers: Vec<(u64, u64)>| layers.into_iter().map(|l| l.1).collect::<Vec<_>>();
    assert_eq!(kept(thin(1)), kept(thin(2)));
    assert!(accuracy(report, 4) > accuracy(report, 0) - 0.03, "{} {}", accuracy(report, 0), accuracy(report, 4));
}

fn within_three_per_cent(report: &Value) {
    let table = array(&report["tables"]).iter().find(|t| t["title"] == "Pruning levels, by accuracy").unwrap();
    let inside: Vec<&Value> = array(&table["rows"]).iter().filter(|r| r[5] == "yes").collect();
    assert!(inside.len() > 3, "{table}");
    assert!(accuracy(report, 4) > accuracy(report, 0) - 0.05, "{} {}", accuracy(report, 0), accuracy(report, 4));
}

fn the_mix_beats_the_mean(report: &Value) {
    let of = |row: &str| cell(report, "Mixed models", row, "accuracy");
    let mean = (1..=3).map(|m| of(&format!("model {m}"))).sum::<f64>() / 3.0;
    assert!(of("mix") > mean, "{} on average, {} mixed", mean, of("mix"));
}

/// Which kernel wins depends on the load of the machine, but sparse kernels are always tried.
fn sparse_kernels_were_tried(report: &Value) {
    let tried = |l: &&Value| l["plan"]["128"]["reason"].as_str().is_some_and(|reason| reason.contains("csr"));
    assert!(array(&report["layers"]).iter().filter(tried).count() >= 2, "{}", report["layers"]);
    assert!(accuracy(report, 4) > 0.93, "{}", accuracy(report, 4));
}

fn few_weights_are_ever_stored(report: &Value) {
    let table = array(&report["tables"]).iter().find(|t| t["title"] == "Dynamic sparse training").unwrap();
    assert!(array(&table["rows"]).iter().all(|r| r[1].as_f64().unwrap() < 0.151), "{table}");
    assert!(array(&table["rows"]).iter().any(|r| r[4].as_f64().unwrap() > 0.1), "nothing is exchanged: {table}");
    assert!(accuracy(report, 4) > 0.93, "{}", accuracy(report, 4));
}

fn small_and_accurate(report: &Value) {
    let hidden =
        |stage: usize| array(&report["stages"][stage]["units"])[1..3].iter().map(|u| u.as_u64().unwrap()).sum::<u64>();
    assert!(hidden(4) * 10 < hidden(0) * 6, "{} of {} hidden units left", hidden(4), hidden(0));
    assert!(accuracy(report, 4) > 0.93, "{}", accuracy(report, 4));
}

fn the_sub_model_helped(report: &Value) {
    let of = |row| cell(report, "Sub-model training", row, "accuracy");
    assert!(of("original, sub-model put back") > of("original"));
}

#[test]
fn digits_end_small_and_proven_equal() {
    let folder = tempfile::tempdir().unwrap();
    let report = ok(folder.path(), &["run", "--out", "out", "--json"]).json();
    let stage = |i: usize, key: &str| report["stages"][i][key].as_f64().unwrap();
    assert!(stage(0, "accuracy") >= 0.96, "dense accuracy {}", stage(0, "accuracy"));
    assert!(stage(2, "accuracy") >= 0.94, "fine-tuned accuracy {}", stage(2, "accuracy"));
    assert!(stage(3, "file_bytes") <= 0.2 * stage(0, "file_bytes"));
    let units: Vec<u64> =
        report["stages"][3]["units"].as_array().unwrap().iter().map(|u| u.as_u64().unwrap()).collect();
    assert!(units[1] + units[2] <= 80, "{units:?}: less than 80 % of the hidden units are gone");
    for proof in report["proof"].as_array().unwrap() {
        assert_eq!((&proof["equal"], &proof["labels_differ"]), (&true.into(), &0.into()), "{proof}");
    }
}

#[test]
fn fashion_mnist_in_the_place_of_mnist_is_refused() {
    let Some(dir) = data_dir("fashion_mnist_in_the_place_of_mnist_is_refused") else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mnist");
    std::fs::create_dir(&place).unwrap();
    for entry in std::fs::read_dir(dir.join("fashion-mnist")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.join(entry.file_name())).unwrap();
    }
    let done = crate::support::xtask(folder.path(), &["run", "mnist", "--data-dir", ".", "--out", "out"]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.to_lowercase().contains("fashion"), "{}", done.err);
}
