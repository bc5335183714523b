//! What parameters are for.

use serde::{Deserialize, Serialize};

/// What a parameter is for. Optimisers, criteria and files treat parameters by role, never by layer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Entries of a weight matrix, dense or stored on a pattern.
    Weight,
    /// A constant added per unit.
    Bias,
    /// Eigenvector basis of a spectral layer.
    Basis,
    /// Eigenvalues of a spectral layer's inputs.
    EigenvalueIn,
    /// Eigenvalues of a spectral layer's outputs.
    EigenvalueOut,
    /// A factor per unit.
    Gain,
    /// A running average over batches, not trained by gradients.
    Statistic,
    /// A slope per unit on the negative side of an activation.
    Slope,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Weight,
        Self::Bias,
        Self::Basis,
        Self::EigenvalueIn,
        Self::EigenvalueOut,
        Self::Gain,
        Self::Statistic,
        Self::Slope,
    ];

    /// Whether the parameter is a matrix that pruning by weight works on.
    pub fn is_matrix(self) -> bool {
        matches!(self, Self::Weight | Self::Basis)
    }

    /// The name recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Basis => "basis",
            Self::EigenvalueIn => "eigenvalue_in",
            Self::EigenvalueOut => "eigenvalue_out",
            Self::Gain => "gain",
            Self::Statistic => "statistic",
            Self::Slope => "slope",
        }
    }
}

/// What the axes of a parameter run over, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitAxis {
    /// The output units of the layer.
    Out,
    /// The input units of the layer.
    In,
}
