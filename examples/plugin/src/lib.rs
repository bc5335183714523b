//! A pruning criterion in a crate of its own.

use serde::{Deserialize, Serialize};
use spectral_core::{Pruner, Result, Target, register_pruner};

/// Keeps the weights with the largest squares.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Energy {}

impl Pruner for Energy {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(target.weight.iter()).for_each(|(score, w)| *score = w * w);
        Ok(())
    }
}

register_pruner!(Energy, "energy", "keeps the weights with the largest squares");
