//! Dropout of units.

use crate::check;
use serde::{Deserialize, Serialize};
use spectral_core::backend::{self, Accum};
use spectral_core::layer::to_config;
use spectral_core::{Activation, Forward, Layer, Mode, Op, Result, Shape, Vjp, Word, register_layer};
use std::sync::Arc;

/// In training, sets each value to 0 with probability `rate` and scales the others by `1 / (1 - rate)`. At inference,
/// passes values through.
///
/// Source: Srivastava et al., JMLR 2014, with inverted scaling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Share of values dropped, in `0..1`.
    pub rate: f64,
}

impl Dropout {
    fn kernel(&self, mode: Mode, key: u64) -> backend::Dropout {
        let rate = match mode {
            Mode::Train => self.rate,
            Mode::Infer => 0.0,
        };
        backend::Dropout { rate, key }
    }
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check::rate(self.kind(), self.rate)?;
        check::only(self.kind(), inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        cx.backend.dropout(self.kernel(cx.mode, cx.key), cx.inputs.get(0), cx.output, Accum::Replace)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        match cx.input_grads.slot(0) {
            Some(slot) => cx.backend.dropout(self.kernel(cx.mode, cx.key), cx.dy, slot.tensor, slot.accum),
            None => Ok(()),
        }
    }

    fn op(&self) -> Op {
        Op::at_inference(Word::Map(Activation::Identity))
    }
}

register_layer!(Dropout, "dropout", "drops values at random in training, nothing at inference", || {
    (Arc::new(Dropout { rate: 0.4 }), vec![Shape::vector(6)])
});
