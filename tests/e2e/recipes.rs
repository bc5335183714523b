//! The built-in recipes reach what they promise.

use crate::support::{data_dir, ok};

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
