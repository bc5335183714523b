//! Networks whose weights are stored on patterns: conversion both ways, and the measured choice of kernel.
//!
//! * [`csr`]: the same entries as `sprs` matrices, both ways.
//! * [`sparsify`] and [`densify`]: whole networks, both ways, computing the same function.
//! * [`SparseTrainer`]: training that stores only weights that are not pruned, where that is faster.
//! * [`measure`]: paired timings and latencies, with a clock that tests can replace.
//!
//! A sparse kernel is chosen only if it was measured faster than the dense one on this machine ([`Policy::Measured`]).
//! The plan in the model records the decision and its numbers.
//!
//! Never does: deciding which entries to prune, kernels, file formats. Depends on `spectral-core` only.

mod choose;
mod convert;
pub mod csr;
mod error;
pub mod measure;
mod train;

pub use choose::{
    ClassChoice, LayerChoice, MeasureOptions, Measured, Policy, Sparsified, sparsify, sparsify_timed, sparsify_with,
};
pub use convert::densify;
pub use error::{Error, Result};
pub use train::{SparseTrainer, SparseTraining, TrainedLayer};
