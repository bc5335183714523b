//! Kernels against the oracle, at every level; one binary, so that it links once.

mod common;
mod conformance;
mod dense;
mod elementwise;
mod sparse;
mod threads;
