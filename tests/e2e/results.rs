//! The folder of a run's results: its files always belong to one run.

use crate::support::{Done, command, done, files, folder, ok, xtask};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Every file of a folder with its content.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = files(folder).into_iter().filter(|name| folder.join(name).is_file());
    names.map(|name| (name.clone(), std::fs::read(folder.join(&name)).unwrap())).collect()
}

/// Two pruning steps, so that a run writes the model between them as well. How good that is does not matter here.
const TWO: (&str, &str) = (
    "[prune]\ncriterion = \"magnitude\"\ngranularity = \"unit\"\namount = 0.6\n",
    "[[prune]]\ncriterion = \"magnitude\"\ngranularity = \"unit\"\namount = 0.3\n\n\
     [[prune]]\ncriterion = \"magnitude\"\ngranularity = \"unit\"\namount = 0.6\n\n[verdict]\nmax_drop = 0.9\n",
);

fn refused(folder: &Path, args: &[&str]) -> Done {
    let done = xtask(folder, args);
    assert_eq!((done.code, done.err.trim().lines().count()), (2, 1), "{args:?}: {}", done.err);
    done
}

#[test]
fn a_refused_run_leaves_the_results_of_the_earlier_one() {
    let folder = folder(&[TWO]);
    let at = folder.path();
    ok(at, &["run", "small.toml", "--out", "out"]);
    let before = contents(&at.join("out"));
    assert!(before.contains_key("before-step-2.spectral"));
    let mut started = Instant::now();
    for change in ["train.batch=1000000000", "finetune.batch=5000", "prune.1.amount=1.0", "finetune.only=[\"dens1\"]"] {
        // All of them are found before training: that many epochs would take minutes.
        let args = ["run", "small.toml", "--out", "out", "--set", "train.epochs=20000", "--set", change];
        refused(at, &args);
        assert!(contents(&at.join("out")) == before, "{change}");
        assert!(started.elapsed() < Duration::from_secs(20), "{change} took {:?}", started.elapsed());
        started = Instant::now();
    }
    ok(at, &["undo", "out/pruned.spectral", "--out", "back.spectral"]);
}

#[test]
fn a_folder_in_the_place_of_a_result_is_noticed_before_training() {
    let folder = folder(&[]);
    let at = folder.path();
    std::fs::create_dir_all(at.join("out/dense.spectral")).unwrap();
    let done = refused(at, &["run", "small.toml", "--out", "out", "--set", "train.epochs=20000"]);
    assert!(done.err.contains("dense.spectral is a folder"), "{}", done.err);
    assert_eq!(files(&at.join("out")), ["dense.spectral"]);
}

/// A run in the background.
fn start(folder: &Path, args: &[&str]) -> Child {
    command(folder, args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn the_second_run_on_one_folder_is_refused() {
    let folder = folder(&[]);
    let at = folder.path();
    let mut first = start(at, &["run", "small.toml", "--out", "out", "--set", "train.epochs=20000"]);
    while !at.join("out/.spectral-run").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first run ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    let done = refused(at, &["run", "small.toml", "--out", "out"]);
    assert!(done.err.contains("another run is writing to out"), "{}", done.err);
    assert!(first.try_wait().unwrap().is_none() && at.join("out/.spectral-run").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock ended with the killed run, and the next run removes its leftovers.
    ok(at, &["run", "small.toml", "--out", "out"]);
    assert!(files(&at.join("out")).iter().all(|name| !name.starts_with('.')), "{:?}", files(&at.join("out")));
}

/// A run that is killed at any moment leaves all old results or all of its own, never a mixture.
#[test]
fn a_killed_run_leaves_no_mixture() {
    let folder = folder(&[TWO]);
    let at = folder.path();
    ok(at, &["run", "small.toml", "--out", "old", "--seed", "1"]);
    let plan = ["--plan", "old/sparse.spectral", "--seed", "2"];
    let started = Instant::now();
    ok(at, &[&["run", "small.toml", "--out", "new"], &plan[..]].concat());
    let whole = started.elapsed();
    // Reports are left out, because they differ in timings.
    let models = |folder: &str| {
        let mut models = contents(&at.join(folder));
        models.retain(|name, _| name.ends_with(".spectral") || name == "recipe.toml");
        models
    };
    let (old, new) = (models("old"), models("new"));
    let mut left = [0, 0];
    for k in [1, 4, 7, 9, 10, 11] {
        let _ = std::fs::remove_dir_all(at.join("out"));
        std::fs::create_dir(at.join("out")).unwrap();
        contents(&at.join("old"))
            .into_iter()
            .for_each(|(name, bytes)| std::fs::write(at.join("out").join(name), bytes).unwrap());
        let mut child = start(at, &[&["run", "small.toml", "--out", "out"], &plan[..]].concat());
        std::thread::sleep(whole * k / 10);
        let _ = child.kill();
        child.wait().unwrap();
        let found = models("out");
        assert!(found == old || found == new, "a mixture after {k}/10 of a run");
        left[usize::from(found == new)] += 1;
    }
    assert!(left[0] > 0, "no run was killed before its end: {left:?}");
}

/// A full standard output is not reported as a problem of `--out`.
#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = done(command(folder.path(), &["plugins"]).stdout(full).output().unwrap());
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("standard output") && !done.err.contains("--out"), "{}", done.err);
}
