//! The dense layer.

use crate::{check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Linear, LinearGrads, SparseGrads, SparseLinear};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Affine, Change, Constraint, Forward, Init, Layer, LeftFactor, NodeParams, Op, Operand, ParamSpec,
    Penalty, Result, Role, Saved, Shape, Stored, Tensor, UnitAxis, Vjp, Word, register_layer,
};
use std::sync::Arc;

/// `y = act(W x + b)` with `W` `[units, in]` and `b` `[units]`.
///
/// Slots: `weight`, then `bias` if there is one. `weight` may be stored on a pattern
/// ([`Params::store`](spectral_core::Params::store)): then forward, the input gradient `W^T dz` and the weight gradient
/// take time and memory in proportion to the stored entries.
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
    /// Penalties added to the loss. Frozen parameters count too.
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
    /// On the weights. Norms are over all weights that lead into a unit.
    pub weight: Constraint,
    /// On the biases. The norm is over all of them.
    pub bias: Constraint,
}

/// Slots of the parameters.
const WEIGHT: usize = 0;
const BIAS: usize = 1;

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

    /// A layer that uses every setting, for the registry.
    pub(crate) fn example(units: usize) -> Self {
        let constraints = WeightConstraints { weight: Constraint::MaxNorm { max: 3.0 }, bias: Constraint::None };
        Self { constraints, output_penalty: Penalty { l1: 0.02, l2: 0.01 }, ..Self::new(units, Activation::Gelu) }
    }

    /// Checks all hyper-parameters against the inputs and returns the number of inputs.
    pub(crate) fn check(&self, kind: &'static str, inputs: &[Shape]) -> Result<usize> {
        self.check_settings(kind)?;
        check::width(kind, self.units, inputs)
    }

    /// Checks everything that does not depend on the inputs.
    pub(crate) fn check_settings(&self, kind: &'static str) -> Result<()> {
        check::fused(kind, self.activation)?;
        check::penalty(kind, "the weights", self.penalties.weight)?;
        check::penalty(kind, "the biases", self.penalties.bias)?;
        check::penalty(kind, "the outputs", self.output_penalty)?;
        self.constraints.weight.check("the weights")?;
        self.constraints.bias.check("the biases")
    }

    /// The parameters over `width` inputs.
    pub(crate) fn specs(&self, width: usize) -> Vec<ParamSpec> {
        let fan = (width, self.units);
        let matrix = Shape::matrix(self.units, width);
        let weight = ParamSpec::new("weight", Role::Weight, matrix, &[UnitAxis::Out, UnitAxis::In]);
        let (init, penalty, constraint) = (self.init, self.penalties.weight, self.constraints.weight);
        let mut specs = vec![ParamSpec { init, fan, penalty, constraint, ..weight }];
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
        self.bias.then(|| params.value(BIAS))
    }

    pub(crate) fn affine(&self) -> Word {
        let bias = self.bias.then_some(Operand::Slot(BIAS));
        Word::Affine(Affine { weight: Operand::Slot(WEIGHT), bias, activation: self.activation })
    }

    pub(crate) fn changed(&self, change: Change) -> Option<Self> {
        match change {
            Change::Units(units) => Some(Self { units, ..*self }),
            Change::Bias => (!self.bias).then_some(Self { bias: true, ..*self }),
            Change::Activation(activation) => Some(Self { activation, ..*self }),
            _ => None,
        }
    }
}

/// Whether a layer with this activation must keep its pre-activation.
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
        let mut specs = self.specs(self.check(self.kind(), inputs)?);
        specs[WEIGHT].stored = Stored::Either;
        Ok(specs)
    }

    fn saved(&self, _: &[Shape]) -> Vec<Saved> {
        self.kept().into_iter().collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let (x, values, bias) = (cx.inputs.get(0), cx.params.value(WEIGHT), self.bias(cx.params));
        let (activation, pre) = (self.activation, cx.saved.first_mut());
        match &cx.params.get(WEIGHT).pattern {
            None => cx.backend.linear(&Linear { x, weight: values, bias, activation }, cx.output, pre),
            Some(pattern) => {
                cx.backend.sparse_linear(&SparseLinear { x, pattern, values, bias, activation }, cx.output, pre)
            }
        }
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let at = if keeps_input(self.activation) { &cx.saved[0] } else { cx.output };
        cx.backend.activate_vjp(self.activation, at, cx.dy)?;
        let (x, weight, identity) = (cx.inputs.get(0), cx.params.value(WEIGHT), Activation::Identity);
        let pattern = cx.params.get(WEIGHT).pattern.as_ref();
        match pattern {
            None => cx.param_grads.leave_product(WEIGHT, LeftFactor::Dy),
            // Leaving the product is better where it moves less memory than writing the gradient.
            Some(pattern) if cx.dy.len() + x.len() < weight.len() => {
                cx.param_grads.leave_stored_product(WEIGHT, LeftFactor::Dy, pattern);
            }
            Some(_) => {}
        }
        let (values, bias) =
            if self.bias { cx.param_grads.slots([WEIGHT, BIAS])?.into() } else { (cx.param_grads.slot(WEIGHT), None) };
        let dx = cx.input_grads.slot(0);
        match pattern {
            None => {
                let op = Linear { x, weight, bias: None, activation: identity };
                cx.backend.linear_vjp(&op, cx.dy, LinearGrads { x: dx, weight: values, bias })
            }
            Some(pattern) => {
                let op = SparseLinear { x, pattern, values: weight, bias: None, activation: identity };
                cx.backend.sparse_linear_vjp(&op, cx.dy, SparseGrads { x: dx, values, bias })
            }
        }
    }

    fn output_penalty(&self) -> Penalty {
        self.output_penalty
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        self.changed(change).map(|layer| Arc::new(layer) as _)
    }

    fn op(&self) -> Op {
        self.affine().into()
    }
}

register_layer!(Dense, "dense", "act(W x + b)", || { (Arc::new(Dense::example(3)), vec![Shape::vector(4)]) });
