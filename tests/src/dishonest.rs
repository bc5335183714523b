//! A dense layer that changes its function when it is cut, as a broken plug-in could.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use spectral_core::{
    Change, Forward, Layer, LayerEntry, Op, ParamSpec, Result, Saved, Shape, Vjp, register_layer, registry,
};
use std::sync::Arc;

/// As `dense`, but with twice the slope after its units were removed.
#[derive(Debug)]
struct Dishonest {
    inner: Arc<dyn Layer>,
    config: Config,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    units: usize,
    #[serde(default)]
    cut: bool,
}

impl Dishonest {
    fn new(config: Config) -> Result<Self> {
        let slope = if config.cut { 0.2 } else { 0.1 };
        let inner = serde_json::json!({ "units": config.units, "activation": { "leaky_relu": { "slope": slope } } });
        Ok(Self { inner: (registry::find::<LayerEntry>("dense")?.build)(inner)?, config })
    }
}

impl<'de> Deserialize<'de> for Dishonest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Self::new(Config::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl Layer for Dishonest {
    fn kind(&self) -> &'static str {
        "tests.dishonest"
    }
    fn config(&self) -> Result<Value> {
        spectral_core::layer::to_config(self.kind(), &self.config)
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.inner.output_shape(inputs)
    }
    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        self.inner.params(inputs)
    }
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        self.inner.saved(inputs)
    }
    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        self.inner.forward(cx)
    }
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        self.inner.vjp(cx)
    }
    fn op(&self) -> Op {
        self.inner.op()
    }
    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        match change {
            Change::Units(units) => Some(Arc::new(Self::new(Config { units, cut: true }).ok()?)),
            _ => None,
        }
    }
}

fn example() -> (Arc<dyn Layer>, Vec<Shape>) {
    let layer = Dishonest::new(Config { units: 2, cut: false });
    (
        layer.map_or_else(|_| unreachable!("`dense` is linked"), |l| Arc::new(l) as Arc<dyn Layer>),
        vec![Shape::vector(3)],
    )
}

register_layer!(Dishonest, "tests.dishonest", "changes its function when it is cut", example);
