//! The dense layer that starts out sparse.

use crate::{Dense, WeightPenalties, check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Forward, Init, Layer, LowerCx, Lowered, ParamSpec, Result, Saved, Shape, Units, Vjp, register_layer,
};
use std::sync::Arc;

/// A [`Dense`] layer of whose weights only a random share of `density` is not pruned from the start.
///
/// The mask is drawn from the model's seed, hits the share to the entry, and is owned by the parameter arena like
/// that of any pruned weight: it trains, prunes, compacts and converts as one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masked {
    /// Output units, at least 1.
    pub units: usize,
    /// Share of weights that are kept, in `0..=1`.
    pub density: f64,
    /// Applied to every output; element-wise only.
    #[serde(default, deserialize_with = "forms::activation")]
    pub activation: Activation,
    /// Whether there is a bias.
    #[serde(default = "forms::yes")]
    pub bias: bool,
    /// Initial weights.
    #[serde(default = "forms::glorot_uniform", deserialize_with = "forms::init")]
    pub init: Init,
    /// Initial biases.
    #[serde(default = "forms::zeros", deserialize_with = "forms::init")]
    pub bias_init: Init,
    /// Penalties added to the loss.
    #[serde(default)]
    pub penalties: WeightPenalties,
}

impl Masked {
    /// A layer with bias, Glorot-uniform weights and no penalties.
    pub fn new(units: usize, activation: Activation, density: f64) -> Self {
        let Dense { units, activation, bias, init, bias_init, penalties } = Dense::new(units, activation);
        Self { units, density, activation, bias, init, bias_init, penalties }
    }

    /// The same layer without its initial mask: all that it computes with.
    fn dense(&self) -> Dense {
        let Self { units, density: _, activation, bias, init, bias_init, penalties } = *self;
        Dense { units, activation, bias, init, bias_init, penalties }
    }

    fn width(&self, inputs: &[Shape]) -> Result<usize> {
        if !(0.0..=1.0).contains(&self.density) {
            return Err(check::bad(self.kind(), format!("`density` is {}; it must be from 0 to 1", self.density)));
        }
        self.dense().check(self.kind(), inputs)
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
        self.width(inputs).map(|_| Shape::vector(self.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        Ok(self.dense().specs(self.width(inputs)?, self.density))
    }

    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        self.dense().saved(inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        self.dense().forward(cx)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        self.dense().vjp(cx)
    }

    fn units(&self) -> Units {
        Units::Own
    }

    fn with_units(&self, units: usize) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { units, ..*self }))
    }

    fn with_bias(&self) -> Option<Arc<dyn Layer>> {
        (!self.bias).then(|| Arc::new(Self { bias: true, ..*self }) as _)
    }

    fn with_activation(&self, activation: Activation) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { activation, ..*self }))
    }

    fn lower(&self, cx: &LowerCx<'_>) -> Result<Lowered> {
        self.dense().lowered(cx.params)
    }
}

register_layer!(Masked, "masked", "act(W x + b) with a random mask on W from the start", || {
    (Arc::new(Masked::new(4, Activation::Tanh, 0.5)), vec![Shape::vector(5)])
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
