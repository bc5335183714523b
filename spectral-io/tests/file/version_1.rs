//! Files of format version 1, written by the program that had no other, keep loading, computing and undoing.
//!
//! `golden/v1` holds the results of three small runs on the digits with single steps after them, a chain of deltas, and
//! one model of each kind of layer in `layers`. `expected.json` has for each what that program said: the content hash
//! in the header, a checksum of all bits (values, masks, patterns), and outputs.

use spectral_core::ndarray::Array2;
use spectral_core::{DType, HistoryEntry, Mask, Model, ParamId, Plan, Reference, Session, hash64};
use spectral_io::{VERSION, delta_from_bytes, find_parent, from_bytes, load, load_delta, read_header, save, to_bytes};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Expected {
    content: String,
    bits: u32,
    outputs: Vec<f64>,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&std::fs::read(golden("expected.json")).unwrap()).unwrap()
}

fn model(name: &str) -> Model {
    load(golden(name), &Reference).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// CRC-32 of every value as 64 bits, every mask and every pattern.
fn bits(model: &Model) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (_, param) in model.params().iter() {
        hasher.update(param.name.as_bytes());
        for value in model.backend().download(param.value()).unwrap() {
            hasher.update(&value.to_bits().to_le_bytes());
        }
        for word in param.pruned().map_or(&[][..], Mask::words) {
            hasher.update(&word.to_le_bytes());
        }
        if let Some(pattern) = &param.pattern {
            for index in pattern.starts().iter().chain(pattern.indices()) {
                hasher.update(&index.to_le_bytes());
            }
        }
    }
    hasher.finalize()
}

/// Outputs for three fixed samples.
fn outputs(model: &Model) -> Vec<f64> {
    let features = model.graph().input().len();
    let input = |r: usize, c: usize| (hash64(r as u64, c as u64) % 1000) as f64 / 1000.0;
    let mut session = Session::new(model, &Plan::default()).unwrap();
    match model.dtype() {
        DType::F32 => {
            let samples = Array2::from_shape_fn((3, features), |(r, c)| input(r, c) as f32);
            session.run(samples.view()).unwrap().iter().map(|v| f64::from(*v)).collect()
        }
        DType::F64 => {
            let samples = Array2::from_shape_fn((3, features), |(r, c)| input(r, c));
            session.run(samples.view()).unwrap().into_iter().collect()
        }
    }
}

