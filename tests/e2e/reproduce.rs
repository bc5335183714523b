//! `reproduce`: it lists, rejects bad input, repeats in small, and writes its findings.

use crate::support::{data_dir, files, ok, xtask};

#[test]
fn results_are_listed_and_slips_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let listed = ok(at, &["reproduce", "--json"]).json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["T1", "T2", "T2b", "T3"]);
    assert!(ok(at, &["reproduce"]).out.contains("arXiv"));
    for (args, words) in [
        (&["T2c"][..], &["T2c", "did you mean `T2`"][..]),
        (&["nothing"], &["T1, T2, T2b, T3"]),
        (&["T1", "--seeds", "0"], &["--seeds", "at least 1"]),
        (&["T1", "--epochs", "0"], &["--epochs", "at least 1"]),
        (&["T1", "--activations", "relu"], &["--activations is for T3"]),
        (&["T3", "--activations", "rellu"], &["rellu", "did you mean `relu`"]),
        (&["T3", "--arms", "spectrl"], &["spectrl", "did you mean `spectral`", "dense-retrained, scratch"]),
        (&["T3", "--data", "mnits"], &["mnits", "did you mean `mnist`"]),
    ] {
        let done = xtask(at, &[&["reproduce"], args, &["--out", "out"]].concat());
        let said = done.err.trim();
        assert_eq!((done.code, said.lines().count(), files(at).len()), (2, 1, 0), "{args:?}: {said}");
        assert!(words.iter().all(|w| said.contains(w)), "{args:?}: {said}");
    }
}

#[test]
fn a_quick_repetition_says_so_and_writes_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let run = ["reproduce", "T1", "--quick", "--seeds", "1", "--epochs", "2", "--out", "out", "--json"];
    let done = ok(at, &run).json();
    assert_eq!((&done["id"], &done["quick"], &done["pass"]), (&"T1".into(), &true.into(), &serde_json::Value::Null));
    assert_eq!(files(&at.join("out")), ["result.html", "result.json", "result.md", "table-1.csv", "table-2.csv"]);
    let csv = std::fs::read_to_string(at.join("out/table-1.csv")).unwrap();
    assert!(csv.starts_with("student units n,arm,") && csv.lines().count() == 1 + 3 * 2, "{csv}");
    let page = std::fs::read_to_string(at.join("out/result.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("QUICK"));
    // Same seed, same numbers, for any number of workers.
    let again = ok(at, &[&run[..], &["--threads", "1"]].concat()).json();
    assert_eq!(again["tables"], done["tables"]);
}

#[test]
fn runs_can_be_added_to_those_from_earlier_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |seeds: &[&str]| {
        let run = ["reproduce", "T1", "--quick", "--epochs", "1", "--out", "out", "--json"];
        let done = ok(folder.path(), &[&run, seeds].concat()).json();
        let rows = done["tables"][1]["rows"].as_array().unwrap().clone();
        rows.into_iter().filter(|row| row[2] == 2.0).collect::<Vec<_>>()
    };
    let both = rows(&["--seeds", "2"]);
    assert_eq!(both.len(), 3 * 2, "{both:?}");
    assert_eq!(rows(&["--seeds", "1", "--first-seed", "2"]), both);
}

#[test]
fn what_differs_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let done = xtask(folder.path(), &["reproduce", "T1", "--seeds", "1", "--epochs", "1", "--out", "out", "--json"]);
    // After one epoch no unit has decayed, so far more than 25 survive.
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("T1 differs from what was published"), "{}", done.err);
    assert_eq!(done.json()["pass"], false);
}

#[test]
fn eigenvalues_alone_learn_mnist_better_than_chance() {
    let Some(_) = data_dir("eigenvalues_alone_learn_mnist_better_than_chance") else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = ["reproduce", "T2b", "--quick", "--epochs", "1", "--out", "out", "--json"];
    let done = ok(folder.path(), &run).json();
    let test = done["tables"][0]["rows"][0][4].as_f64().unwrap();
    assert!(test > 30.0, "{test} % after one epoch");
}
