//! The dense layer whose weights are dropped at random in training.

use crate::dense::keeps_input;
use crate::{Dense, check, forms};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spectral_core::backend::{Accum, Dropout, GradSlot, Linear, LinearGrads};
use spectral_core::layer::to_config;
use spectral_core::{
    Activation, Change, Forward, Layer, Mode, Op, ParamSpec, Penalty, Result, Saved, Shape, Vjp, register_layer,
};
use std::sync::Arc;

/// `y = act((W * D) x + b)`. Each entry of `D` is 0 with probability `rate` and `1 / (1 - rate)` otherwise, drawn again
/// in every training step. At inference, it is a [`Dense`] layer.
///
/// Source: Wan et al., ICML 2013, with inverted scaling, so that inference needs none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct DropConnect {
    /// Share of weights dropped in a step, in `0..1`.
    pub rate: f64,
    /// The settings of the dense layer.
    #[serde(flatten)]
    pub dense: Dense,
}

impl TryFrom<Map<String, Value>> for DropConnect {
    type Error = String;
    fn try_from(table: Map<String, Value>) -> Result<Self, String> {
        let (rate, dense) = forms::beside_dense(table, "rate")?;
        Ok(Self { rate, dense })
    }
}

impl DropConnect {
    /// A layer with bias, Glorot-uniform weights and no penalties.
    pub fn new(units: usize, activation: Activation, rate: f64) -> Self {
        Self { rate, dense: Dense::new(units, activation) }
    }

    fn width(&self, inputs: &[Shape]) -> Result<usize> {
        check::rate(self.kind(), self.rate)?;
        self.dense.check(self.kind(), inputs)
    }

    fn dropout(&self, key: u64) -> Dropout {
        Dropout { rate: self.rate, key }
    }
}

/// Saved tensors before the pre-activation: the dropped weights and their gradient.
const WEIGHTS: usize = 2;

impl Layer for DropConnect {
    fn kind(&self) -> &'static str {
        "drop_connect"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.width(inputs).map(|_| Shape::vector(self.dense.units))
    }

    fn params(&self, inputs: &[Shape]) -> Result<Vec<ParamSpec>> {
        Ok(self.dense.specs(self.width(inputs)?))
    }

    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let matrix = Saved::Fixed(Shape::matrix(self.dense.units, inputs.first().map_or(0, Shape::len)));
        [matrix; WEIGHTS].into_iter().chain(self.dense.kept()).collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let (weights, pre) = cx.saved.split_at_mut(WEIGHTS);
        let weight = match cx.mode {
            Mode::Infer => cx.params.value(0),
            Mode::Train => {
                cx.backend.dropout(self.dropout(cx.key), cx.params.value(0), &mut weights[0], Accum::Replace)?;
                &weights[0]
            }
        };
        let bias = self.dense.bias(cx.params);
        let op = Linear { x: cx.inputs.get(0), weight, bias, activation: self.dense.activation };
        cx.backend.linear(&op, cx.output, pre.first_mut())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        if cx.mode == Mode::Infer {
            // The pre-activation has another place; everything else is as in the dense layer.
            cx.saved = &mut std::mem::take(&mut cx.saved)[WEIGHTS..];
            return self.dense.vjp(cx);
        }
        let (weights, pre) = cx.saved.split_at_mut(WEIGHTS);
        let (dropped, gradient) = weights.split_at_mut(1);
        let at = if keeps_input(self.dense.activation) { &pre[0] } else { cx.output };
        cx.backend.activate_vjp(self.dense.activation, at, cx.dy)?;
        let (weight, bias) =
            if self.dense.bias { cx.param_grads.slots([0, 1])?.into() } else { (cx.param_grads.slot(0), None) };
        let op = Linear { x: cx.inputs.get(0), weight: &dropped[0], bias: None, activation: Activation::Identity };
        let wanted = weight.is_some().then(|| GradSlot { tensor: &mut gradient[0], accum: Accum::Replace });
        cx.backend.linear_vjp(&op, cx.dy, LinearGrads { x: cx.input_grads.slot(0), weight: wanted, bias })?;
        match weight {
            Some(slot) => cx.backend.dropout(self.dropout(cx.key), &gradient[0], slot.tensor, slot.accum),
            None => Ok(()),
        }
    }

    fn output_penalty(&self) -> Penalty {
        self.dense.output_penalty
    }

    fn with(&self, change: Change) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Self { dense: self.dense.changed(change)?, ..*self }))
    }

    fn op(&self) -> Op {
        Op::at_inference(self.dense.affine())
    }
}

register_layer!(DropConnect, "drop_connect", "act(W x + b) with random weights dropped in every training step", || {
    (Arc::new(DropConnect { rate: 0.4, dense: Dense::example(3) }), vec![Shape::vector(4)])
});
