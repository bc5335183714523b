//! What a weight or a unit is worth, one criterion a file.
//!
//! Every criterion is a [`Pruner`](spectral_core::Pruner) found by its name; a new one, here or in a crate of its
//! own, is a struct with serde parameters, the trait and one registration line.

mod activation_weight;
mod eigenvalue;
mod gain;
mod magnitude;
mod mean_activation_weight;
mod outgoing_rank;
mod random;
mod sign;
mod taylor;
mod value;

pub use activation_weight::ActivationWeight;
pub use eigenvalue::{Eigenvalue, Link};
pub use gain::Gain;
pub use magnitude::Magnitude;
pub use mean_activation_weight::MeanActivationWeight;
pub use outgoing_rank::OutgoingRank;
pub use random::Random;
pub use sign::{Negative, Positive};
pub use taylor::Taylor;
pub use value::Value;

use spectral_core::{Error, Result, Statistics, Target};

/// The statistic `measured` of a target, or an error that names what is missing.
fn measured<'a>(
    target: &Target<'a>,
    what: &str,
    measured: impl FnOnce(&'a Statistics) -> &'a Option<Vec<f64>>,
) -> Result<&'a [f64]> {
    measured(target.statistics)
        .as_deref()
        .ok_or_else(|| Error::config(format!("layer `{}`", target.node), format!("{what} was not measured")))
}
