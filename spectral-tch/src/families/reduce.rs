//! Sums over samples, losses, and checks.

use super::store;
use crate::Torch;
use crate::storage::{flat, matrix};
use spectral_core::backend::{LossKernel, LossKind, Reduce, RowSum};
use spectral_core::{Accum, GradSlot, Result, Tensor};
use tch::{Kind, TchError};

impl Reduce for Torch {
    fn row_sums_kernel(&self, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
        let (x, mut sums) = (matrix(x)?, flat(sums)?);
        self.call(|| {
            let of = match sum {
                RowSum::Plain => x,
                RowSum::Absolute => x.f_abs()?,
                RowSum::Square => x.f_square()?,
            };
            super::row_sums(&of, &mut sums, accum)
        })
    }

    fn loss_kernel(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        let gradient = super::wanted(gradient, matrix)?;
        let (y, t, mut totals) = (matrix(op.outputs)?, matrix(op.targets)?, flat(totals)?);
        let outputs = op.outputs.shape().rows() as f64;
        if y.numel() == 0 {
            return Ok(());
        }
        self.call(|| {
            let (losses, d) = match op.kind {
                LossKind::SoftmaxCrossEntropy => {
                    let logs = y.f_log_softmax(0, None)?;
                    let mass = t.f_sum_dim_intlist([0i64].as_slice(), true, None)?;
                    let d = gradient.as_ref().map(|_| logs.f_exp()?.f_mul_(&mass)?.f_sub_(&t)).transpose()?;
                    (t.f_mul(&logs)?.f_neg_()?, d)
                }
                LossKind::MeanSquaredError => {
                    let off = y.f_sub(&t)?;
                    (off.f_square()?.f_div_scalar_(outputs)?, Some(off.f_mul_scalar(2.0 / outputs)?))
                }
            };
            if let (Some((mut to, accum)), Some(d)) = (gradient, d) {
                store(&d.f_mul_scalar(op.gradient_scale)?, &mut to, accum)?;
            }
            let right = first_largest(&y)?.f_eq_tensor(&first_largest(&t)?)?.f_sum(Kind::Double)?;
            let sums = tch::Tensor::f_stack(&[losses.f_sum(Kind::Double)?, right], 0)?;
            totals.f_add_(&sums).map(|_| ())
        })
    }

    fn largest(&self, x: &Tensor) -> Result<f64> {
        if x.is_empty() {
            return Ok(0.0);
        }
        let x = flat(x)?;
        let most = self.call(|| x.f_abs()?.f_max()?.f_double_value(&[]))?;
        Ok(if most.is_finite() { most } else { f64::NAN })
    }
}

/// The row of the first largest value of each column. NaN is the largest only in the first row: no comparison with it
/// holds.
fn first_largest(values: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    let not_a_number = values.f_isnan()?;
    let _ = not_a_number.f_narrow(0, 0, 1)?.f_zero_()?;
    values.f_masked_fill(&not_a_number, f64::NEG_INFINITY)?.f_argmax(0, false)
}
