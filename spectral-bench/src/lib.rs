//! Benchmarks of our work beside what people use otherwise, and published results repeated beside ours.
//!
//! Three verbs for the command line of spectral-workflow: `bench`, `reproduce` and `setup bench`. They are a crate of
//! their own, so that nobody who only trains, prunes and runs models compiles them.
//!
//! Never does: anything that another crate needs. May depend on all of them except xtask.

mod bench;
mod reproduce;
mod verbs;

use spectral_workflow::Extra;
pub(crate) use spectral_workflow::{Failure, Result};

/// The verbs, for [`spectral_workflow::Program::extras`].
pub fn verbs() -> Vec<Extra> {
    vec![verbs::reproduce::verb(), verbs::bench::verb(), verbs::setup::verb()]
}
