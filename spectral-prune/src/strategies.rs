//! Whole procedures that train, measure and prune in turns, one a file.
//!
//! Every one is a [`Strategy`](spectral_core::Strategy) found by its name.

mod dynamic_sparse;
mod learn_classes;
mod mix;
mod phase;
mod submodel;
mod subnetwork_search;

pub use dynamic_sparse::DynamicSparse;
pub use learn_classes::LearnClasses;
pub use mix::{Mix, Share};
pub use submodel::TrainSubModel;
pub use subnetwork_search::{SubnetworkSearch, Then};
