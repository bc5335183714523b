//! Kernels that treat every unit alone.

use super::reduce::Sum;
use crate::{Cuda, Device, Source};
use spectral_core::backend::{DiagonalGrads, StandardiseVjp, Standardised};
use spectral_core::{Accum, Diagonal, Result, RowSum, Standardise, Tensor, Unitwise};

impl<D: Device> Unitwise for Cuda<D> {
    fn diagonal_kernel(&self, op: &Diagonal<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let call = self.call(Source::Unitwise, "diagonal", y.dtype()).tensor(op.x).tensor(op.scale).maybe(op.bias);
        let call = call.tensor(y).maybe(pre.as_deref()).size(y.shape().columns());
        call.activation(op.activation).over(y.len())
    }

    fn diagonal_vjp_kernel(&self, op: &Diagonal<'_>, dz: &Tensor, grads: DiagonalGrads<'_>) -> Result<()> {
        if let Some(slot) = grads.x {
            let call = self.call(Source::Unitwise, "diagonal_vjp", dz.dtype()).tensor(dz).tensor(op.scale);
            call.tensor(slot.tensor).size(dz.shape().columns()).accum(slot.accum).over(dz.len())?;
        }
        if let Some(slot) = grads.scale {
            self.sums_along(Sum::Product(op.x), dz, slot)?;
        }
        match grads.bias {
            Some(slot) => self.sums_of_rows(RowSum::Plain, dz, slot),
            None => Ok(()),
        }
    }

    fn standardise_kernel(&self, op: &Standardise<'_>, to: Standardised<'_>) -> Result<()> {
        let shape = op.x.shape();
        if shape.columns() == 0 {
            self.zero(to.mean)?;
            return self.zero(to.variance);
        }
        let call = self.call(Source::Unitwise, "standardise", op.x.dtype()).tensor(op.x).tensor(to.y);
        let call = call.tensor(to.mean).tensor(to.variance).size(shape.rows()).size(shape.columns());
        call.real(op.epsilon).each(shape.rows())
    }

    fn standardise_vjp_kernel(&self, op: &StandardiseVjp<'_>, dx: &mut Tensor, accum: Accum) -> Result<()> {
        let shape = dx.shape();
        let call = self.call(Source::Unitwise, "standardise_vjp", dx.dtype()).tensor(op.y).tensor(op.dy);
        let call = call.tensor(op.variance).tensor(op.scale).tensor(dx).size(shape.rows()).size(shape.columns());
        call.real(op.epsilon).accum(accum).each(if shape.is_empty() { 0 } else { shape.rows() })
    }
}
