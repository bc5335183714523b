//! Which model a model is does not depend on how the program is written.

use crate::models;
use spectral_core::{
    CanonicalConfigs, DType, Error, Forward, Layer, LayerEntry, Model, NodeSpec, Reference, Result, Seed, Shape,
    Source, Vjp, register_layer, registry,
};
use spectral_io::{from_bytes, inspect, to_bytes};
use std::sync::Arc;

/// Fixed for good: another value orphans histories and deltas.
#[test]
fn content_hashes_stay_what_they_are() {
    let wanted = [
        "dense f32 v2-df345e9d432463362885c7c2b91ba42b",
        "masked f32 v2-6fb33fbe9bc59a4da29404d49a4f6ca1",
        "sparse f32 v2-51ad1e5b881fe91b1d54cf6e5d2fa22a",
        "spectral f32 v2-ca4285b6d20fdb4371e932761293e8c0",
        "dense f64 v2-7b6760a2eacc837d2e2c62ac2d7d6786",
        "masked f64 v2-426a666c6f0253f13782c0f5b71c9e9d",
        "sparse f64 v2-a5eb61c496924a99a9118b2ec09ad7df",
        "spectral f64 v2-5cc8d70a57a87d97ab71a58b1703b513",
    ];
    let found = [DType::F32, DType::F64].into_iter().flat_map(|dtype| {
        models::all(dtype).into_iter().map(move |(name, m)| format!("{name} {dtype} {}", m.content_hash().unwrap()))
    });
    assert_eq!(found.collect::<Vec<_>>(), wanted);
}

/// A layer as it is today: it has one more setting than before, and reads an older version of its settings.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Grown {
    strength: u32,
    #[serde(default)]
    added: f64,
    #[serde(default)]
    parts: Parts,
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Parts {
    one: f64,
    two: Option<String>,
}

/// The same kind as it was when it had one setting.
#[derive(Debug)]
struct Young {
    strength: u32,
}

macro_rules! passes_nothing_on {
    ($layer:ty) => {
        impl Layer for $layer {
            fn kind(&self) -> &'static str {
                "tests.grown"
            }
            fn config(&self) -> Result<serde_json::Value> {
                self.settings()
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
    };
}
passes_nothing_on!(Grown);
passes_nothing_on!(Young);

impl Grown {
    fn new(strength: u32) -> Self {
        Self { strength, added: 0.0, parts: Parts::default() }
    }
    fn settings(&self) -> Result<serde_json::Value> {
        spectral_core::layer::to_config("tests.grown", self)
    }
}

impl Young {
    fn settings(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "strength": self.strength }))
    }
}

fn example() -> (Arc<dyn Layer>, Vec<Shape>) {
    (Arc::new(Grown::new(1)), vec![Shape::vector(2)])
}

/// Version 1 counted strength in halves.
fn from_halves(_: u32, mut config: serde_json::Value) -> Result<serde_json::Value> {
    let halves = config["strength"].as_u64().ok_or_else(|| Error::config("layer `tests.grown`", "needs `strength`"))?;
    config["strength"] = (halves / 2).into();
    Ok(config)
}

register_layer!(Grown, "tests.grown", "grew a setting", example, version = 2, upgrade = from_halves);

fn model(layer: impl Layer) -> Model {
    let node = NodeSpec { name: "grown".into(), layer: Arc::new(layer), inputs: vec![Source::Input] };
    Model::build(Shape::vector(3), &[node], &Reference, DType::F32, Seed(0)).unwrap()
}

#[test]
fn a_setting_that_is_added_with_a_default_changes_no_hash_and_no_file() {
    let (young, grown) = (model(Young { strength: 7 }), model(Grown::new(7)));
    assert_ne!(young.graph().nodes()[0].layer.config().unwrap(), grown.graph().nodes()[0].layer.config().unwrap());
    assert_eq!(young.content_hash().unwrap(), grown.content_hash().unwrap());
    assert!(to_bytes(&young).unwrap() == to_bytes(&grown).unwrap());
    let others = [
        Grown::new(8),
        Grown { added: 0.5, ..Grown::new(7) },
        Grown { parts: Parts { one: 1.0, two: None }, ..Grown::new(7) },
        Grown { parts: Parts { one: 0.0, two: Some(String::new()) }, ..Grown::new(7) },
    ];
    let mut hashes: Vec<String> = others.into_iter().map(|o| model(o).content_hash().unwrap().to_string()).collect();
    hashes.push(young.content_hash().unwrap().to_string());
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 5, "settings that differ give other hashes");
}

#[test]
fn only_settings_that_differ_from_their_default_are_kept_parts_of_settings_too() {
    let mut canonical = CanonicalConfigs::default();
    let mut of = |layer: Grown| canonical.of(&layer).unwrap().clone();
    assert_eq!(of(Grown::new(3)).config, serde_json::json!({ "strength": 3 }));
    let partly = of(Grown { parts: Parts { one: 2.0, two: None }, ..Grown::new(3) });
    assert_eq!((partly.version, partly.config), (2, serde_json::json!({ "strength": 3, "parts": { "one": 2.0 } })));
}

#[test]
fn settings_of_an_older_version_are_upgraded_and_of_a_newer_one_refused() {
    let entry = registry::find::<LayerEntry>("tests.grown").unwrap();
    let read = |version| entry.read(version, serde_json::json!({ "strength": 10 }));
    assert_eq!(read(1).unwrap().config().unwrap()["strength"], 5);
    assert_eq!(read(2).unwrap().config().unwrap()["strength"], 10);
    let error = read(3).unwrap_err().to_string();
    assert!(error.contains("settings of version 3, this program reads up to 2; use a newer version"), "{error}");
    // The version is in the file: settings of version 2 are not upgraded when they come back.
    let bytes = to_bytes(&model(Grown::new(10))).unwrap();
    let again = from_bytes(&bytes, &Reference).unwrap();
    assert_eq!(again.graph().nodes()[0].layer.config().unwrap()["strength"], 10);
    assert_eq!(inspect(&bytes).unwrap().nodes[0].config, serde_json::json!({ "strength": 10 }));
}
