//! The largest value or the mean of windows over images.

use super::{Elementwise, GradSlot, Window, expect};
use crate::backend::elementwise::accumulate;
use crate::base::{Error, Result};
use crate::tensor::{Shape, Tensor};
use serde::{Deserialize, Serialize};

/// What pooling makes of the values of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The largest value of the image in the window, NaN if one of them is; padding is never taken. Its gradient goes
    /// to the first value, row by row, that is not below it.
    Max,
    /// The mean.
    Average {
        /// Whether the zeros of the padding count: then the divisor is always the size of the window, otherwise the
        /// number of its values that are in the image.
        padding: bool,
    },
}

/// `y[c, i, j]` = the largest value or the mean of `x[c]` in the window at `(i, j)`, channel by channel.
#[derive(Debug, Clone, Copy)]
pub struct Pool2d<'a> {
    /// Images `[channels, height, width, batch]`.
    pub x: &'a Tensor,
    /// The window. At every place it holds at least one value of the image.
    pub window: Window,
    /// What is made of its values.
    pub pooling: Pooling,
}

impl Pool2d<'_> {
    /// Extents of the outputs: `[channels, height, width, batch]`.
    ///
    /// # Errors
    /// `x` holds no images, or the window does not fit.
    pub fn output(&self, op: &'static str) -> Result<Shape> {
        let &[c, h, w, batch] = self.x.shape().extents() else {
            return Err(Error::shape(op, "images [channels, height, width, batch]", self.x.shape()));
        };
        match self.window.places([h, w]) {
            None => Err(Error::shape(op, format!("images that {:?} fits into", self.window), self.x.shape())),
            Some(_) if !self.window.meets([h, w]) => {
                let problem = "a window that holds a value of the image at every place; take less padding";
                Err(Error::shape(op, problem, format!("{:?}", self.window)))
            }
            Some([rows, columns]) => Shape::new(&[c, rows, columns, batch]),
        }
    }
}

/// The way back through [`PoolKernels::pool2d`].
#[derive(Debug, Clone, Copy)]
pub struct Pool2dVjp<'a> {
    /// As forward.
    pub of: Pool2d<'a>,
    /// What forward gave.
    pub y: &'a Tensor,
    /// Gradient with respect to it.
    pub dy: &'a Tensor,
}

impl Pool2dVjp<'_> {
    /// Checks all shapes against that of the gradient of the images.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, dx: Shape) -> Result<()> {
        let y = self.of.output(op)?;
        expect(op, y, self.y.shape())?;
        expect(op, y, self.dy.shape())?;
        expect(op, self.of.x.shape(), dx)
    }
}

/// Pooling.
pub trait PoolKernels: Elementwise {
    /// [`Pool2d`].
    ///
    /// # Errors
    /// Shapes do not fit.
    fn pool2d(&self, op: &Pool2d<'_>, y: &mut Tensor) -> Result<()> {
        expect("pool2d", op.output("pool2d")?, y.shape())?;
        self.pool2d_kernel(op, y)
    }

    /// [`pool2d`](Self::pool2d) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn pool2d_kernel(&self, op: &Pool2d<'_>, y: &mut Tensor) -> Result<()> {
        let shape = op.output("pool2d")?;
        let x = self.download(op.x)?;
        let mut values = Vec::with_capacity(shape.len());
        windows(op, shape, |_, seen| {
            values.push(match op.pooling {
                Pooling::Max => seen.iter().map(|i| x[*i]).fold(f64::NEG_INFINITY, larger),
                Pooling::Average { .. } => seen.iter().map(|i| x[*i]).sum::<f64>() / divisor(op, seen),
            });
        });
        self.write(&values, y)
    }

    /// The gradient of the images.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn pool2d_vjp(&self, op: &Pool2dVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        op.check("pool2d_vjp", dx.tensor.shape())?;
        self.pool2d_vjp_kernel(op, dx)
    }

    /// [`pool2d_vjp`](Self::pool2d_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn pool2d_vjp_kernel(&self, op: &Pool2dVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        let (x, y, dy) = (self.download(op.of.x)?, self.download(op.y)?, self.download(op.dy)?);
        let mut d = vec![0.0; x.len()];
        windows(&op.of, op.y.shape(), |at, seen| match op.of.pooling {
            Pooling::Max => {
                let below = |i: &&usize| x[**i] < y[at];
                if let Some(&first) = seen.iter().find(|i| !below(i)) {
                    d[first] += dy[at];
                }
            }
            Pooling::Average { .. } => seen.iter().for_each(|i| d[*i] += dy[at] / divisor(&op.of, seen)),
        });
        accumulate(self, d, dx.tensor, dx.accum)
    }
}

