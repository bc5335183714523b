//! The kernel families of [`Cuda`](crate::Cuda): shapes are checked here, launches put together.

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

use spectral_core::{Error, Result, Shape};

/// Checks that `got` is the shape `op` needs.
fn expect(op: &'static str, expected: Shape, got: Shape) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(op, expected, got)) }
}
