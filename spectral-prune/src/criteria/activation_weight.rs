//! What a weight carries on average.

use serde::{Deserialize, Serialize};
use spectral_core::{InputMeanAbs, Needs, Pruner, Result, Target, register_pruner};

/// Weight `[o, i]`: `mean |x_i| * |w[o, i]|` over the calibration data. Unit: the mean over its incoming weights.
///
/// Sparana's MAAV as it was meant: a mean, not a sum that grows with every call, and weights on inputs
/// that are always zero score 0 and go first instead of never.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationWeight {}

impl Pruner for ActivationWeight {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let inputs = target.statistics.of(&InputMeanAbs)?;
        for (i, (s, w)) in scores.iter_mut().zip(target.weight.iter()).enumerate() {
            *s = inputs[i % target.columns] * w.abs();
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs::statistic(InputMeanAbs)
    }
}

register_pruner!(ActivationWeight, "activation_weight", "keeps large mean |x| * |w| over calibration data");
