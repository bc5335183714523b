//! Sums over samples, losses, and checks.

use super::{Accum, GradSlot, Memory, expect};
use crate::backend::elementwise::{accumulate, softmax_columns};
use crate::base::Result;
use crate::tensor::{Shape, Tensor};

/// What is summed along each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSum {
    /// `sum x`.
    Plain,
    /// `sum |x|`.
    Absolute,
    /// `sum x^2`.
    Square,
}

/// A loss with a fused kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// `-sum_c t_c log softmax(y)_c`, from logits; the targets of a sample are a distribution.
    SoftmaxCrossEntropy,
    /// `mean_c (y_c - t_c)^2`.
    MeanSquaredError,
}

/// A loss to evaluate on one batch.
#[derive(Debug, Clone, Copy)]
pub struct LossKernel<'a> {
    /// The formula.
    pub kind: LossKind,
    /// What the network gave (logits for cross-entropy), `[outputs, batch]`.
    pub outputs: &'a Tensor,
    /// What it should have given, `[outputs, batch]`.
    pub targets: &'a Tensor,
    /// Factor on the gradient, usually `1 / batch`.
    pub gradient_scale: f64,
}

/// Reductions.
pub trait Reduce: Memory {
    /// `sums[r] (+)= sum over columns of f(x[r, :])`.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn row_sums(&self, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
        expect("row_sums", Shape::vector(x.shape().rows()), sums.shape())?;
        self.row_sums_kernel(sum, x, sums, accum)
    }

    /// [`row_sums`](Self::row_sums) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn row_sums_kernel(&self, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
        let (v, n) = (self.download(x)?, x.shape().columns());
        let f = |v: &f64| match sum {
            RowSum::Plain => *v,
            RowSum::Absolute => v.abs(),
            RowSum::Square => v * v,
        };
        let rows = (0..x.shape().rows()).map(|r| v[r * n..(r + 1) * n].iter().map(f).sum()).collect();
        accumulate(self, rows, sums, accum)
    }

    /// Adds the loss summed over the batch to `totals[0]` and the number of samples whose largest output is
    /// where the largest target is (the first, where several are equal) to `totals[1]`; writes the gradient
    /// with respect to the outputs, times `gradient_scale`, where asked for. `totals` is f64, `[2]`.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn loss(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        expect("loss", op.outputs.shape(), op.targets.shape())?;
        expect("loss", Shape::vector(2), totals.shape())?;
        if let Some(slot) = &gradient {
            expect("loss", op.outputs.shape(), slot.tensor.shape())?;
        }
        self.loss_kernel(op, totals, gradient)
    }

    /// [`loss`](Self::loss) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn loss_kernel(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        let (outputs, batch) = (op.outputs.shape().rows(), op.outputs.shape().columns());
        let (y, t) = (self.download(op.outputs)?, self.download(op.targets)?);
        let mut d = vec![0.0; y.len()];
        let mut sums = vec![0.0; 2];
        for b in 0..batch {
            let y: Vec<f64> = y.iter().skip(b).step_by(batch).copied().collect();
            let t: Vec<f64> = t.iter().skip(b).step_by(batch).copied().collect();
            sums[1] += f64::from(first_largest(&y) == first_largest(&t));
            let mass: f64 = t.iter().sum();
            let mut p = y.clone();
            match op.kind {
                LossKind::SoftmaxCrossEntropy => {
                    softmax_columns(&mut p, 1);
                    let top = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let log_sum = top + y.iter().map(|y| (y - top).exp()).sum::<f64>().ln();
                    sums[0] += t.iter().zip(&y).map(|(t, y)| t * (log_sum - y)).sum::<f64>();
                }
                LossKind::MeanSquaredError => {
                    sums[0] += t.iter().zip(&y).map(|(t, y)| (y - t).powi(2)).sum::<f64>() / outputs as f64;
                }
            }
            for o in 0..outputs {
                d[o * batch + b] = op.gradient_scale
                    * match op.kind {
                        LossKind::SoftmaxCrossEntropy => p[o] * mass - t[o],
                        LossKind::MeanSquaredError => 2.0 * (y[o] - t[o]) / outputs as f64,
                    };
            }
        }
        accumulate(self, sums, totals, Accum::Add)?;
        if let Some(slot) = gradient {
            accumulate(self, d, slot.tensor, slot.accum)?;
        }
        Ok(())
    }

    /// The largest `|x|`, 0 where there are no elements; NaN where one is NaN or infinite.
    ///
    /// # Errors
    /// The tensor is on another device.
    fn largest(&self, x: &Tensor) -> Result<f64> {
        let values = self.download(x)?;
        let finite = values.iter().all(|v| v.is_finite());
        Ok(if finite { values.iter().fold(0.0, |most, v| most.max(v.abs())) } else { f64::NAN })
    }

    /// [`largest`](Self::largest) of each tensor: `found` is called with them in the order of the tensors. What is
    /// asked of a device in one call is waited for once.
    ///
    /// # Errors
    /// A tensor is on another device.
    fn each_largest(&self, tensors: &mut dyn Iterator<Item = &Tensor>, found: &mut dyn FnMut(f64)) -> Result<()> {
        for x in tensors {
            found(self.largest(x)?);
        }
        Ok(())
    }

    /// Whether every element is finite.
    ///
    /// # Errors
    /// The tensor is on another device.
    fn all_finite(&self, x: &Tensor) -> Result<bool> {
        Ok(self.largest(x)?.is_finite())
    }
}

/// The first index with the largest value.
pub(crate) fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}
