//! Strategies in recipes: they run between training and pruning, are reported, recorded and undone.

use crate::support::{files, folder, ok, xtask};

const THIN: (&str, &str) = ("[prune]", "[[strategy]]\nname = \"tests.thin\"\namount = 0.3\n\n[prune]");

#[test]
fn a_strategy_is_reported_recorded_and_undone() {
    let folder = folder(&[THIN]);
    let at = folder.path();
    let report = ok(at, &["run", "small.toml", "--out", "out", "--json"]).json();
    assert_eq!(report["strategies"][0]["name"], "tests.thin");
    assert_eq!(report["strategies"][0]["summary"], "pruned 30 % of the weights in 2 steps");
    let table = &report["tables"][0];
    assert_eq!((&table["title"], table["rows"].as_array().unwrap().len()), (&"Thinning".into(), 2));
    // A tenth of the 1,437 training samples is used to measure, never to train.
    assert_eq!((&table["rows"][0][2], &report["dataset"]["train"]), (&144.0.into(), &1293.into()));
    let phases: Vec<&str> = report["curves"].as_array().unwrap().iter().map(|c| c["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["train", "tests.thin: step 1", "tests.thin: step 2", "finetune 1"]);
    let names: Vec<&str> = report["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["dense", "pruned", "finetuned", "compact", "sparse"]);
    let page = std::fs::read_to_string(at.join("out/report.html")).unwrap();
    assert!(page.contains("<h2>Strategies</h2>") && page.contains("<h2>Thinning</h2>"));

    let explained = ok(at, &["explain", "out/pruned.spectral"]).out;
    assert!(explained.contains("strategy `tests.thin`: pruned 30 %"), "{explained}");
    ok(at, &["undo", "out/pruned.spectral", "--out", "after-strategy.spectral"]);
    ok(at, &["undo", "out/pruned.spectral", "--steps", "2", "--out", "before.spectral"]);
    let read = |name: &str| std::fs::read(at.join(name)).unwrap();
    assert!(read("after-strategy.spectral") == read("out/before-step-2.spectral"));
    assert!(read("before.spectral") == read("out/dense.spectral"));
}

#[test]
fn the_tracker_follows_classes_through_every_training_phase() {
    let folder = folder(&[THIN, ("sweep = [0.5]", "tracker = true")]);
    let report = ok(folder.path(), &["run", "small.toml", "--out", "out", "--json"]).json();
    let tables = report["tables"].as_array().unwrap();
    let of = |phase: &str| {
        let title = |t: &&serde_json::Value| t["title"].as_str().unwrap().starts_with(&format!("{phase}: Cosine"));
        tables.iter().filter(title).collect::<Vec<_>>()
    };
    for phase in ["train", "tests.thin: step 1", "tests.thin: step 2", "finetune 1"] {
        assert_eq!(of(phase).len(), 4, "{phase}");
    }
    let between = of("train")[0];
    let (columns, rows) = (between["columns"].as_array().unwrap(), between["rows"].as_array().unwrap());
    assert_eq!((columns.len(), rows.len(), &between["plot"]["x"]), (4, 4, &0.into()), "{between}");
    let at_the_output = |row: usize| rows[row][3].as_f64().unwrap();
    assert!(at_the_output(3) > at_the_output(0) + 0.1, "{between}");
}

#[test]
fn a_strategy_that_prunes_needs_no_pruning_step() {
    let prune = "[prune]\ncriterion = \"magnitude\"\ngranularity = \"unit\"\namount = 0.6\n";
    let folder = folder(&[(prune, "[[strategy]]\nname = \"tests.thin\"\namount = 0.9\n")]);
    let report = ok(folder.path(), &["run", "small.toml", "--out", "out", "--json"]).json();
    assert_eq!(report["stages"].as_array().unwrap().len(), 5);
    assert!(report["verdict"]["smaller"]["ratio"].as_f64().unwrap() < 0.5, "{}", report["verdict"]);
    let last = report["curves"].as_array().unwrap().last().unwrap();
    assert_eq!(last["phase"], "finetune");
}

#[test]
fn strategies_are_listed_and_overridden() {
    let folder = folder(&[THIN]);
    let at = folder.path();
    let listed = ok(at, &["plugins"]).out;
    assert!(listed.contains("strategy") && listed.contains("tests.thin") && listed.contains("\"steps\":2"), "{listed}");
    let args = ["run", "small.toml", "--out", "out", "--json", "--set", "strategy.0.steps=3"];
    assert_eq!(ok(at, &args).json()["tables"][0]["rows"].as_array().unwrap().len(), 3);
}

#[test]
fn bad_strategies_are_refused_before_training() {
    let folder = folder(&[THIN]);
    let at = folder.path();
    let before = files(at);
    for (set, words) in [
        ("strategy.0.name=tests.thinn", &["tests.thinn", "did you mean `tests.thin`", "[[strategy]] 1"][..]),
        ("strategy.0.amout=0.5", &["unknown key `amout`", "did you mean `amount`"]),
        ("strategy.0.amount=1.5", &["`amount` must be between 0 and 1"]),
        ("strategy.0.amount=many", &["many"]),
        ("data.validation=1.0", &["data.validation", "between 0 and 1"]),
        ("strategy=3", &["strategy"]),
        // 10^9 epochs would never end, so nothing may train first.
        ("strategy.0.steps=-1", &["-1"]),
    ] {
        let done = xtask(at, &["run", "small.toml", "--out", "out", "--set", "train.epochs=1000000000", "--set", set]);
        let said = done.err.trim();
        assert_eq!((done.code, said.lines().count(), files(at)), (2, 1, before.clone()), "{set}: {said}");
        assert!(words.iter().all(|w| said.contains(w)), "{set}: {said}");
    }
}
