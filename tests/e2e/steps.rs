//! The single verbs give the same results as the whole run, and can be undone.

use crate::support::{folder, ok};

#[test]
fn the_single_steps_add_up_to_the_chain() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "dense.spectral"]);
    let pruned = ok(
        at,
        &[
            "prune",
            "dense.spectral",
            "--out",
            "pruned.spectral",
            "--criterion",
            "magnitude",
            "--granularity",
            "unit",
            "--amount",
            "0.5",
            "--json",
        ],
    );
    assert_eq!(pruned.json()["pruning"]["removed"], 30);
    ok(at, &["finetune", "pruned.spectral", "--out", "tuned.spectral", "--epochs", "2", "--batch", "50"]);
    let compacted = ok(at, &["compact", "tuned.spectral", "--out", "compact.spectral"]);
    assert!(compacted.out.contains("removed 30 of 60 hidden units"), "{}", compacted.out);
    ok(at, &["sparsify", "compact.spectral", "--out", "sparse.spectral"]);
    let proof = ok(at, &["prove", "tuned.spectral", "compact.spectral", "sparse.spectral", "--json"]).json();
    assert_eq!((proof.as_array().unwrap().len(), &proof[0]["inputs"]), (2, &1360.into()));

    let eval = ok(at, &["eval", "compact.spectral", "--json"]).json();
    assert!(
        eval["accuracy"].as_f64().unwrap() > 0.5 && eval["latency_us"]["128"]["p50"].as_f64().unwrap() > 0.0,
        "{eval}"
    );
    let inspected = ok(at, &["inspect", "compact.spectral"]).out;
    assert!(inspected.contains("spectral1") && inspected.contains("encoding"), "{inspected}");
    let explained = ok(at, &["explain", "compact.spectral"]).out;
    assert!(explained.contains("magnitude"), "{explained}");
}

#[test]
fn shares_by_layer_and_the_protection_of_the_last_are_flags() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "dense.spectral", "--set", "train.epochs=0"]);
    let removed = |flags: &[&str]| {
        let common = ["prune", "dense.spectral", "--out", "pruned.spectral", "--criterion", "magnitude", "--json"];
        let done = ok(at, &[&common[..], flags].concat()).json();
        let removed =
            |l: &serde_json::Value| l["weights_before"].as_u64().unwrap() - l["weights_after"].as_u64().unwrap();
        done["pruning"]["layers"].as_array().unwrap().iter().map(removed).collect::<Vec<_>>()
    };
    assert_eq!(removed(&["--amounts", "dense1=0.5,dense2=0.25"]), [0, 400, 50]);
    let each = ["--amount", "0.5", "--scope", "layer"];
    assert_eq!(removed(&each), [1280, 400, 0]);
    assert_eq!(removed(&[&each[..], &["--protect-last", "false"]].concat()), [1280, 400, 100]);
    assert_eq!(removed(&["--amount", "0.5", "--protect-last", "true"])[2], 0);
}

#[test]
fn blocks_and_patterns_are_pruned_named_converted_and_undone() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "dense.spectral", "--set", "train.epochs=1"]);
    let dense = std::fs::read(at.join("dense.spectral")).unwrap();
    for (granularity, amount, removed) in
        [("4x1", &["--amount", "0.5"][..], 1780), ("2:4", &[], 1280 + 400), ("2:4", &["--protect-last", "false"], 1780)]
    {
        let cut = ["prune", "dense.spectral", "--criterion", "magnitude", "--granularity", granularity, "--json"];
        let done = ok(at, &[&cut[..], amount, &["--out", "pruned.spectral"]].concat()).json();
        assert_eq!(
            (&done["pruning"]["granularity"], &done["pruning"]["removed"]),
            (&granularity.into(), &removed.into())
        );
        let explained = ok(at, &["explain", "pruned.spectral"]).out;
        assert!(explained.contains(&format!("{removed} weights ({granularity})")), "{explained}");
        ok(at, &["sparsify", "pruned.spectral", "--out", "sparse.spectral"]);
        ok(at, &["prove", "pruned.spectral", "sparse.spectral"]);
        ok(at, &["undo", "pruned.spectral", "--out", "back.spectral"]);
        assert!(std::fs::read(at.join("back.spectral")).unwrap() == dense);
    }
}

