//! Files made to break readers: each is one sentence or a model, soon and with little memory.

use crate::models;
use crate::packed::Parts;
use spectral_core::{Activation, DType, Model, NodeSpec, Reference, Seed, Shape, Source};
use spectral_io::{from_bytes, inspect, load, read_header, to_bytes};
use spectral_layers::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(name)
}

#[test]
fn hostile_files_are_refused_in_one_sentence() {
    let cases = [
        ("wide50", "node `input`: a sample has 1125899906842624 values here, at most 67108864 are accepted"),
        ("img", "node `input`: a sample has 3298534883328 values here"),
        ("cat", "`c13`: a sample has 1048576 values here, at most 856064 are accepted; SPECTRAL_MAX_SAMPLE=N raises"),
        ("name-with-line-break", "node `a\\nb` is damaged"),
        ("control-characters", "is damaged"),
        ("parameter-of-no-layer", "is damaged"),
        ("parameter-without-name", "its name is empty or has control characters"),
        ("parameters-of-one-name", "another parameter has its name"),
        ("penalty-not-finite", "is damaged"),
        ("shape-overflow", "is damaged"),
    ];
    let mut failed = Vec::new();
    for (name, words) in cases {
        let path = file(&format!("{name}.spectral"));
        let started = Instant::now();
        let _ = (read_header(&path), inspect(&std::fs::read(&path).unwrap()));
        match load(&path, &Reference) {
            Err(e) if e.to_string().contains(words) && !e.to_string().contains(char::is_control) => {}
            other => failed.push(format!("{name}: {other:?}")),
        }
        if started.elapsed() > Duration::from_secs(2) {
            failed.push(format!("{name}: took {:?}", started.elapsed()));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A model that diverged can be looked at, and compared with the one before.
#[test]
fn values_that_are_not_finite_load_as_they_are() {
    let model = load(file("values-not-finite.spectral"), &Reference).unwrap();
    let values = model.params().iter().flat_map(|(_, p)| p.value().host::<f32>().unwrap().to_vec());
    assert!(values.into_iter().any(|v| !v.is_finite()));
}

#[test]
fn names_penalties_and_parameters_that_cannot_be_are_refused() {
    let mut model = models::dense(DType::F32);
    let id = model.params().by_name("dense1.weight").unwrap();
    model.params_mut().0.set_penalty(id, spectral_core::Penalty { l1: 0.5, l2: 0.25 });
    let good = Parts::of(&to_bytes(&model).unwrap());
    let with = |from: &[u8], to: &[u8]| {
        let mut bad = good.clone();
        let at = bad.records.windows(from.len()).rposition(|w| w == from).expect("the record has it");
        bad.records.splice(at..at + from.len(), to.iter().copied());
        from_bytes(&bad.file(), &Reference).map(drop).unwrap_err().to_string()
    };
    for (number, word) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (-1.0, "-1")] {
        let error = with(&0.5f64.to_le_bytes(), &number.to_le_bytes());
        assert!(error.contains(&format!("its penalties are {word} and 0.25")), "{error}");
    }
    assert!(with(b"dense2.bias", b"dense1.bias").contains("another parameter has its name"));
    let node = with(b"\x06dense2\x05dense", b"\x06dense\x1b\x05dense");
    assert!(node.contains("node `dense\\u{1b}`: has control characters in its name"), "{node}");
    assert!(with(b"dense2.bias", b"dense2\x1b[31m").contains("control characters"));
}

/// Four times as many layers and parameters take about four times as long, not sixteen.
#[test]
fn loading_takes_time_in_proportion_to_layers_and_parameters() {
    let time = |count: usize| {
        let dense: Arc<dyn spectral_core::Layer> =
            Arc::new(serde_json::from_value::<Dense>(serde_json::json!({ "units": 1 })).unwrap());
        let node = |i: usize| NodeSpec {
            name: format!("n{i}"),
            layer: dense.clone(),
            inputs: vec![if i == 0 { Source::Input } else { Source::Node(i - 1) }],
        };
        let nodes: Vec<NodeSpec> = (0..count).map(node).collect();
        let model = Model::build(Shape::vector(1), &nodes, &Reference, DType::F32, Seed(1)).unwrap();
        let bytes = to_bytes(&model).unwrap();
        let started = Instant::now();
        let again = from_bytes(&bytes, &Reference).unwrap();
        let taken = started.elapsed();
        assert_eq!(again.content_hash().unwrap(), model.content_hash().unwrap());
        taken
    };
    let [few, many] = [5_000, 20_000].map(time);
    println!("5,000 layers: {few:?}, 20,000 layers: {many:?}");
    assert!(many < 10 * few + Duration::from_millis(20), "5,000 layers: {few:?}, 20,000 layers: {many:?}");
}

#[test]
fn more_layers_than_a_file_holds_are_refused_by_the_writer_and_by_the_reader() {
    let relu: Arc<dyn spectral_core::Layer> =
        Arc::new(spectral_layers::ActivationLayer { activation: Activation::Relu });
    let node = |i: usize| NodeSpec { name: format!("n{i}"), layer: relu.clone(), inputs: vec![Source::Input] };
    let nodes: Vec<NodeSpec> = (0..65_537).map(node).collect();
    let model = Model::build(Shape::vector(1), &nodes, &Reference, DType::F32, Seed(1)).unwrap();
    let error = to_bytes(&model).unwrap_err().to_string();
    assert!(error.contains("it has 65537 layers, a file holds 65536"), "{error}");
    let fewer = Model::build(Shape::vector(1), &nodes[..65_536], &Reference, DType::F32, Seed(1)).unwrap();
    let mut lie = Parts::of(&to_bytes(&fewer).unwrap());
    // 252 announces a number of four bytes: that of the nodes.
    let at = lie.records.windows(5).position(|w| w == [252, 0, 0, 1, 0]).expect("the number of nodes");
    lie.records[at + 1] = 1;
    let error = inspect(&lie.file()).unwrap_err().to_string();
    assert!(error.contains("more than 65536 elements") || error.contains("is damaged"), "{error}");
}
