//! Pruning and compaction through the public API.

// Clippy exempts functions marked as tests, not what they share.
#![allow(clippy::unwrap_used)]

mod blocks;
mod budgets;
mod compaction;
mod coupling;
mod criteria;
mod criteria_by_sign;
mod data_driven;
mod dynamic_sparse;
mod gates;
mod gradual;
mod images;
mod inputs;
mod linked;
mod mixing;
mod procedures;
mod resume;
mod rows;
mod selecting;
mod spectral_layer;
mod statistics;
mod steps;
mod strategies;
mod submodels;
mod support;
mod topology;
mod unbiased;
mod unmasking;
