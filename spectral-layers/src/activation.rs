//! An activation function as its own layer.

use crate::{check, forms};
use serde::{Deserialize, Serialize};
use spectral_core::backend::Accum;
use spectral_core::layer::to_config;
use spectral_core::{Activation, Error, Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// `y = act(x)`. Softmax always is such a layer, because other layers cannot fuse it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationLayer {
    /// The function.
    #[serde(deserialize_with = "forms::activation")]
    pub activation: Activation,
}

impl Layer for ActivationLayer {
    fn kind(&self) -> &'static str {
        "activation"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check::activation(self.kind(), self.activation)?;
        let shape = check::only(self.kind(), inputs)?;
        if !self.activation.is_elementwise() && shape.rank() != 1 {
            return Err(Error::shape("softmax", "input samples with one axis", shape));
        }
        Ok(shape)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        cx.backend.activate(self.activation, cx.inputs.get(0), cx.output)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
        let at = if self.activation.slope_needs_input() { cx.inputs.get(0) } else { cx.output };
        cx.backend.activate_vjp(self.activation, at, cx.dy)?;
        match slot.accum {
            Accum::Replace => cx.backend.copy(cx.dy, slot.tensor),
            Accum::Add => cx.backend.scale(1.0, cx.dy, slot.tensor, slot.accum),
        }
    }

    fn op(&self) -> Op {
        Word::Map(self.activation).into()
    }
}

register_layer!(ActivationLayer, "activation", "act(x), softmax included", || {
    (Arc::new(ActivationLayer { activation: Activation::Softmax }), vec![Shape::vector(5)])
});
