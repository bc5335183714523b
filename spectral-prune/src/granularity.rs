//! What is cut, and what competes with what.

use serde::{Deserialize, Serialize};

/// What is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Single entries of a weight matrix (of the basis, in a spectral layer), in every chosen layer.
    #[default]
    Weight,
    /// Whole units: the row of the weight or basis, the eigenvalue, and the bias unless it is kept.
    ///
    /// Units that the network's output, its input or a layer of unknown structure depends on position by
    /// position cannot go and are outside the pool, so the last layer is never cut.
    Unit,
    /// Whole inputs of a layer: the column of the weight or basis, and the eigenvalue it is taken in by. Other layers
    /// that take the same unit in keep it; a unit that nothing takes in any more goes when the model is compacted. The
    /// network itself keeps its inputs, so that data fits: what a first layer lost is not looked at.
    Input,
}

impl Granularity {
    /// The name recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Unit => "unit",
            Self::Input => "input",
        }
    }

    /// The plural, for messages.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Weight => "weights",
            Self::Unit => "units",
            Self::Input => "inputs",
        }
    }
}

/// What competes with what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All chosen layers share one ranking and one budget.
    #[default]
    Global,
    /// Every layer has a ranking of its own, and the budget holds in each. Layers whose units are coupled
    /// count as one.
    Layer,
}

impl Scope {
    /// The name recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Layer => "layer",
        }
    }
}
