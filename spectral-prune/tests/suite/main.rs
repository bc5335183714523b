//! Pruning and compaction through the public API.

mod budgets;
mod compaction;
mod coupling;
mod criteria;
mod data_driven;
mod gradual;
mod steps;
mod support;
