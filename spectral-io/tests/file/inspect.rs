//! Headers can be read without the layers.

use crate::models;
use spectral_core::{DType, Forward, Layer, Model, NodeSpec, Reference, Result, Seed, Shape, Source, Vjp};
use spectral_io::{Encoding, Others, from_bytes, inspect, read_header, save, to_bytes};
use std::sync::Arc;

/// A layer that was never registered.
#[derive(Debug)]
struct Stranger;

impl Layer for Stranger {
    fn kind(&self) -> &'static str {
        "elsewhere.stranger"
    }
    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "strength": 11 }))
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }
    fn forward(&self, _: &mut Forward<'_>) -> Result<()> {
        Ok(())
    }
    fn vjp(&self, _: &mut Vjp<'_>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn unknown_layers_are_listed_but_not_loaded() {
    let node = NodeSpec { name: "odd".into(), layer: Arc::new(Stranger), inputs: vec![Source::Input] };
    let model = Model::build(Shape::vector(3), &[node], &Reference, DType::F32, Seed(0)).unwrap();
    let bytes = to_bytes(&model).unwrap();
    let seen = inspect(&bytes).unwrap();
    assert_eq!(seen.unknown_kinds(), ["elsewhere.stranger"]);
    assert_eq!(seen.nodes[0].config, serde_json::json!({ "strength": 11 }));
    let error = from_bytes(&bytes, &Reference).unwrap_err().to_string();
    assert!(error.contains("unknown layer `elsewhere.stranger`") && error.contains("use its_name as _"), "{error}");
}

#[test]
fn a_header_says_what_the_model_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.spectral");
    let model = models::masked(DType::F64);
    let report = save(&path, &model).unwrap();
    let seen = read_header(&path).unwrap();
    assert_eq!((seen.bytes, seen.hash), (std::fs::metadata(&path).unwrap().len(), model.content_hash().unwrap()));
    assert_eq!((report.bytes, report.hash, &report.tensors), (seen.bytes, seen.hash, &seen.tensors));
    assert_eq!(seen.meta, model.meta);
    assert_eq!(seen.input, Shape::vector(6));
    assert!(seen.unknown_kinds().is_empty());
    let names: Vec<&str> = seen.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, model.graph().nodes().iter().map(|n| n.name.as_str()).collect::<Vec<_>>());
    let weight = &seen.tensors[0];
    assert_eq!(
        (weight.name.as_str(), weight.encoding, weight.others),
        ("dense1.weight", Encoding::Bitmask, Others::Pruned)
    );
    assert_eq!((weight.stored, weight.shape, weight.dense_bytes), (21, Shape::matrix(7, 6), 336));
    assert_eq!(weight.bytes, 6 + 21 * 8);
}
