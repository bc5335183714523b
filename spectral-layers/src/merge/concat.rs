//! Several inputs side by side.

use super::several;
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Accum, RowCopy};
use spectral_core::layer::to_config;
use spectral_core::{Error, Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// `y = [x_0; x_1; ...]`: the units of two or more inputs one after the other. All axes but the first must agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concat {}

impl Layer for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let first = several(self.kind(), inputs)?;
        let mut extents = first.extents().to_vec();
        for input in &inputs[1..] {
            if input.extents()[1..] != first.extents()[1..] {
                return Err(Error::shape("concat", format!("inputs like {first} but for the first axis"), input));
            }
            extents[0] += input.rows();
        }
        Shape::new(&extents)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let mut to_row = 0;
        for i in 0..cx.inputs.len() {
            let x = cx.inputs.get(i);
            let rows = x.shape().rows();
            cx.backend.copy_rows(RowCopy { from_row: 0, to_row, rows }, x, cx.output, Accum::Replace)?;
            to_row += rows;
        }
        Ok(())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let mut from_row = 0;
        for i in 0..cx.inputs.len() {
            let rows = cx.inputs.get(i).shape().rows();
            if let Some(slot) = cx.input_grads.slot(i) {
                cx.backend.copy_rows(RowCopy { from_row, to_row: 0, rows }, cx.dy, slot.tensor, slot.accum)?;
            }
            from_row += rows;
        }
        Ok(())
    }

    fn op(&self) -> Op {
        Word::Concat.into()
    }
}

register_layer!(Concat, "concat", "its inputs one after the other", || {
    (Arc::new(Concat {}), vec![Shape::vector(2), Shape::vector(3), Shape::vector(1)])
});
