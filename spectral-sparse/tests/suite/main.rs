//! Conversion and training of sparse networks on the CPU, through the public API only.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod carried;
mod conformance;
mod equality;
mod networks;
mod oracle;
mod stored;
mod training;
