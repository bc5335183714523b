//! The mean of windows.

use crate::forms::is_default;
use crate::window::{self, Padding};
use serde::{Deserialize, Serialize};
use spectral_core::layer::to_config;
use spectral_core::{Forward, Frame, Layer, Op, Pool, Pooling, Result, Shape, Vjp, Window, Word, register_layer};
use std::sync::Arc;

/// `y[c, i, j]` = the mean of `x[c]` in the window at `(i, j)`, over images `[channels, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool {
    /// Height and width of the window, at least 1.
    #[serde(with = "window::pair")]
    pub kernel: [usize; 2],
    /// Steps between places of the window, down and across; default: `kernel`, so that windows do not overlap.
    #[serde(default, with = "window::maybe_pair", skip_serializing_if = "Option::is_none")]
    pub stride: Option<[usize; 2]>,
    /// Rows and columns that a window may reach beyond the image.
    #[serde(default, skip_serializing_if = "is_default")]
    pub padding: Padding,
    /// Steps between neighbouring values of the window, down and across, at least 1.
    #[serde(default = "window::one_each", with = "window::pair", skip_serializing_if = "window::is_one_each")]
    pub dilation: [usize; 2],
    /// Whether padding counts as zeros (`count_include_pad` of PyTorch and ONNX). If not, the mean is over the values
    /// inside the image, as in Keras.
    #[serde(default, skip_serializing_if = "is_default")]
    pub count_padding: bool,
}

impl AvgPool {
    /// Square windows side by side, without padding.
    pub fn new(kernel: usize) -> Self {
        let (kernel, padding, dilation) = ([kernel; 2], Padding::default(), [1; 2]);
        Self { kernel, stride: None, padding, dilation, count_padding: false }
    }

    fn window(&self) -> Window {
        let Self { kernel, stride, padding, dilation, .. } = *self;
        padding.around(Window { kernel, stride: stride.unwrap_or(kernel), padding: [0; 4], dilation })
    }

    fn pooling(&self) -> Pooling {
        Pooling::Average { padding: self.count_padding }
    }
}

impl Layer for AvgPool {
    fn kind(&self) -> &'static str {
        "avg_pool"
    }

    fn config(&self) -> Result<serde_json::Value> {
        to_config(self.kind(), self)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        super::output(self.kind(), self.window(), self.padding, inputs)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        super::forward(cx, self.window(), self.pooling())
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        super::vjp(cx, self.window(), self.pooling())
    }

    fn op(&self) -> Op {
        Word::Pool(Pool { frame: Frame::Window(self.window()), pooling: self.pooling() }).into()
    }
}

register_layer!(AvgPool, "avg_pool", "the mean of windows over images", || {
    let layer = AvgPool { stride: Some([2, 1]), padding: [1, 0, 1, 0].into(), ..AvgPool::new(2) };
    (Arc::new(layer), vec![Shape::new(&[2, 4, 3]).unwrap_or(Shape::vector(24))])
});
