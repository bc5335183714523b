//! Files of format version 1, written by the program that had no other, keep loading, computing and undoing.
//!
//! `golden/v1` holds the results of three small runs on the digits with single steps after them, a chain of deltas, and
//! one model of each kind of layer in `layers`. `expected.json` has for each what that program said: the content hash
//! in the header, a checksum of all bits (values, masks, patterns), and outputs.

use spectral_core::ndarray::Array2;
use spectral_core::{DType, Mask, Model, Plan, Reference, Session, hash64};
use spectral_io::{find_parent, load, load_delta, read_header};
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
