//! The default backend: SIMD kernels and threads on the CPU.
//!
//! [`Cpu`] runs every kernel family of `spectral-core` on tensors in main memory: its own matrix product, sparse
//! products, element-wise kernels, losses and optimiser steps, compiled for AVX-512 (f32 only), AVX2 and plain Rust and
//! chosen when the program runs.
//!
//! Never does: file formats, training loops, choosing between dense and sparse. Depends on `spectral-core` only.

mod cpu;
mod families;
mod kernels;
mod scratch;
mod simd;

pub use cpu::{Cpu, CpuOptions};
pub use kernels::limits::Limits;
pub use simd::Simd;
