//! Images as rows of values.

use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{Accum, Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// All values of a sample in a row, one channel after the other. A channel that is pruned takes its values along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(Shape::vector(check::only(self.kind(), inputs)?.len()))
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        cx.backend.reshaped(cx.inputs.get(0), cx.output, Accum::Replace)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        match cx.input_grads.slot(0) {
            Some(slot) => cx.backend.reshaped(cx.dy, slot.tensor, slot.accum),
            None => Ok(()),
        }
    }

    fn op(&self) -> Op {
        Word::Flatten.into()
    }
}

register_layer!(Flatten, "flatten", "all values of an image in a row", || {
    (Arc::new(Flatten {}), vec![Shape::new(&[2, 3, 2]).unwrap_or(Shape::vector(12))])
});
