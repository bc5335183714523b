//! Weights by their value, sign included.

use serde::{Deserialize, Serialize};
use spectral_core::{Pruner, Result, Target, register_pruner};

/// Weight: `w` itself. Unit: the mean of its incoming weights.
///
/// With `threshold = 0` every negative weight goes (Sparana); as the score of a selection it takes the largest or
/// smallest values (D9, `get_k_max` and `get_k_min`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {}

impl Pruner for Value {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(target.weight.iter()).for_each(|(s, w)| *s = w);
        Ok(())
    }
}

register_pruner!(Value, "value", "keeps large w, sign included; threshold 0 prunes every negative weight");
