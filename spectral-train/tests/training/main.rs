//! Training through the public API: optimisers against independent formulas, and whole runs.

mod device;
mod follow;
mod formulas;
mod learn;
mod masks;
mod numbers;
mod stopping;
mod support;
