//! The control: any criterion must beat it.

use serde::{Deserialize, Serialize};
use spectral_core::{Pruner, Result, Target, hash64, register_pruner};

/// Uniform numbers that depend on the run's seed, the layer and the position alone, so the order does not change
/// from one pruning step to the next.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {}

impl Pruner for Random {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        draw(target.key, scores);
        Ok(())
    }

    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        draw(target.key, scores);
        Ok(())
    }

    fn score_inputs(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        draw(target.key, scores);
        Ok(())
    }
}

fn draw(key: u64, scores: &mut [f64]) {
    for (i, s) in scores.iter_mut().enumerate() {
        *s = (hash64(key, i as u64) >> 11) as f64 / (1u64 << 53) as f64;
    }
}

register_pruner!(Random, "random", "keeps a random choice: the control for every other criterion");
