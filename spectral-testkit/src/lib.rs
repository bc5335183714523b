//! Conformance suites and gradient checks for backends, layers, criteria and strategies. A crate that provides its own
//! runs them in its tests.
//!
//! | suite | for |
//! |---|---|
//! | [`gradcheck::layer`], [`gradcheck::loss`] | VJPs against finite differences in f64 |
//! | [`layer::conformance`] | everything core expects of a [`Layer`](spectral_core::Layer) |
//! | [`backend::conformance`] | every kernel against [`Reference`](spectral_core::Reference) |
//! | [`backend::determinism`] | the same bits again, and on any number of threads if promised |
//! | [`backend::agreement`] | a whole run, and cuts by every criterion, agree on two backends |
//! | [`backend::training`], [`backend::masks`] | the same for your own run and your own cut |
//! | [`pruner::conformance`] | everything core expects of a [`Pruner`](spectral_core::Pruner) |
//! | [`strategy::conformance`] | everything core expects of a [`Strategy`](spectral_core::Strategy) |
//!
//! Every suite counts its cases and reports all failures, not only the first. [`Counting`] is an allocator that reports
//! how much memory a piece of work requested.
//!
//! Never does: any work in a finished program; it is a development dependency. Depends on `spectral-core` and on no
//! other crate of the workspace.

pub mod backend;
mod counting;
pub mod gradcheck;
pub mod layer;
mod probe;
pub mod pruner;
mod report;
pub mod strategy;

pub use counting::{Counting, Usage};
pub use report::{Failed, Report};
