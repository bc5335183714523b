//! The kernel families of [`Cpu`](crate::Cpu): shapes are checked and tensors opened here, kernels see slices.

mod dense;
mod elementwise;
mod memory;
mod reduce;
mod sparse;
mod spectral;
mod update;
