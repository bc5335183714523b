//! The kernel families of [`Cuda`](crate::Cuda): core has checked the shapes, launches are put together here.

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
