//! The libtorch backend: every kernel family of `spectral-core` on [libtorch](https://pytorch.org) through `tch`.
//!
//! Without the feature `libtorch` this crate is empty, so that the workspace builds and tests where there is no
//! libtorch. `cargo xtask setup torch` puts one into the project folder; from then on `--backend torch` works.
//!
//! Values are tensors of libtorch from the first kernel of a step to the last. Gradients are the formulas of
//! `spectral-core`, written with libtorch's operators; its autograd has no part in them.
//!
//! Determinism: the same call gives the same bits again with as many threads. With another number libtorch cuts its
//! work elsewhere, which changes the order of sums and which elements its vectorised functions leave to scalar ones;
//! only memory and optimiser steps, which have neither, promise the same bits for any number of threads
//! (`Backend::determinism`).
//!
//! On a GPU (`Torch::cuda`) the same operators run, and need a libtorch that came with CUDA. No line of this has been
//! run on one: neither its numbers nor its bits are checked there.
//!
//! Bodies that `spectral-core` provides and that stay:
//!
//! | kernel | why |
//! |---|---|
//! | `write` | the values are the host's |
//! | `update_product` | its two kernels are libtorch's already; `spectral_weight_vjp` writes the product the same way |
//! | `each_largest`, `all_finite` | ask `largest` |
//! | `constrain` on the rows of a sparse pattern | rows of unequal length; a dense weight stays on the device |
//!
//! Never does: training loops, files, choosing between dense and sparse. Depends on `spectral-core` only.

#[cfg(feature = "libtorch")]
mod families;
#[cfg(feature = "libtorch")]
mod masks;
#[cfg(feature = "libtorch")]
mod storage;
#[cfg(feature = "libtorch")]
mod torch;

#[cfg(feature = "libtorch")]
pub use torch::Torch;
