//! The sum of several inputs.

use super::{same, turn};
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// `y = x_0 + x_1 + ...` over two or more inputs of one shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {}

impl Layer for Add {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        same(self.kind(), inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        (0..cx.inputs.len()).try_for_each(|i| cx.backend.scale(1.0, cx.inputs.get(i), cx.output, turn(i)))
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        for i in 0..cx.inputs.len() {
            if let Some(slot) = cx.input_grads.slot(i) {
                cx.backend.scale(1.0, cx.dy, slot.tensor, slot.accum)?;
            }
        }
        Ok(())
    }

    fn op(&self) -> Op {
        Word::Add.into()
    }
}

register_layer!(Add, "add", "the sum of its inputs", || (Arc::new(Add {}), vec![Shape::vector(4); 3]));
