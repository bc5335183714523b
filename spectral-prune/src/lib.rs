//! Pruning and compaction.
//!
//! Holds criteria, granularity, scope, budgets, schedules and coupled groups, put together by [`Prune`], and
//! [`compact`], which removes pruned units for real. [`topology`] moves the stored weights of sparse layers while they
//! train; [`strategies`] are whole procedures.
//!
//! Never does: kernels, files, sparse storage. Knows layers only by what they declare
//! (unit axes, parameter roles, [`Op`](spectral_core::Op)), never by their types. May depend on
//! spectral-core and spectral-train.

mod activities;
mod budget;
mod change;
mod compact;
mod config;
pub mod criteria;
mod eigenvalues;
mod error;
mod granularity;
mod groups;
pub mod history;
mod mix;
mod pick;
mod pool;
mod prune;
mod report;
mod schedule;
mod select;
mod selection;
mod statistics;
pub mod strategies;
mod submodel;
mod subnetwork;
pub mod topology;
mod unmask;
mod weighted;
mod worth;

pub use activities::activated_weights;
pub use budget::Budget;
pub use change::layers_between;
pub use compact::{COMPACT, CompactLayer, CompactReport, Compacted, compact};
pub use config::PruneConfig;
pub use error::{Error, Result};
pub use granularity::{Granularity, Scope};
pub use groups::{Group, groups};
pub use history::{ExplainLayer, ExplainRow, explain};
pub use mix::{MixConfig, MixRule, Mixer};
pub use pick::{Gaussian, Pick};
pub use prune::Prune;
pub use report::{LayerReport, PRUNE, PruneDetail, PruneReport, collapsed};
pub use schedule::{Gradual, GradualPruning, Iterative, Schedule, Spacing};
pub use select::{SelectConfig, Selected, Selection, Subset, WasTrainable};
pub use submodel::{SubLayer, SubModel, SubModelConfig};
pub use subnetwork::{Judge, SubnetworkConfig, SubnetworkScores};
pub use unmask::{UNMASK, unmask};

impl From<Error> for spectral_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(core) => core,
            other => Self::Plugin { what: "pruning".into(), class: other.class(), source: Box::new(other) },
        }
    }
}
