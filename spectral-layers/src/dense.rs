//! The dense layer.

use crate::{check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Linear, LinearGrads};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Affine, Constraint, Forward, Init, Layer, LeftFactor, LowerCx, Lowered, Matrix, NodeParams, ParamSpec,
    Penalty, Result, Role, Saved, Shape, Tensor, UnitAxis, Units, Vjp, register_layer,
};
use std::sync::Arc;

/// `y = act(W x + b)` with `W` `[units, in]` and `b` `[units]`.
///
/// Slots: `weight`, then `bias` if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Output units, at least 1.
    pub units: usize,
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
    /// Penalties added to the loss. They count frozen parameters too.
    #[serde(default)]
    pub penalties: WeightPenalties,
    /// What weights and biases satisfy after every training step.
    #[serde(default, skip_serializing_if = "forms::is_default")]
    pub constraints: WeightConstraints,
    /// Penalty on the outputs, a mean over the samples of a batch, added to the loss.
    #[serde(default, skip_serializing_if = "forms::is_default")]
    pub output_penalty: Penalty,
}

/// Penalties on the parameters of a layer with one weight matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightPenalties {
    /// On the weights.
    pub weight: Penalty,
    /// On the biases.
    pub bias: Penalty,
}

/// Constraints on the parameters of a layer with one weight matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightConstraints {
    /// On the weights; norms are those of all that leads into a unit.
    pub weight: Constraint,
    /// On the biases; the norm is that of all of them.
    pub bias: Constraint,
}

impl Dense {
    /// A layer with bias, Glorot-uniform weights, no penalties and no constraints.
    pub fn new(units: usize, activation: Activation) -> Self {
        Self {
            units,
            activation,
            bias: true,
            init: Init::GlorotUniform,
            bias_init: Init::Zeros,
            penalties: WeightPenalties::default(),
            constraints: WeightConstraints::default(),
            output_penalty: Penalty::default(),
        }
    }

    /// With every setting in use, for the registry.
    pub(crate) fn example(units: usize) -> Self {
        let constraints = WeightConstraints { weight: Constraint::MaxNorm { max: 3.0 }, bias: Constraint::None };
        Self { constraints, output_penalty: Penalty { l1: 0.02, l2: 0.01 }, ..Self::new(units, Activation::Gelu) }
    }

    /// Checks all hyper-parameters against the inputs and returns the number of inputs.
    pub(crate) fn check(&self, kind: &'static str, inputs: &[Shape]) -> Result<usize> {
        check::fused(kind, self.activation)?;
        check::penalty(kind, "the weights", self.penalties.weight)?;
        check::penalty(kind, "the biases", self.penalties.bias)?;
        check::penalty(kind, "the outputs", self.output_penalty)?;
        self.constraints.weight.check("the weights")?;
        self.constraints.bias.check("the biases")?;
        check::width(kind, self.units, inputs)
    }

    /// The parameters over `width` inputs, with a share of `density` weights that are not pruned.
    pub(crate) fn specs(&self, width: usize, density: f64) -> Vec<ParamSpec> {
        let fan = (width, self.units);
        let matrix = Shape::matrix(self.units, width);
        let weight = ParamSpec::new("weight", Role::Weight, matrix, &[UnitAxis::Out, UnitAxis::In]);
        let (init, penalty, constraint) = (self.init, self.penalties.weight, self.constraints.weight);
        let mut specs = vec![ParamSpec { init, fan, penalty, constraint, density, ..weight }];
        if self.bias {
            let bias = ParamSpec::new("bias", Role::Bias, Shape::vector(self.units), &[UnitAxis::Out]);
            let (init, penalty, constraint) = (self.bias_init, self.penalties.bias, self.constraints.bias);
            specs.push(ParamSpec { init, fan, penalty, constraint, ..bias });
        }
        specs
    }

    /// Room for the pre-activation, if the activation's slope needs it.
    pub(crate) fn kept(&self) -> Option<Saved> {
        keeps_input(self.activation).then(|| Saved::PerSample(Shape::vector(self.units)))
    }

    pub(crate) fn bias<'a>(&self, params: NodeParams<'a>) -> Option<&'a Tensor> {
        self.bias.then(|| params.value(1))
    }

    pub(crate) fn lowered(&self, params: NodeParams<'_>) -> Result<Lowered> {
        Ok(Lowered::Affine(Affine {
            weight: Matrix::Dense(params.value(0).duplicate()?),
            bias: self.bias(params).map(Tensor::duplicate).transpose()?,
            activation: self.activation,
        }))
    }
}

/// Whether a layer with this activation must keep what went into it.
pub(crate) fn keeps_input(activation: Activation) -> bool {
    activation.slope_needs_input()
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.check(self.kind(), inputs).map(|_| Shape::vector(self.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        Ok(self.specs(self.check(self.kind(), inputs)?, 1.0))
    }

    fn saved(&self, _: &[Shape]) -> Vec<Saved> {
        self.kept().into_iter().collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let op = Linear {
            x: cx.inputs.get(0),
            weight: cx.params.value(0),
            bias: self.bias(cx.params),
            activation: self.activation,
        };
        cx.backend.linear(&op, cx.output, cx.saved.first_mut())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let at = if keeps_input(self.activation) { &cx.saved[0] } else { cx.output };
        cx.backend.activate_vjp(self.activation, at, cx.dy)?;
        cx.param_grads.leave_product(0, LeftFactor::Dy);
        let (weight, bias) =
            if self.bias { cx.param_grads.slots([0, 1])?.into() } else { (cx.param_grads.slot(0), None) };
        let op =
            Linear { x: cx.inputs.get(0), weight: cx.params.value(0), bias: None, activation: Activation::Identity };
        cx.backend.linear_vjp(&op, cx.dy, LinearGrads { x: cx.input_grads.slot(0), weight, bias })
    }

    fn output_penalty(&self) -> Penalty {
        self.output_penalty
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
        self.lowered(cx.params)
    }
}

register_layer!(Dense, "dense", "act(W x + b)", || { (Arc::new(Dense::example(3)), vec![Shape::vector(4)]) });
