//! Layer normalisation.

use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Diagonal, DiagonalGrads, SampleNorm, SampleNormVjp};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Forward, Init, Layer, Normalise, Op, Operand, ParamSpec, Penalty, Result, Role, Saved, Shape, UnitAxis,
    Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y = gain * (x - mean) / sqrt(variance + epsilon) + bias`, with mean and (biased) variance of all values of a
/// sample, both in training and at inference.
///
/// Slots: `gain` and `bias`, `[units]`: one for each feature of a row of values, one for each channel of an image (a
/// group normalisation with one group). No unit in front of it can be removed, because a constant unit still counts in
/// the mean and the variance.
///
/// Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450; `epsilon` as in PyTorch and ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerNorm {
    /// Added to the variance, above 0.
    pub epsilon: f64,
    /// Penalty on the gains, added to the loss.
    pub penalty: Penalty,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self { epsilon: 1e-5, penalty: Penalty::default() }
    }
}

/// Slots of the parameters.
const GAIN: usize = 0;
const BIAS: usize = 1;

impl LayerNorm {
    fn input(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let problem = format!("`epsilon` is {}; it must be a finite number above 0", self.epsilon);
            return Err(check::bad(self.kind(), problem));
        }
        check::penalty(self.kind(), "the gains", self.penalty)?;
        check::only(self.kind(), inputs)
    }
}

impl Layer for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer_norm"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.input(inputs)
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let units = Shape::vector(self.input(inputs)?.rows());
        let spec = |name, role| ParamSpec::new(name, role, units, &[UnitAxis::Out]);
        Ok(vec![
            ParamSpec { init: Init::Ones, penalty: self.penalty, ..spec("gain", Role::Gain) },
            spec("bias", Role::Bias),
        ])
    }

    /// The standardised samples and their variances.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let input = inputs.first().map(|&input| [Saved::PerSample(input), Saved::PerSample(Shape::vector(1))]);
        input.into_iter().flatten().collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let [standard, variance] = cx.saved else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        let op = SampleNorm { x: cx.inputs.get(0), epsilon: self.epsilon };
        cx.backend.normalise_samples(&op, standard, variance)?;
        let (scale, bias) = (cx.params.value(GAIN), Some(cx.params.value(BIAS)));
        let op = Diagonal { x: standard, scale, bias, activation: Activation::Identity };
        cx.backend.diagonal(&op, cx.output, None)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let [standard, variance] = &*cx.saved else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        let gain = cx.params.value(GAIN);
        let [scale, bias] = cx.param_grads.slots([GAIN, BIAS])?;
        let op = Diagonal { x: standard, scale: gain, bias: None, activation: Activation::Identity };
        cx.backend.diagonal_vjp(&op, cx.dy, DiagonalGrads { x: None, scale, bias })?;
        let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
        let op = SampleNormVjp { y: standard, variance, epsilon: self.epsilon, scale: gain, dy: cx.dy };
        cx.backend.normalise_samples_vjp(&op, slot)
    }

    fn op(&self) -> Op {
        let (factor, bias) = (Operand::Slot(GAIN), Operand::Slot(BIAS));
        Word::Normalise(Normalise { factor, bias, epsilon: self.epsilon }).into()
    }
}

register_layer!(LayerNorm, "layer_norm", "each sample with mean 0 and variance 1, then gain and bias", || {
    let layer = LayerNorm { epsilon: 0.1, ..LayerNorm::default() };
    (Arc::new(layer), vec![Shape::new(&[3, 2, 2]).unwrap_or(Shape::vector(12))])
});
