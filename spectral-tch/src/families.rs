//! The kernel families of [`Torch`](crate::Torch): core has checked the shapes, libtorch sees views that fit.

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

use spectral_core::{Accum, GradSlot, Result, Tensor};
use tch::TchError;

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

/// Where a wanted gradient goes: a view that `open` makes, and how.
fn wanted(
    slot: Option<GradSlot<'_>>,
    open: impl FnOnce(&Tensor) -> Result<tch::Tensor>,
) -> Result<Option<(tch::Tensor, Accum)>> {
    slot.map(|slot| Ok((open(slot.tensor)?, slot.accum))).transpose()
}
