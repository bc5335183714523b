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
