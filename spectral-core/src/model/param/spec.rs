//! What layers request for their parameters.

use super::{Role, UnitAxis};
use crate::backend::Constraint;
use crate::backend::Penalty;
use crate::model::Init;
use crate::tensor::{Mask, Shape};

/// Which entries of a parameter take memory.
///
/// How a matrix is stored belongs to the parameter ([`Params::store`](crate::model::Params::store)); a layer only says
/// what it can compute with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stored {
    /// All of them, always.
    #[default]
    Full,
    /// All of them when a network is built. The layer can also compute with those on a
    /// [`Pattern`](crate::tensor::Pattern).
    Either,
    /// Those on a random pattern when a network is built. The layer can also compute with all of them.
    Pattern,
}

/// What a layer requests for one of its parameters.
#[derive(Debug, Clone)]
pub struct ParamSpec {
    /// Name inside the layer, for example `weight`.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
    /// Extents of the whole matrix or vector, stored or not: those of `axes`.
    pub shape: Shape,
    /// What its axes run over.
    pub axes: &'static [UnitAxis],
    /// Initial values.
    pub init: Init,
    /// Number of inputs and outputs that initialisers scale by.
    pub fan: (usize, usize),
    /// Whether it trains.
    pub trainable: bool,
    /// Penalty on its entries.
    pub penalty: Penalty,
    /// What its values must satisfy after every step.
    pub constraint: Constraint,
    /// For a running average: the share of the old value that a step keeps. The gradient slot then holds the values
    /// seen in the batch, and the step adds the remaining share of them; see
    /// [`Params::average`](crate::model::Params::average).
    pub averaged: Option<f64>,
    /// Entries that are pruned from the start.
    pub pruned: Option<Mask>,
    /// Share of entries that exist from the start, chosen at random. The others are pruned or not stored.
    pub density: f64,
    /// Which entries take memory.
    pub stored: Stored,
}

impl ParamSpec {
    /// A dense, trainable parameter without penalty that starts at zero.
    pub fn new(name: &'static str, role: Role, shape: Shape, axes: &'static [UnitAxis]) -> Self {
        Self {
            name,
            role,
            shape,
            axes,
            init: Init::Zeros,
            fan: (1, 1),
            trainable: true,
            penalty: Penalty::default(),
            constraint: Constraint::None,
            averaged: None,
            pruned: None,
            density: 1.0,
            stored: Stored::Full,
        }
    }
}
