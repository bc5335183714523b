//! The largest value or the mean of windows over images.

use super::constant::{Ask, Inference};
use crate::backend::{Pooling, Window};
use crate::tensor::Shape;

/// The largest value or the mean of windows over images, channel by channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    /// The values that one output depends on.
    pub frame: Frame,
    /// How they are combined.
    pub pooling: Pooling,
}

/// The values that one output of a [`Pool`] depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Frame {
    /// A window that slides over the image.
    Window(Window),
    /// The whole image: one value for each channel, without axes for height and width.
    Image,
}

impl Pool {
    /// One operation for each value of every window.
    pub(super) fn flops(&self, inputs: &[Shape], output: Shape) -> usize {
        match self.frame {
            Frame::Window(window) => output.len() * window.taps(),
            Frame::Image => inputs.first().map_or(0, |input| input.len()),
        }
    }
}

impl Inference for Pool {
    /// A constant channel keeps its constant, unless zeros of the padding count.
    fn constant(&self, unit: usize, _: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        let zeros = match (self.frame, self.pooling) {
            (Frame::Window(window), Pooling::Average { padding }) => padding && window.is_padded(),
            (Frame::Window(_) | Frame::Image, _) => false,
        };
        ask(0, unit).filter(|x| *x == 0.0 || !zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_come_through_unless_padding_counts() {
        let padded = Window { padding: [0, 1, 0, 0], ..Window::square(2) };
        for (frame, pooling, x, want) in [
            (Frame::Window(padded), Pooling::Max, -2.0, Some(-2.0)),
            (Frame::Window(padded), Pooling::Average { padding: false }, 3.0, Some(3.0)),
            (Frame::Window(padded), Pooling::Average { padding: true }, 3.0, None),
            (Frame::Window(padded), Pooling::Average { padding: true }, 0.0, Some(0.0)),
            (Frame::Window(Window::square(2)), Pooling::Average { padding: true }, 3.0, Some(3.0)),
            (Frame::Image, Pooling::Average { padding: true }, 3.0, Some(3.0)),
        ] {
            let got = Pool { frame, pooling }.constant(0, &[1], 1, &|_, _| Some(x));
            assert_eq!(got, want, "{frame:?} {pooling:?} {x}");
        }
    }
}