#[test]
fn every_file_loads_to_its_bits_and_computes_what_it_did() {
    let expected = expected();
    assert_eq!(expected.len(), 27);
    for (name, wanted) in expected {
        let model = model(&name);
        assert_eq!(read_header(golden(&name)).unwrap().hash.to_string(), wanted.content, "{name}");
        assert_eq!(bits(&model), wanted.bits, "{name}");
        for (got, wanted) in outputs(&model).iter().zip(&wanted.outputs) {
            assert!((got - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{name}: {got} instead of {wanted}");
        }
    }
}

/// The file that each model was made from, step by step.
#[test]
fn undo_finds_every_parent_bit_for_bit() {
    let expected = expected();
    let chains: [&[&str]; 4] = [
        &["steps/compact.spectral", "steps/pruned.spectral", "steps/before-step-2.spectral", "steps/dense.spectral"],
        &["steps/third-compact.spectral", "steps/third.spectral", "steps/again.spectral", "steps/sparse.spectral"],
        &["kinds/sparse.spectral", "kinds/compact.spectral", "kinds/pruned.spectral", "kinds/dense.spectral"],
        &["wide/sparse.spectral", "wide/compact.spectral", "wide/pruned.spectral", "wide/dense.spectral"],
    ];
    let is_step = |action: &str| matches!(action, "prune" | "compact" | "sparsify");
    for chain in chains {
        let history = model(chain[0]).meta.history;
        let steps: Vec<usize> = (0..history.len()).filter(|&i| is_step(&history[i].action)).collect();
        for (parent, &entry) in chain[1..].iter().zip(steps.iter().rev()) {
            let found = find_parent(golden(parent).parent().unwrap(), &history, entry).unwrap();
            assert_eq!(found, Some(golden(parent)), "{chain:?}: step {entry}");
            assert_eq!(bits(&load(golden(parent), &Reference).unwrap()), expected[*parent].bits, "{parent}");
        }
    }
}

#[test]
fn deltas_apply_one_after_the_other() {
    let expected = expected();
    let tuned = load_delta(golden("deltas/tuned.delta"), &model("deltas/base.spectral")).unwrap();
    assert_eq!(bits(&tuned), expected["deltas/tuned.spectral"].bits);
    assert_eq!(tuned.meta.history, model("deltas/tuned.spectral").meta.history);
    let cut = load_delta(golden("deltas/cut.delta"), &tuned).unwrap();
    assert_eq!(bits(&cut), expected["deltas/cut.spectral"].bits);
    assert_eq!(outputs(&cut), outputs(&model("deltas/cut.spectral")));
    assert!(load_delta(golden("deltas/cut.delta"), &model("deltas/base.spectral")).is_err());
}

/// Old and new files can be parents of each other: hashes of either version lead to files of either version.
#[test]
fn chains_go_on_over_the_change_of_versions() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let step = |parent: &Model| {
        let mut child = parent.duplicate().unwrap();
        let parent = parent.content_hash().unwrap();
        child.meta.history.push(HistoryEntry { action: "prune".into(), parent, detail: serde_json::json!({}) });
        child
    };
    for name in ["steps/sparse.spectral", "kinds/dense.spectral", "wide/pruned.spectral"] {
        // A new step that starts from an old file.
        let old = model(name);
        std::fs::copy(golden(name), at("parent.spectral")).unwrap();
        let history = step(&old).meta.history;
        let entry = history.len() - 1;
        assert_eq!(find_parent(folder.path(), &history, entry).unwrap(), Some(at("parent.spectral")), "{name}");
        // An old step whose parent was saved again since, as `undo` does.
        let mut history = old.meta.history.clone();
        let version_1 = read_header(golden(name)).unwrap().hash;
        history.push(HistoryEntry { action: "prune".into(), parent: version_1, detail: serde_json::json!({}) });
        save(at("parent.spectral"), &old).unwrap();
        assert_eq!(read_header(at("parent.spectral")).unwrap().version, VERSION);
        assert_eq!(find_parent(folder.path(), &history, entry).unwrap(), Some(at("parent.spectral")), "{name}");
        // Also if nothing but its contents says so.
        let mut stripped = old.duplicate().unwrap();
        stripped.meta.alias = None;
        save(at("parent.spectral"), &stripped).unwrap();
        assert_eq!(find_parent(folder.path(), &history, entry).unwrap(), Some(at("parent.spectral")), "{name}");
        // Another model is not taken for it, whatever it was made from.
        let mut changed = step(&old);
        let (params, backend) = changed.params_mut();
        params.edit(backend, ParamId(0), |t| backend.fill(0.25, t)).unwrap();
        save(at("parent.spectral"), &changed).unwrap();
        assert_eq!(find_parent(folder.path(), &history, entry).unwrap(), None, "{name}");
        assert_eq!(read_header(at("parent.spectral")).unwrap().meta.alias, None, "it says nothing about this model");
    }
}

#[test]
fn an_old_delta_applies_to_its_base_after_that_was_saved_again() {
    let base = from_bytes(&to_bytes(&model("deltas/base.spectral")).unwrap(), &Reference).unwrap();
    let tuned = load_delta(golden("deltas/tuned.delta"), &base).unwrap();
    let tuned = from_bytes(&to_bytes(&tuned).unwrap(), &Reference).unwrap();
    let cut = load_delta(golden("deltas/cut.delta"), &tuned).unwrap();
    assert_eq!(bits(&cut), expected()["deltas/cut.spectral"].bits);
}

#[test]
fn no_byte_of_an_old_file_can_be_flipped_unnoticed() {
    let base = model("deltas/tuned.spectral");
    for (name, is_delta) in [("layers/masked-f32.spectral", false), ("deltas/cut.delta", true)] {
        let good = std::fs::read(golden(name)).unwrap();
        let fails = |bytes: &[u8]| match is_delta {
            true => delta_from_bytes(bytes, &base).is_err(),
            false => from_bytes(bytes, &Reference).is_err(),
        };
        assert!(!fails(&good), "{name}");
        for at in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                assert!(fails(&bad), "{name}: byte {at} with {flip:02x}");
            }
            assert!(fails(&good[..at]), "{name}: cut at {at}");
        }
    }
}
