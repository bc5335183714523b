//! Some of the units.

use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::backend::RowCopy;
use spectral_core::layer::to_config;
use spectral_core::{Accum, Forward, Layer, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// The units `from..to` of a sample, counted from 0: features of a row of values, channels of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The first unit.
    #[serde(default)]
    pub from: usize,
    /// One past the last unit.
    pub to: usize,
}

impl Slice {
    fn units(&self) -> usize {
        self.to.saturating_sub(self.from)
    }
}

impl Layer for Slice {
    fn kind(&self) -> &'static str {
        "slice"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let input = check::only(self.kind(), inputs)?;
        if self.units() == 0 || self.to > input.rows() {
            let problem = format!(
                "`from = {}, to = {}` must be a range of at least one of its {} units",
                self.from,
                self.to,
                input.rows()
            );
            return Err(check::bad(self.kind(), problem));
        }
        let mut extents = input.extents().to_vec();
        extents[0] = self.units();
        Shape::new(&extents)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let rows = RowCopy { from_row: self.from, to_row: 0, rows: self.units() };
        cx.backend.copy_rows(rows, cx.inputs.get(0), cx.output, Accum::Replace)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
        if slot.accum == Accum::Replace {
            cx.backend.fill(0.0, slot.tensor)?;
        }
        let rows = RowCopy { from_row: 0, to_row: self.from, rows: self.units() };
        cx.backend.copy_rows(rows, cx.dy, slot.tensor, slot.accum)
    }

    fn op(&self) -> Op {
        Word::Select { from: self.from, to: self.to }.into()
    }
}

register_layer!(Slice, "slice", "the units `from..to`", || {
    (Arc::new(Slice { from: 1, to: 3 }), vec![Shape::new(&[4, 2, 2]).unwrap_or(Shape::vector(16))])
});
