//! Recipes, the command line, progress, proofs and reports.
//!
//! A library, so that an own `xtask` with own plug-ins linked in is three lines:
//!
//! ```no_run
//! // use my_plugin as _;
//! fn main() -> std::process::ExitCode {
//!     spectral_workflow::main()
//! }
//! ```
//!
//! Never does: kernels, pruning or file formats of its own; every verb is a few calls into the other crates.
//! May depend on all of them.

mod backends;
mod bench;
pub mod cli;
mod context;
mod failure;
mod machine;
mod output;
mod progress;
pub mod recipe;
pub mod report;
mod reproduce;
mod run;
mod stage;
mod verbs;

pub use cli::{Extra, Program, main, main_with};
pub use failure::{Failure, Result};

// Linked for their registrations.
use spectral_cpu as _;
#[cfg(feature = "cuda")]
use spectral_cuda as _;
use spectral_layers as _;
#[cfg(feature = "torch")]
use spectral_tch as _;
