//! A failure planted in each link of the chain is caught and handled as the contract says.

use crate::support::{files, folder, ok, xtask};

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
    for link in ["smaller", "equal"] {
        assert_eq!(report["verdict"][link]["ok"], true, "{link}");
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
    // An artefact of an earlier run must not survive as if it were proven.
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
