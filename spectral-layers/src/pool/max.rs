//! The largest value of windows.

use crate::window::{self, Padding};
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{Forward, Frame, Layer, Op, Pool, Pooling, Result, Shape, Vjp, Window, Word, register_layer};
use std::sync::Arc;

/// `y[c, i, j]` = the largest value of `x[c]` in the window at `(i, j)`, over images `[channels, height, width]`.
/// Padding is never the largest. The gradient goes to the first of equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool {
    /// Height and width of the window, at least 1.
    #[serde(with = "window::pair")]
    pub kernel: [usize; 2],
    /// Steps between places of the window, down and across; default: `kernel`, so that windows do not overlap.
    #[serde(default, with = "window::maybe_pair", skip_serializing_if = "Option::is_none")]
    pub stride: Option<[usize; 2]>,
    /// Rows and columns that a window may reach beyond the image.
    #[serde(default, skip_serializing_if = "crate::forms::is_default")]
    pub padding: Padding,
    /// Steps between neighbouring values of the window, down and across, at least 1.
    #[serde(default = "window::one_each", with = "window::pair", skip_serializing_if = "window::is_one_each")]
    pub dilation: [usize; 2],
}

impl MaxPool {
    /// Square windows side by side, without padding.
    pub fn new(kernel: usize) -> Self {
        Self { kernel: [kernel; 2], stride: None, padding: Padding::default(), dilation: [1; 2] }
    }

    fn window(&self) -> Window {
        let Self { kernel, stride, padding, dilation } = *self;
        padding.around(Window { kernel, stride: stride.unwrap_or(kernel), padding: [0; 4], dilation })
    }
}

impl Layer for MaxPool {
    fn kind(&self) -> &'static str {
        "max_pool"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        super::output(self.kind(), self.window(), self.padding, inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        super::forward(cx, self.window(), Pooling::Max)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        super::vjp(cx, self.window(), Pooling::Max)
    }

    fn op(&self) -> Op {
        Word::Pool(Pool { frame: Frame::Window(self.window()), pooling: Pooling::Max }).into()
    }
}

register_layer!(MaxPool, "max_pool", "the largest value of windows over images", || {
    let layer = MaxPool { stride: Some([1, 2]), padding: [1, 0, 0, 1].into(), ..MaxPool::new(2) };
    (Arc::new(layer), vec![Shape::new(&[2, 3, 4]).unwrap_or(Shape::vector(24))])
});
