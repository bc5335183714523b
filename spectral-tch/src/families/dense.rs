//! Products with dense weights.

use super::elementwise::activated;
use super::{product, row_sums, wanted};
use crate::Torch;
use crate::storage::{column, flat, matrix};
use spectral_core::backend::{DenseKernels, Linear, LinearGrads};
use spectral_core::{Accum, Activation, Result, Tensor};
use tch::TchError;

impl DenseKernels for Torch {
    fn linear_kernel(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let (x, w, bias) = (matrix(op.x)?, matrix(op.weight)?, op.bias.map(column).transpose()?);
        let (mut y, pre) = results(y, pre)?;
        self.call(|| {
            product(&w, &x, &mut y, Accum::Replace)?;
            finish(&mut y, bias.as_ref(), op.activation, pre)
        })
    }

    fn linear_vjp_kernel(&self, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
        let (x, w, d) = (matrix(op.x)?, matrix(op.weight)?, matrix(dz)?);
        let dx = wanted(grads.x, matrix)?;
        let dw = wanted(grads.weight, matrix)?;
        let db = wanted(grads.bias, flat)?;
        self.call(|| {
            if let Some((mut to, accum)) = dx {
                product(&w.f_tr()?, &d, &mut to, accum)?;
            }
            if let Some((mut to, accum)) = dw {
                product(&d, &x.f_tr()?, &mut to, accum)?;
            }
            db.map_or(Ok(()), |(mut to, accum)| row_sums(&d, &mut to, accum))
        })
    }
}

/// Views of an output and, where it is wanted, of what goes into the activation.
pub(super) fn results(y: &Tensor, pre: Option<&mut Tensor>) -> Result<(tch::Tensor, Option<tch::Tensor>)> {
    Ok((matrix(y)?, pre.map(|pre| matrix(pre)).transpose()?))
}

/// Adds the bias, stores the pre-activation where asked for, and activates.
pub(super) fn finish(
    z: &mut tch::Tensor,
    bias: Option<&tch::Tensor>,
    act: Activation,
    pre: Option<tch::Tensor>,
) -> Result<(), TchError> {
    if let Some(bias) = bias {
        let _ = z.f_add_(bias)?;
    }
    if let Some(mut pre) = pre {
        pre.f_copy_(z)?;
    }
    match act {
        Activation::Identity => Ok(()),
        Activation::Relu => z.f_relu_().map(|_| ()),
        act => z.f_copy_(&activated(act, z)?),
    }
}
