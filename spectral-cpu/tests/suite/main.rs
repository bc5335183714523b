//! Kernels against the oracle, at every level; one binary, so that it links once.

// Clippy exempts functions marked as tests, not what they share.
#![allow(clippy::unwrap_used)]

mod common;
mod conformance;
mod dense;
mod elementwise;
mod sparse;
mod threads;