/// With a single share pruned, there is no curve of accuracy against share.
#[test]
fn recipes_prune_by_blocks_and_by_patterns() {
    let steps = "[[prune]]\ncriterion = \"magnitude\"\ngranularity = \"2:4\"\n\n[[prune]]\ncriterion = \"magnitude\"\n\
                 granularity = \"4x1\"\namount = 0.7\n";
    let folder = folder(&[("[prune]\ncriterion = \"magnitude\"\ngranularity = \"unit\"\namount = 0.6\n", steps)]);
    let report = ok(folder.path(), &["run", "small.toml", "--out", "out", "--json"]).json();
    let named: Vec<&str> =
        report["pruning"].as_array().unwrap().iter().map(|s| s["granularity"].as_str().unwrap()).collect();
    assert_eq!((named, report.get("sweep")), (vec!["2:4", "4x1"], None));
}

#[test]
fn a_delta_turns_its_base_into_the_tuned_model_bit_for_bit() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["train", "small.toml", "--out", "base.spectral"]);
    ok(at, &["finetune", "base.spectral", "--out", "tuned.spectral", "--epochs", "1", "--batch", "50"]);
    let base = ["--base", "base.spectral", "--out"];
    let made = ok(at, &[&["delta", "tuned.spectral", "--json"], &base[..], &["tuned.delta"]].concat()).json();
    assert!(made["changed"]["dense2.bias"] == 10 && made["bytes"].as_u64().unwrap() > 0, "{made}");
    ok(at, &[&["apply", "tuned.delta"], &base[..], &["again.spectral"]].concat());
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert!(read("again.spectral") == read("tuned.spectral"));
    let other = ["apply", "tuned.delta", "--base", "tuned.spectral", "--out", "wrong.spectral"];
    let refused = crate::support::xtask(at, &other);
    assert!(refused.code == 2 && refused.err.contains("content hash"), "{}", refused.err);
    assert!(!at.join("wrong.spectral").exists());
    let eval = ok(at, &["eval", "tuned.spectral", "--top", "10", "--batch", "1", "--json"]).json();
    assert_eq!((&eval["top_k"]["k"], &eval["top_k"]["accuracy"]), (&10.into(), &1.0.into()));
    assert_eq!(crate::support::xtask(at, &["eval", "tuned.spectral", "--top", "11"]).code, 2);
}

#[test]
fn undo_restores_bits() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["run", "small.toml", "--out", "out"]);
    ok(at, &["undo", "out/compact.spectral", "--out", "back1.spectral"]);
    ok(at, &["undo", "out/compact.spectral", "--steps", "2", "--out", "back2.spectral"]);
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert_eq!(read("back1.spectral"), read("out/pruned.spectral"));
    assert_eq!(read("back2.spectral"), read("out/dense.spectral"));
}

/// `compact` and `sparse` have the same content if no layer was worth converting; only their histories differ.
#[test]
fn undo_finds_the_parent_among_files_of_the_same_content() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["run", "small.toml", "--out", "out"]);
    let cut = ["--criterion", "magnitude", "--amount", "0.3", "--out", "out/again.spectral"];
    ok(at, &[&["prune", "out/sparse.spectral"], &cut[..]].concat());
    ok(at, &["undo", "out/again.spectral", "--out", "back.spectral"]);
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert!(read("back.spectral") == read("out/sparse.spectral"));
}

#[test]
fn undo_names_the_file_that_is_missing() {
    let folder = folder(&[]);
    let at = folder.path();
    ok(at, &["run", "small.toml", "--out", "out"]);
    std::fs::remove_file(at.join("out/dense.spectral")).unwrap();
    let done = crate::support::xtask(at, &["undo", "out/pruned.spectral", "--out", "back.spectral"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("content hash") && !at.join("back.spectral").exists(), "{}", done.err);
}

#[test]
fn plugins_lists_what_is_linked() {
    let folder = folder(&[]);
    let text = ok(folder.path(), &["plugins"]).out;
    for name in
        ["eigenvalue", "magnitude", "spectral", "sparse", "adam", "cosine", "digits", "cpu", "torch", "tests.dishonest"]
    {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}
