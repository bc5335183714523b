//! Factors, constants and means for each unit.

use super::dense::{finish, results};
use super::{row_sums, store};
use crate::Torch;
use crate::storage::{column, flat, matrix};
use spectral_core::backend::{Diagonal, DiagonalGrads, Standardise, StandardiseVjp, Standardised};
use spectral_core::{Accum, Result, Tensor, Unitwise};
use tch::TchError;

impl Unitwise for Torch {
    fn diagonal_kernel(&self, op: &Diagonal<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let (x, scale, bias) = (matrix(op.x)?, column(op.scale)?, op.bias.map(column).transpose()?);
        let (mut y, pre) = results(y, pre)?;
        self.call(|| {
            let _ = x.f_mul_out(&y, &scale)?;
            finish(&mut y, bias.as_ref(), op.activation, pre)
        })
    }

    fn diagonal_vjp_kernel(&self, op: &Diagonal<'_>, dz: &Tensor, grads: DiagonalGrads<'_>) -> Result<()> {
        let (x, scale, d) = (matrix(op.x)?, column(op.scale)?, matrix(dz)?);
        if let Some(slot) = grads.x {
            let mut to = matrix(slot.tensor)?;
            self.call(|| store(&d.f_mul(&scale)?, &mut to, slot.accum))?;
        }
        if let Some(slot) = grads.scale {
            let mut to = flat(slot.tensor)?;
            self.call(|| row_sums(&x.f_mul(&d)?, &mut to, slot.accum))?;
        }
        if let Some(slot) = grads.bias {
            let mut to = flat(slot.tensor)?;
            self.call(|| row_sums(&d, &mut to, slot.accum))?;
        }
        Ok(())
    }

    fn standardise_kernel(&self, op: &Standardise<'_>, to: Standardised<'_>) -> Result<()> {
        let (x, mut y, mut mean, mut variance) = (matrix(op.x)?, matrix(to.y)?, flat(to.mean)?, flat(to.variance)?);
        self.call(|| {
            if x.numel() == 0 {
                // A mean of nothing is NaN in libtorch, 0 here.
                let _ = mean.f_zero_()?;
                return variance.f_zero_().map(|_| ());
            }
            let means = row_means(&x)?;
            let off = x.f_sub(&means)?;
            let variances = row_means(&off.f_square()?)?;
            mean.f_copy_(&means.f_squeeze_dim(1)?)?;
            variance.f_copy_(&variances.f_squeeze_dim(1)?)?;
            y.f_copy_(&off.f_div(&variances.f_add_scalar(op.epsilon)?.f_sqrt_()?)?)
        })
    }

    fn standardise_vjp_kernel(&self, op: &StandardiseVjp<'_>, dx: &mut Tensor, accum: Accum) -> Result<()> {
        let (y, d, mut dx) = (matrix(op.y)?, matrix(op.dy)?, matrix(dx)?);
        let (variance, scale) = (column(op.variance)?, column(op.scale)?);
        self.call(|| {
            let along = row_means(&y.f_mul(&d)?)?;
            let factor = scale.f_div(&variance.f_add_scalar(op.epsilon)?.f_sqrt_()?)?;
            let off = d.f_sub(&row_means(&d)?)?.f_sub_(&y.f_mul(&along)?)?.f_mul_(&factor)?;
            store(&off, &mut dx, accum)
        })
    }
}

/// The mean of every row, as a column.
fn row_means(x: &tch::Tensor) -> Result<tch::Tensor, TchError> {
    x.f_mean_dim([1i64].as_slice(), true, None)
}
