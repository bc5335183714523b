//! Spectral weights and their gradients.

use super::{product, store, wanted};
use crate::Torch;
use crate::storage::{column, flat, matrix};
use spectral_core::{Accum, OuterProduct, Result, SpectralGrads, SpectralKernels, SpectralWeight, Tensor};

impl SpectralKernels for Torch {
    fn spectral_weight_kernel(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        let (basis, inner, outer) = (matrix(op.basis)?, flat(op.lambda_in)?, column(op.lambda_out)?);
        let weight = matrix(weight)?;
        self.call(|| inner.f_sub(&outer)?.f_mul_out(&weight, &basis).map(|_| ()))
    }

    fn spectral_weight_vjp_kernel(
        &self,
        op: &SpectralWeight<'_>,
        dw: OuterProduct<'_>,
        grads: SpectralGrads<'_>,
    ) -> Result<()> {
        let (basis, inner, outer) = (matrix(op.basis)?, flat(op.lambda_in)?, column(op.lambda_out)?);
        let (left, right) = (matrix(dw.left)?, matrix(dw.right)?);
        let to_basis = wanted(grads.basis, matrix)?;
        let to_inner = wanted(grads.lambda_in, flat)?;
        let to_outer = wanted(grads.lambda_out, flat)?;
        self.call(|| {
            let mut d = basis.f_empty_like()?;
            product(&left, &right.f_tr()?, &mut d, Accum::Replace)?;
            if let Some((mut to, accum)) = to_basis {
                store(&inner.f_sub(&outer)?.f_mul_(&d)?, &mut to, accum)?;
            }
            if to_inner.is_none() && to_outer.is_none() {
                return Ok(());
            }
            let d = d.f_mul_(&basis)?;
            for (to, axis, sign) in [(to_inner, 0i64, 1.0), (to_outer, 1, -1.0)] {
                let Some((mut to, accum)) = to else { continue };
                let sums = d.f_sum_dim_intlist([axis].as_slice(), false, None)?;
                store(&sums.f_mul_scalar(sign)?, &mut to, accum)?;
            }
            Ok(())
        })
    }
}
