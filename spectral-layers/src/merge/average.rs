//! The mean of several inputs.

use super::{same, turn};
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// `y = (x_0 + x_1 + ...) / n` over `n` inputs of one shape, at least two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {}

impl Layer for Average {
    fn kind(&self) -> &'static str {
        "average"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        same(self.kind(), inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let share = 1.0 / cx.inputs.len() as f64;
        (0..cx.inputs.len()).try_for_each(|i| cx.backend.scale(share, cx.inputs.get(i), cx.output, turn(i)))
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let share = 1.0 / cx.inputs.len() as f64;
        for i in 0..cx.inputs.len() {
            if let Some(slot) = cx.input_grads.slot(i) {
                cx.backend.scale(share, cx.dy, slot.tensor, slot.accum)?;
            }
        }
        Ok(())
    }

    fn op(&self) -> Op {
        Word::Average.into()
    }
}

register_layer!(Average, "average", "the mean of its inputs", || (Arc::new(Average {}), vec![Shape::vector(4); 3]));
