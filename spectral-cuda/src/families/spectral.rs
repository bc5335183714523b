//! The weight of a spectral layer and its gradients.

use super::dense::Epilogue;
use crate::kernel::{LANES, WARPS};
use crate::{Cuda, Device, Source};
use spectral_core::{Accum, OuterProduct, Result, Shape, SpectralGrads, SpectralKernels, SpectralWeight, Tensor};

/// Rows of a tile of `spectral_sums`.
const ROWS: usize = 8 * WARPS;

impl<D: Device> SpectralKernels for Cuda<D> {
    fn spectral_weight_kernel(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        let call = self.call(Source::Spectral, "spectral_weight", weight.dtype());
        let call = call.tensor(op.basis).tensor(op.lambda_in).tensor(op.lambda_out).tensor(weight);
        call.size(weight.shape().columns()).over(weight.len())
    }

    fn spectral_weight_vjp_kernel(
        &self,
        op: &SpectralWeight<'_>,
        dw: OuterProduct<'_>,
        grads: SpectralGrads<'_>,
    ) -> Result<()> {
        let (shape, dtype) = (op.basis.shape(), op.basis.dtype());
        let (out, inputs) = (shape.rows(), shape.columns());
        let mut written = self.scratch(shape, dtype)?;
        let factors = [(dw.left, false), (dw.right, true)];
        let extents = [out, inputs, dw.left.shape().columns()];
        self.product(factors, extents, (&mut written, Accum::Replace), Epilogue::default())?;
        if let Some(slot) = grads.basis {
            let call = self.call(Source::Spectral, "spectral_basis_vjp", dtype);
            let call = call.tensor(&written).tensor(op.lambda_in).tensor(op.lambda_out).tensor(slot.tensor);
            call.accum(slot.accum).size(inputs).over(shape.len())?;
        }
        if grads.lambda_in.is_none() && grads.lambda_out.is_none() {
            return Ok(());
        }
        let (down, across) = (out.div_ceil(ROWS), inputs.div_ceil(LANES));
        let by_column = self.scratch(Shape::matrix(down, inputs), dtype)?;
        let by_row = self.scratch(Shape::matrix(out, across), dtype)?;
        let call = self.call(Source::Spectral, "spectral_sums", dtype).tensor(&written).tensor(op.basis);
        call.tensor(&by_column).tensor(&by_row).size(out).size(inputs).run([across, down])?;
        if let Some(slot) = grads.lambda_in {
            self.fold(&by_column, [down, 1, inputs], 1.0, slot)?;
        }
        match grads.lambda_out {
            Some(slot) => self.fold(&by_row, [across, across, 1], -1.0, slot),
            None => Ok(()),
        }
    }
}
