//! The kernel families of [`Torch`](crate::Torch): shapes are checked here, libtorch sees views that fit.

mod convolution;
mod dense;
mod elementwise;
mod memory;
mod on_host;
mod reduce;
mod sparse;
mod spectral;
mod unitwise;
mod update;

use spectral_core::{Accum, Error, GradSlot, Result, Shape, Tensor};
use tch::TchError;

/// Checks that `got` is the shape `op` needs.
fn expect(op: &'static str, expected: Shape, got: Shape) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(op, expected, got)) }
}

/// `to (+)= value`.
fn store(value: &tch::Tensor, to: &mut tch::Tensor, accum: Accum) -> Result<(), TchError> {
    match accum {
        Accum::Replace => to.f_copy_(value),
        Accum::Add => to.f_add_(value).map(|_| ()),
    }
}

/// `to (+)= a b`, matrices.
fn product(a: &tch::Tensor, b: &tch::Tensor, to: &mut tch::Tensor, accum: Accum) -> Result<(), TchError> {
    match accum {
        Accum::Replace => a.f_mm_out(to, b).map(|_| ()),
        Accum::Add => to.f_addmm_(a, b).map(|_| ()),
    }
}

/// `to (+)=` the sum of every row of a matrix.
fn row_sums(of: &tch::Tensor, to: &mut tch::Tensor, accum: Accum) -> Result<(), TchError> {
    store(&of.f_sum_dim_intlist([1i64].as_slice(), false, None)?, to, accum)
}

/// Where a wanted gradient of `shape` goes: a view that `open` makes, and how.
fn wanted(
    op: &'static str,
    slot: Option<GradSlot<'_>>,
    shape: Shape,
    open: impl FnOnce(&Tensor) -> Result<tch::Tensor>,
) -> Result<Option<(tch::Tensor, Accum)>> {
    let Some(slot) = slot else { return Ok(None) };
    expect(op, shape, slot.tensor.shape())?;
    Ok(Some((open(slot.tensor)?, slot.accum)))
}
