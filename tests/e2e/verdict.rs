//! A failure planted in each link of the chain is caught and handled as the contract says.

use crate::support::{files, folder, ok, xtask};
use serde_json::Value;

const ALL: [&str; 7] = [
    "compact.spectral",
    "dense.spectral",
    "pruned.spectral",
    "recipe.toml",
    "report.html",
    "report.json",
    "sparse.spectral",
];

#[test]
fn a_chain_that_holds_leaves_every_artefact() {
    let folder = folder(&[]);
    let done = ok(folder.path(), &["run", "small.toml", "--out", "out", "--json"]);
    assert_eq!(files(&folder.path().join("out")), ALL);
    let report = done.json();
    for link in ["smaller", "equal", "as_good"] {
        assert_eq!(report["verdict"][link]["ok"], true, "{link}: {}", report["verdict"]);
    }
    let names: Vec<&str> = report["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dense", "pruned", "finetuned", "compact", "sparse"]);
    assert_eq!(report["stages"][3]["units"], report["stages"][4]["units"]);
    let on_disk = std::fs::read_to_string(folder.path().join("out/report.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&on_disk).unwrap(), report);
}

#[test]
fn not_smaller_is_a_failure() {
    let folder = folder(&[("[prune]\ncriterion = \"magnitude\"\ngranularity = \"unit\"\namount = 0.6\n", "")]);
    let done = xtask(folder.path(), &["run", "small.toml", "--out", "out", "--json"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("not smaller"), "{}", done.err);
    assert_eq!(done.json()["verdict"]["smaller"]["ok"], false);
    let left = files(&folder.path().join("out"));
    assert!(!left.contains(&"compact.spectral".into()) && !left.contains(&"sparse.spectral".into()), "{left:?}");
    assert!(left.contains(&"report.html".into()) && left.contains(&"dense.spectral".into()), "{left:?}");
}

#[test]
fn not_equal_is_a_failure() {
    let honest = "{ kind = \"dense\", units = 20, activation = \"sigmoid\" }";
    let folder = folder(&[(honest, "{ kind = \"tests.dishonest\", units = 20 }")]);
    // An artefact of an earlier run must not stay as if it were proven.
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("out/compact.spectral"), "old").unwrap();
    std::fs::write(folder.path().join("out/mine.txt"), "mine").unwrap();
    let done = xtask(folder.path(), &["run", "small.toml", "--out", "out", "--json"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("`compact` is not equal to `finetuned`"), "{}", done.err);
    let report = done.json();
    assert_eq!((&report["verdict"]["equal"]["ok"], &report["proof"][0]["equal"]), (&false.into(), &false.into()));
    let left = files(&folder.path().join("out"));
    assert!(!left.contains(&"compact.spectral".into()) && left.contains(&"mine.txt".into()), "{left:?}");
    // The single step refuses as well.
    let done = xtask(folder.path(), &["compact", "out/pruned.spectral", "--out", "c.spectral"]);
    assert_eq!((done.code, folder.path().join("c.spectral").exists()), (1, false), "{}", done.err);
}

#[test]
fn not_faster_stays_dense_and_says_so() {
    // A fifth of the weights gone: no sparse kernel can win on layers this dense.
    let weights = ("granularity = \"unit\"\namount = 0.6", "granularity = \"weight\"\namount = 0.2");
    let folder = folder(&[weights]);
    let done = ok(folder.path(), &["run", "small.toml", "--out", "out", "--json"]);
    for layer in done.json()["layers"].as_array().unwrap() {
        for class in ["1", "128"] {
            assert_eq!(layer["plan"][class]["kernel"], "dense", "{layer}");
            assert!(!layer["plan"][class]["reason"].as_str().unwrap().is_empty());
        }
    }
}

/// The pace is measured in turns at both batch sizes, with an interval for each. Level does not count as faster.
#[test]
fn the_pace_has_an_interval_at_both_batch_sizes() {
    let folder = folder(&[]);
    let done = ok(folder.path(), &["run", "small.toml", "--out", "out"]);
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("out/report.json")).unwrap()).unwrap();
    let faster = &report["verdict"]["faster"];
    for batch in ["1", "128"] {
        let number = |v: &Value| v.as_f64().unwrap();
        let [low, ratio, high] = [
            &faster["batches"][batch]["interval"][0],
            &faster["batches"][batch]["ratio"],
            &faster["batches"][batch]["interval"][1],
        ]
        .map(number);
        assert!(low > 0.0 && low <= ratio && ratio <= high, "{faster}");
        let said = match () {
            () if high < 1.0 => format!("{ratio:.2}x at batch {batch} ("),
            () if low > 1.0 => format!("{ratio:.2}x at batch {batch} ("),
            () => format!("level at batch {batch} ("),
        };
        assert!(done.out.contains(&said), "{said}\n{}", done.out);
    }
    assert!(done.out.contains("equal:   yes, compact and sparse to finetuned; "), "{}", done.out);
}

