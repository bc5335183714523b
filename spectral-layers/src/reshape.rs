//! The same values as samples of another shape.

mod flatten;

pub use flatten::Flatten;

use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{Accum, Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// Samples of the shape `shape`, with their values in the same order: for example rows of pixels as images
/// `[channels, height, width]`.
///
/// No unit in front of it can be removed, because units before and after it do not match. [`Flatten`] is the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// Extents of a sample, at most four.
    pub shape: Vec<usize>,
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let input = check::only(self.kind(), inputs)?;
        // The batch is an axis too.
        let shape = Shape::new(&self.shape).and_then(|s| s.with_batch(1).map(|_| s))?;
        if shape.len() == input.len() {
            return Ok(shape);
        }
        let problem = format!("{shape} has {} values, the samples {input} have {}", shape.len(), input.len());
        Err(check::bad(self.kind(), problem))
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
        Word::Reshape.into()
    }
}

register_layer!(Reshape, "reshape", "the same values as samples of another shape", || {
    (Arc::new(Reshape { shape: vec![1, 2, 3] }), vec![Shape::vector(6)])
});
