//! Training through the public API: optimisers against independent formulas, and whole runs.

#![allow(clippy::unwrap_used)]

mod averages;
mod constraints;
mod device;
mod follow;
mod formulas;
mod learn;
mod masks;
mod models;
mod numbers;
mod patterns;
mod products;
mod resume;
mod settings;
mod stopping;
mod support;
mod tracker;