/// Accuracy falls from 86 % to chance, while the small network does equal the fine-tuned one.
#[test]
fn not_as_good_is_a_failure_that_leaves_every_artefact() {
    let folder = folder(&[("amount = 0.6", "amount = 0.95"), ("epochs = 30", "epochs = 0")]);
    let args = ["run", "small.toml", "--out", "out", "--json"];
    let done = xtask(folder.path(), &args);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("not as good as the dense one") && done.err.contains("limit 2 points"), "{}", done.err);
    let report = done.json();
    let verdict = &report["verdict"];
    assert_eq!([&verdict["smaller"]["ok"], &verdict["equal"]["ok"], &verdict["as_good"]["ok"]], [true, true, false]);
    let (drop, limit) = (verdict["as_good"]["drop"].as_f64().unwrap(), verdict["as_good"]["limit"].as_f64().unwrap());
    let accuracy = |stage: usize| report["stages"][stage]["accuracy"].as_f64().unwrap();
    assert!(drop > 0.3 && (drop - (accuracy(0) - accuracy(2))).abs() < 1e-12 && limit == 0.02, "{verdict}");
    let warned =
        |words: &str| report["warnings"].as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains(words));
    assert!(warned("more than the limit allows"), "{}", report["warnings"]);
    assert_eq!(files(&folder.path().join("out")), ALL);
    let page = std::fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains(r#"<b class="missed">not as good</b>"#) && page.contains("<h2>Warnings</h2>"));
    // A higher limit accepts the drop.
    ok(folder.path(), &[&args[..], &["--set", "verdict.max_drop=1.0"]].concat());
}

/// A global ranking can empty one layer while the others keep most of their units.
#[test]
fn a_layer_that_is_all_but_cut_through_is_a_warning() {
    let thin = "units = 20, activation = \"sigmoid\", init = { normal = { mean = 0.0, deviation = 0.001 } } }";
    let folder = folder(&[("units = 20, activation = \"sigmoid\" }", thin), ("epochs = 3", "epochs = 1")]);
    let args = ["run", "small.toml", "--out", "out", "--json", "--set", "verdict.max_drop=1.0"];
    let report = ok(folder.path(), &args).json();
    let warning = report["warnings"][0].as_str().unwrap_or_else(|| panic!("{report}"));
    for words in ["layer `dense1` keeps 1 of 20 unit", "`scope = \"layer\"`", "`min_keep`"] {
        assert!(warning.contains(words), "{warning}");
    }
    let table = xtask(folder.path(), &[&args[..4], &args[5..]].concat()).out;
    assert!(table.contains("warning: layer `dense1` keeps 1 of 20 unit"), "{table}");
    // Both suggestions help.
    for way in ["prune.scope=layer", "prune.min_keep=8"] {
        let report = ok(folder.path(), &[&args[..], &["--set", way]].concat()).json();
        assert_eq!(report.get("warnings"), None, "{way}");
    }
    let train = ["train", "small.toml", "--out", "dense.spectral"];
    ok(folder.path(), &train);
    let prune = ["prune", "dense.spectral", "--out", "p.spectral", "--criterion", "magnitude", "--granularity", "unit"];
    let done = ok(folder.path(), &[&prune[..], &["--amount", "0.6", "--json"]].concat());
    assert!(done.err.contains("warning: layer `dense1`"), "{}", done.err);
    assert!(done.json()["warnings"][0].as_str().unwrap().contains("layer `dense1`"));
}
