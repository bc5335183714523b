//! A pruning criterion in a crate of its own.

use serde::{Deserialize, Serialize};
use spectral_core::{Pruner, Result, Target, register_pruner};

/// Keeps the weights furthest from their layer's mean.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outlier {}

impl Pruner for Outlier {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let mean = target.weight.iter().sum::<f64>() / scores.len() as f64;
        scores.iter_mut().zip(target.weight.iter()).for_each(|(score, w)| *score = (w - mean).abs());
        Ok(())
    }
}

register_pruner!(Outlier, "outlier", "keeps the weights furthest from their layer's mean");
