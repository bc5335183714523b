//! The libtorch backend beside the CPU, the oracle and libtorch's autograd; one binary, so that it links once.

#![cfg(feature = "libtorch")]

mod agreement;
mod autograd;
mod conformance;
