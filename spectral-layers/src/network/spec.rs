//! Layers as recipes describe them.

use super::Network;
use crate::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spectral_core::registry::{Unknown, find};
use spectral_core::{Activation, Layer, LayerEntry};
use std::sync::Arc;

/// One layer of a recipe: its kind, its place in the graph, and the kind's own settings.
///
/// In TOML: `{ kind = "dense", units = 10, activation = "relu", name = "head", inputs = ["a"] }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSpec {
    /// A registered kind of layer.
    pub kind: String,
    /// Its name; default: its kind and a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Names of the layers that are its inputs, `"input"` for the network's input. Default: the layer before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// All other keys: the settings of the kind.
    #[serde(flatten)]
    pub config: Map<String, Value>,
}

/// Keys that every layer has.
const COMMON: [&str; 3] = ["inputs", "kind", "name"];

impl LayerSpec {
    /// A layer of `kind` with the kind's settings, on top of the layer before it.
    pub fn new(kind: impl Into<String>, config: Map<String, Value>) -> Self {
        Self { kind: kind.into(), name: None, inputs: Vec::new(), config }
    }

    /// The layer, and softmax if it was requested for a layer that cannot fuse it.
    fn layers(&self) -> Result<(Arc<dyn Layer>, Option<Activation>)> {
        let entry = find::<LayerEntry>(&self.kind)?;
        let mut config = self.config.clone();
        let softmax = Value::from("softmax");
        let after = (self.kind != "activation" && config.get("activation") == Some(&softmax)).then(|| {
            config.insert("activation".into(), "identity".into());
            Activation::Softmax
        });
        let built = (entry.build)(Value::Object(config));
        let mut known = keys(&*(entry.example)().0)?;
        if let Ok(layer) = &built {
            known.extend(keys(&**layer)?);
        }
        known.extend(COMMON.map(String::from));
        known.sort_unstable();
        known.dedup();
        // Checked even if building failed: a layer may ignore keys that it does not know.
        if let Some(key) = self.config.keys().find(|k| !known.contains(k)) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(spectral_core::Error::from(Unknown::new("key", key, &known)).into());
        }
        Ok((built?, after))
    }
}

/// The settings of a layer, by name.
fn keys(layer: &dyn Layer) -> Result<Vec<String>> {
    Ok(match layer.config()? {
        Value::Object(settings) => settings.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    })
}

impl Network {
    /// A layer that a recipe describes.
    pub fn spec(mut self, spec: &LayerSpec) -> Self {
        let inputs = if spec.inputs.is_empty() { vec![self.here] } else { self.find_all(&spec.inputs) };
        let (layer, after) = match spec.layers() {
            Ok(layers) => layers,
            Err(e) => {
                let (number, name) = (self.nodes.len() + 1, spec.name.as_deref().unwrap_or(&spec.kind));
                self.problems.push(format!("layer {number} (`{name}`): {e}"));
                // Later layers may refer to this name, so it must not count as unknown there.
                if let Some(name) = &spec.name {
                    self.places.insert(name.clone(), self.here);
                }
                return self;
            }
        };
        let mut network = self.push(spec.name.as_deref(), layer, inputs).then(after);
        if let (Some(name), Some(_)) = (&spec.name, after) {
            network.places.insert(name.clone(), network.here);
        }
        network
    }
}
