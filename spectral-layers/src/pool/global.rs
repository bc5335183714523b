//! The largest value or the mean of whole channels.

use crate::{check, window};
use serde::{Deserialize, Serialize};
use spectral_core::backend::{Pool2d, Pool2dVjp};
use spectral_core::layer::to_config;
use spectral_core::{
    Accum, Forward, Frame, Layer, Op, Pool, Pooling, Result, Saved, Shape, Tensor, Vjp, Window, Word, register_layer,
};
use std::sync::Arc;

/// One value for each channel of an image: `[channels, height, width]` to `[channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalPool {
    /// How the values of a channel are combined.
    pub pooling: Global,
}

/// How [`GlobalPool`] combines the values of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Global {
    /// The largest; its gradient goes to the first of equal values.
    Max,
    /// The mean.
    Average,
}

impl GlobalPool {
    fn pooling(&self) -> Pooling {
        match self.pooling {
            Global::Max => Pooling::Max,
            Global::Average => Pooling::Average { padding: false },
        }
    }

    fn pool<'a>(&self, x: &'a Tensor) -> Result<Pool2d<'a>> {
        let [_, height, width, _] = *x.shape().extents() else {
            return Err(check::bad(self.kind(), format!("takes images, got {}", x.shape())));
        };
        let window = Window { kernel: [height, width], ..Window::square(1) };
        Ok(Pool2d { x, window, pooling: self.pooling() })
    }
}

impl Layer for GlobalPool {
    fn kind(&self) -> &'static str {
        "global_pool"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [channels, ..] = window::image(self.kind(), inputs)?;
        Ok(Shape::vector(channels))
    }

    /// The outputs as images of one value, and their gradient.
    fn saved(&self, inputs: &[Shape]) -> Vec<Saved> {
        let channels = inputs.first().map_or(0, |input| input.rows());
        let one = Shape::new(&[channels, 1, 1]).map(Saved::PerSample);
        one.into_iter().flat_map(|one| [one, one]).collect()
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let [y, _] = cx.saved else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        cx.backend.pool2d(&self.pool(cx.inputs.get(0))?, y)?;
        cx.backend.reshaped(y, cx.output, Accum::Replace)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
        let [y, dy] = &mut *cx.saved else {
            return Err(check::bad(self.kind(), "needs the tensors that `saved` asks for"));
        };
        cx.backend.reshaped(cx.dy, dy, Accum::Replace)?;
        cx.backend.pool2d_vjp(&Pool2dVjp { of: self.pool(cx.inputs.get(0))?, y, dy }, slot)
    }

    fn op(&self) -> Op {
        Word::Pool(Pool { frame: Frame::Image, pooling: self.pooling() }).into()
    }
}

register_layer!(GlobalPool, "global_pool", "the largest value or the mean of each channel", || {
    (Arc::new(GlobalPool { pooling: Global::Average }), vec![Shape::new(&[3, 2, 3]).unwrap_or(Shape::vector(18))])
});
