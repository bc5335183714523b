//! What a weight or a unit is worth, one criterion a file.
//!
//! Every criterion is a [`Pruner`](spectral_core::Pruner) found by its name; a new one, here or in a crate of its
//! own, is a struct with serde parameters, the trait and one registration line.

mod activation_weight;
mod eigenvalue;
mod gain;
mod magnitude;
mod mean_activation_weight;
mod obs;
mod outgoing_rank;
mod random;
mod sign;
mod taylor;
mod value;

pub use activation_weight::ActivationWeight;
pub use eigenvalue::{Eigenvalue, Link, Pool};
pub use gain::Gain;
pub use magnitude::Magnitude;
pub use mean_activation_weight::MeanActivationWeight;
pub use obs::Obs;
pub use outgoing_rank::OutgoingRank;
pub use random::Random;
pub use sign::{Negative, Positive};
pub use taylor::Taylor;
pub use value::Value;
