//! Pruning and compaction through the public API.

// Clippy exempts functions marked as tests, not what they share.
#![allow(clippy::unwrap_used)]

mod budgets;
mod compaction;
mod coupling;
mod criteria;
mod data_driven;
mod gradual;
mod steps;
mod support;
mod unbiased;
