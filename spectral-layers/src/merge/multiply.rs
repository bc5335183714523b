//! The product of several inputs.

use super::same;
use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::backend::Accum;
use spectral_core::layer::to_config;
use spectral_core::{Forward, Layer, Op, Result, Saved, Shape, Tensor, Vjp, Word, register_layer};
use std::sync::Arc;

/// `y = x_0 * x_1 * ...`, element by element, over two or more inputs of one shape.
///
/// Backward never divides, so zeros among the inputs are exact: forward keeps the products of the first inputs, and
/// backward carries `dy` times the product of the last ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multiply {}

impl Layer for Multiply {
    fn kind(&self) -> &'static str {
        "multiply"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        same(self.kind(), inputs)
    }

    /// Over `n > 2` inputs: scratch for the carried gradient, then the product of the first `k` inputs for `k` in
    /// `2..n`.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        match inputs {
            [first, _, _, ..] => vec![Saved::PerSample(*first); inputs.len() - 1],
            _ => Vec::new(),
        }
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let n = cx.inputs.len();
        let mut last = cx.inputs.get(0);
        let mut rest = cx.saved.get_mut(1..).unwrap_or_default();
        for i in 1..n - 1 {
            let Some((next, after)) = rest.split_first_mut() else {
                return Err(check::bad("multiply", "more than two inputs need the tensors that `saved` asks for"));
            };
            cx.backend.multiply(last, cx.inputs.get(i), next, Accum::Replace)?;
            (last, rest) = (next, after);
        }
        cx.backend.multiply(last, cx.inputs.get(n - 1), cx.output, Accum::Replace)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let (scratch, products) = match cx.saved.split_first_mut() {
            Some((scratch, products)) => (Some(scratch), &*products),
            None => (None, &[][..]),
        };
        let mut carried: &mut Tensor = cx.dy;
        let mut spare = scratch;
        // The same source may occur twice, so only one slot is taken at a time.
        for i in (1..cx.inputs.len()).rev() {
            let before = if i == 1 { cx.inputs.get(0) } else { &products[i - 2] };
            if let Some(slot) = cx.input_grads.slot(i) {
                cx.backend.multiply(carried, before, slot.tensor, slot.accum)?;
            }
            if i > 1
                && let Some(next) = spare.take()
            {
                cx.backend.multiply(carried, cx.inputs.get(i), next, Accum::Replace)?;
                spare = Some(std::mem::replace(&mut carried, next));
            }
        }
        match cx.input_grads.slot(0) {
            Some(slot) => cx.backend.multiply(carried, cx.inputs.get(1), slot.tensor, slot.accum),
            None => Ok(()),
        }
    }

    fn op(&self) -> Op {
        Word::Multiply.into()
    }
}

register_layer!(Multiply, "multiply", "the product of its inputs, element by element", || {
    (Arc::new(Multiply {}), vec![Shape::vector(4); 4])
});