/// The larger; NaN if either is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}

fn divisor(op: &Pool2d<'_>, seen: &[usize]) -> f64 {
    match op.pooling {
        Pooling::Average { padding: true } => op.window.taps() as f64,
        _ => seen.len() as f64,
    }
}

/// Calls `f` for every output, in order, with its position and those of the values of the image in its window, row by
/// row.
fn windows(op: &Pool2d<'_>, output: Shape, mut f: impl FnMut(usize, &[usize])) {
    let (&[_, h, w, batch], &[channels, rows, columns, _]) = (op.x.shape().extents(), output.extents()) else { return };
    let ([height, width], [down, across]) = (op.window.kernel, op.window.axes());
    let mut seen = Vec::with_capacity(height * width);
    for at in 0..channels * rows * columns * batch {
        let (sample, j, i) = (at % batch, at / batch % columns, at / batch / columns % rows);
        let c = at / batch / columns / rows;
        seen.clear();
        for tap in 0..height * width {
            let (Some(y), Some(x)) = (down.at(i, tap / width, h), across.at(j, tap % width, w)) else { continue };
            seen.push(((c * h + y) * w + x) * batch + sample);
        }
        f(at, &seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Accum, Memory, Reference};
    use crate::base::DType;

    fn tensor(extents: &[usize], values: &[f64]) -> Tensor {
        let mut t = Tensor::host_zeros(Shape::new(extents).unwrap(), DType::F64);
        Reference.write(values, &mut t).unwrap();
        t
    }

    fn pooled(op: &Pool2d<'_>) -> (Vec<f64>, Vec<f64>) {
        let mut y = Tensor::host_zeros(op.output("test").unwrap(), DType::F64);
        Reference.pool2d(op, &mut y).unwrap();
        let ones = tensor(y.shape().extents(), &vec![1.0; y.len()]);
        let mut dx = Tensor::host_zeros(op.x.shape(), DType::F64);
        let slot = GradSlot { tensor: &mut dx, accum: Accum::Replace };
        Reference.pool2d_vjp(&Pool2dVjp { of: *op, y: &y, dy: &ones }, slot).unwrap();
        (Reference.download(&y).unwrap(), Reference.download(&dx).unwrap())
    }

    #[test]
    fn known_images_pool_to_known_values() {
        let x = tensor(&[1, 2, 3, 1], &[1.0, 5.0, 2.0, 4.0, 3.0, 5.0]);
        let window = Window::square(2);
        let op = Pool2d { x: &x, window, pooling: Pooling::Max };
        assert_eq!(pooled(&op), (vec![5.0, 5.0], vec![0.0, 2.0, 0.0, 0.0, 0.0, 0.0]));
        let mean = Pool2d { pooling: Pooling::Average { padding: false }, ..op };
        assert_eq!(pooled(&mean), (vec![3.25, 3.75], vec![0.25, 0.5, 0.25, 0.25, 0.5, 0.25]));
        // A column of padding on the left: of two values, or of four with two zeros.
        let window = Window { padding: [0, 0, 1, 0], stride: [1, 2], ..window };
        assert_eq!(pooled(&Pool2d { window, ..mean }).0, [2.5, 3.75]);
        let all = Pooling::Average { padding: true };
        assert_eq!(pooled(&Pool2d { window, pooling: all, ..mean }).0, [1.25, 3.75]);
        let negative = tensor(&[1, 1, 1, 1], &[-3.0]);
        let window = Window { padding: [1; 4], ..Window::square(2) };
        assert_eq!(pooled(&Pool2d { x: &negative, window, pooling: Pooling::Max }).0, [-3.0; 4]);
    }

    #[test]
    fn windows_in_the_padding_are_refused() {
        let x = tensor(&[1, 1, 1, 1], &[1.0]);
        for window in [
            Window { padding: [2, 0, 0, 0], ..Window::square(2) },
            Window { padding: [0, 0, 0, 2], ..Window::square(1) },
            Window { padding: [1; 4], dilation: [2; 2], ..Window::square(2) },
        ] {
            assert!(Pool2d { x: &x, window, pooling: Pooling::Max }.output("test").is_err(), "{window:?}");
        }
    }
}
