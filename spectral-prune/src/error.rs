//! The one error type of this crate.

use spectral_core::LayersWith;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in pruning and compaction. The model is unchanged after any of them but
/// [`Unreached`](Self::Unreached).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor, graph, registry or backend failed.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
    /// A name that is no weighted layer of the network.
    #[error("no layer `{name}` with weights to prune{}; there are {}", hint(.nearest), .known.join(", "))]
    UnknownLayer {
        /// The name that was given.
        name: String,
        /// The weighted layer whose name is most like it, if one is.
        nearest: Option<String>,
        /// All weighted layers.
        known: Vec<String>,
    },
    /// The criterion measures on data and there is none.
    #[error("criterion `{criterion}` measures on data: pass some (`--calibration SET`, or samples to `apply`)")]
    NeedsCalibration {
        /// The criterion.
        criterion: String,
    },
    /// The criterion scores spectral layers, and there is none to prune.
    #[error(
        "criterion `{criterion}` needs eigenvalues, and none of the layers to prune ({layers}) is spectral; \
         take another criterion, or build the network of spectral layers"
    )]
    NotSpectral {
        /// The criterion.
        criterion: String,
        /// The layers that were chosen.
        layers: String,
    },
    /// The criterion looks at the factor behind each unit, and no chosen layer has one.
    #[error(
        "criterion `{criterion}` needs a gate or a normalisation behind a layer, and none of the layers to prune \
         ({layers}) has one; add gates to the model, or take another criterion"
    )]
    NotGated {
        /// The criterion.
        criterion: String,
        /// The layers that were chosen.
        layers: String,
    },
    /// The criterion ranks by eigenvalues, and none of those in question trains.
    #[error(
        "criterion `{criterion}` ranks by eigenvalues that train, and those of {layers} are frozen; let `lambda_out` \
         (for inputs `lambda_in`) train, or take another criterion"
    )]
    FrozenEigenvalues {
        /// The criterion.
        criterion: String,
        /// The layers that were chosen.
        layers: String,
    },
    /// Nothing in the chosen layers may be pruned.
    #[error("nothing to prune in {layers}: {reason}")]
    Protected {
        /// The layers that were chosen.
        layers: String,
        /// Why nothing of them may go.
        reason: String,
    },
    /// The budget cannot be hit.
    #[error(
        "cannot prune {asked} of the {total} {what} in {place}: {reason}; the closest that can be done is {closest} \
         (amount {:.6})", *.closest as f64 / (*.total).max(1) as f64
    )]
    Infeasible {
        /// How many entries should have been pruned afterwards.
        asked: usize,
        /// The feasible number nearest to that.
        closest: usize,
        /// How many there are.
        total: usize,
        /// `units` or `weights`.
        what: &'static str,
        /// The layer, or `the network`.
        place: String,
        /// Why it cannot be done.
        reason: String,
    },
    /// Training ended before a gradual schedule had pruned all that it promised. Unlike after other errors the model is
    /// pruned as far as the schedule came.
    #[error(
        "gradual pruning was to reach an amount of {asked} and reached {reached:.4}: training ended after step {ended}, \
         and the schedule ends with step {end}; lower `end`, or take `patience` and whatever else stops training out"
    )]
    Unreached {
        /// The share that was to be pruned.
        asked: f64,
        /// The share that is.
        reached: f64,
        /// The step after which training ended.
        ended: u64,
        /// The step after which all is pruned.
        end: u64,
    },
    /// Options that make no sense, alone or together.
    #[error("{0}")]
    Config(String),
    /// A criterion gave a score that is not a number.
    #[error("criterion `{criterion}` gave NaN for {entry} of layer `{layer}`; check its weights and the data for NaN")]
    Score {
        /// The criterion.
        criterion: String,
        /// The layer.
        layer: String,
        /// The weight or unit.
        entry: String,
    },
    /// A history entry of a model cannot be read.
    #[error("history entry {entry} (`{action}`) cannot be read: {problem}")]
    History {
        /// Position in the history, from 1.
        entry: usize,
        /// What it says was done.
        action: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// What kind of thing went wrong.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Core(e) => e.class(),
            Self::Unreached { .. } => spectral_core::Class::Missed,
            Self::Score { .. } => spectral_core::Class::Numeric,
            Self::UnknownLayer { .. }
            | Self::NeedsCalibration { .. }
            | Self::NotSpectral { .. }
            | Self::NotGated { .. }
            | Self::FrozenEigenvalues { .. }
            | Self::Protected { .. }
            | Self::Infeasible { .. }
            | Self::Config(_)
            | Self::History { .. } => spectral_core::Class::Input,
        }
    }

    /// The criterion cannot score `layers`, which lack what it needs.
    pub(crate) fn lacks(needed: LayersWith, criterion: String, layers: String) -> Self {
        match needed {
            LayersWith::Gain => Self::NotGated { criterion, layers },
            LayersWith::Eigenvalues | LayersWith::Weights => Self::NotSpectral { criterion, layers },
        }
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?"))
}
