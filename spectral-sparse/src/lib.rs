//! Networks whose weights are stored on patterns: conversion both ways, and the measured choice of kernel.
//!
//! * [`csr`]: the same entries as `sprs` matrices, both ways.
//! * [`sparsify`] and [`densify`]: whole networks, both ways, computing the same function.
//! * [`SparseTrainer`]: training that stores what is not pruned, where that is faster.
//! * [`measure`]: paired timings and latencies, by a clock that tests replace.
//!
//! A sparse kernel is chosen only where it was measured faster than the dense one on this machine
//! ([`Policy::Measured`]); the decision and its numbers are in the plan that the model carries.
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
