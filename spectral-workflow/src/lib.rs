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
pub mod cli;
mod context;
mod failure;
pub mod files;
pub mod machine;
pub mod output;
pub mod process;
pub mod progress;
pub mod recipe;
pub mod report;
mod run;
pub mod stage;
mod verbs;

pub use cli::{Extra, Program, main, main_with};
pub use context::Context;
pub use failure::{Failure, Result};
pub use process::Build;

// Linked for their registrations.
use spectral_cpu as _;
#[cfg(feature = "cuda")]
use spectral_cuda as _;
use spectral_layers as _;
#[cfg(feature = "torch")]
use spectral_tch as _;
