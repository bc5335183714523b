//! Whole procedures that train, measure and prune in turns, one a file.
//!
//! Every one is a [`Strategy`](spectral_core::Strategy) found by its name.

mod distil;
mod dynamic_sparse;
mod eigenvalues;
mod learn_classes;
mod metric_based;
mod mix;
mod phase;
mod pretrain;
mod submodel;
mod subnetwork_search;

pub use distil::Distil;
pub use dynamic_sparse::DynamicSparse;
pub use learn_classes::LearnClasses;
pub use metric_based::{Direction, MetricBased};
pub use mix::{Mix, Share};
pub use pretrain::Pretrain;
pub use submodel::TrainSubModel;
pub use subnetwork_search::{SubnetworkSearch, Then};
