//! The dense layer that starts out sparse.

use crate::{Dense, check, forms};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Change, Forward, Layer, Op, ParamSpec, Penalty, Result, Saved, Shape, Vjp, register_layer,
};
use std::sync::Arc;

/// A [`Dense`] layer that keeps only a random share `density` of its weights; the others are pruned from the start.
///
/// The mask is drawn from the model's seed and keeps that share, rounded to whole weights. The parameter arena owns it
/// like the mask of any pruned weight, so training, pruning, compaction and conversion treat it alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Masked {
    /// Share of weights that are kept, in `0..=1`.
    pub density: f64,
    /// The settings of the dense layer.
    #[serde(flatten)]
    pub dense: Dense,
}

impl TryFrom<Map<String, Value>> for Masked {
    type Error = String;
    fn try_from(table: Map<String, Value>) -> Result<Self, String> {
        let (density, dense) = forms::beside_dense(table, "density")?;
        Ok(Self { density, dense })
    }
}

impl Masked {
    /// A layer with bias, Glorot-uniform weights and no penalties.
    pub fn new(units: usize, activation: Activation, density: f64) -> Self {
        Self { density, dense: Dense::new(units, activation) }
    }

    fn width(&self, inputs: &[Shape]) -> Result<usize> {
        check::density(self.kind(), self.density)?;
        self.dense.check(self.kind(), inputs)
    }
}

impl Layer for Masked {
    fn kind(&self) -> &'static str {
        "masked"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.width(inputs).map(|_| Shape::vector(self.dense.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        self.width(inputs)?;
        let mut specs = self.dense.params(inputs)?;
        specs[0].density = self.density;
        Ok(specs)
    }

    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        self.dense.saved(inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        self.dense.forward(cx)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        self.dense.vjp(cx)
    }

    fn output_penalty(&self) -> Penalty {
        self.dense.output_penalty
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        let layer = match change {
            Change::Density(density) => Self { density, ..*self },
            other => Self { dense: self.dense.changed(other)?, ..*self },
        };
        Some(Arc::new(layer))
    }

    fn op(&self) -> Op {
        self.dense.op()
    }
}

register_layer!(Masked, "masked", "act(W x + b) with a random mask on W from the start", || {
    (Arc::new(Masked { density: 0.5, dense: Dense::example(4) }), vec![Shape::vector(5)])
});

#[cfg(test)]
mod tests {
    use crate::prelude::*;
    use spectral_core::{Reference, Seed};

    #[test]
    fn the_mask_hits_its_density_and_depends_on_the_seed() {
        let build = |seed| Network::new(20).masked(30, Relu, 0.1).build(&Reference, Seed(seed)).unwrap();
        let (a, again, other) = (build(1), build(1), build(2));
        let mask = |m: &spectral_core::Model| m.params().get(spectral_core::ParamId(0)).pruned().cloned().unwrap();
        assert_eq!(mask(&a).count(), 540);
        assert_eq!(mask(&a), mask(&again));
        assert_ne!(mask(&a), mask(&other));
        let weights = a.params().get(spectral_core::ParamId(0)).value().host::<f32>().unwrap();
        assert!(mask(&a).iter().all(|i| weights[i].to_bits() == 0));
    }

    #[test]
    fn an_impossible_density_is_refused() {
        for density in [-0.1, 1.1, f64::NAN] {
            let error = Network::new(3).masked(3, Relu, density).build(&Reference, Seed(0)).unwrap_err();
            assert!(error.to_string().contains("must be from 0 to 1"), "{error}");
        }
    }
}
