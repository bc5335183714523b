//! One trainable factor for each unit.

use crate::dense::keeps_input;
use crate::{check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Diagonal, DiagonalGrads};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Constraint, Forward, Init, Layer, Op, Operand, ParamSpec, Penalty, Result, Role, Saved, Scale, Shape,
    UnitAxis, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y = act(gain * x)` with one factor for each unit: a feature of a vector, a channel of an image.
///
/// Slots: `gain` `[units]`. It starts at one, so a gate behind a layer changes nothing at first. The criterion `gain`
/// prunes units whose gain training drives towards zero. Source: spectraltools.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Applied to every output; element-wise only.
    #[serde(default, deserialize_with = "forms::activation")]
    pub activation: Activation,
    /// Initial gains.
    #[serde(default = "forms::ones", deserialize_with = "forms::init")]
    pub init: Init,
    /// Whether the gains train (`eigval_grad` in spectraltools).
    #[serde(default = "forms::yes")]
    pub trainable: bool,
    /// Penalty on the gains, added to the loss.
    #[serde(default)]
    pub penalty: Penalty,
    /// What the gains satisfy after every training step. The norm is over all of them.
    #[serde(default)]
    pub constraint: Constraint,
}

impl Gate {
    /// Its registry name.
    pub(crate) const KIND: &str = "gate";

    /// A gate that starts at one, trains and has no penalty.
    pub fn new(activation: Activation) -> Self {
        Self {
            activation,
            init: Init::Ones,
            trainable: true,
            penalty: Penalty::default(),
            constraint: Constraint::None,
        }
    }

    fn input(&self, inputs: &[Shape]) -> Result<Shape> {
        check::fused(self.kind(), self.activation)?;
        check::penalty(self.kind(), "the gains", self.penalty)?;
        self.constraint.check("the gains")?;
        check::only(self.kind(), inputs)
    }
}

impl Layer for Gate {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.input(inputs)
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        let units = Shape::vector(self.input(inputs)?.rows());
        let gain = ParamSpec::new("gain", Role::Gain, units, &[UnitAxis::Out]);
        let Self { init, trainable, penalty, constraint, .. } = *self;
        Ok(vec![ParamSpec { init, trainable, penalty, constraint, ..gain }])
    }

    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let pre = inputs.first().filter(|_| keeps_input(self.activation));
        pre.map(|&shape| Saved::PerSample(shape)).into_iter().collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let op = Diagonal { x: cx.inputs.get(0), scale: cx.params.value(0), bias: None, activation: self.activation };
        cx.backend.diagonal(&op, cx.output, cx.saved.first_mut())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let at = if keeps_input(self.activation) { &cx.saved[0] } else { cx.output };
        cx.backend.activate_vjp(self.activation, at, cx.dy)?;
        let op =
            Diagonal { x: cx.inputs.get(0), scale: cx.params.value(0), bias: None, activation: Activation::Identity };
        let grads = DiagonalGrads { x: cx.input_grads.slot(0), scale: cx.param_grads.slot(0), bias: None };
        cx.backend.diagonal_vjp(&op, cx.dy, grads)
    }

    fn op(&self) -> Op {
        Word::Scale(Scale { factor: Operand::Slot(0), bias: None, activation: self.activation }).into()
    }
}

register_layer!(Gate, "gate", "act(gain * x) with one gain for each unit", || {
    (Arc::new(Gate::new(Activation::Gelu)), vec![Shape::new(&[3, 2, 2]).unwrap_or(Shape::vector(3))])
});
