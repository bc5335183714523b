//! What a weight adds to its unit on average, signs included.

use serde::{Deserialize, Serialize};
use spectral_core::{InputMean, Needs, Pruner, Result, Target, register_pruner};

/// Weight `[o, i]`: `|mean over samples of w[o, i] * x_i| = |w[o, i]| * |mean x_i|` over the calibration data. Unit:
/// the mean over its incoming weights.
///
/// Unlike [`ActivationWeight`](super::ActivationWeight) it lets inputs of either sign cancel: a weight whose
/// contributions even out can be replaced by nothing, or by a bias. Sparana's MAV as it was meant: over the
/// inputs of the layer, not its outputs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanActivationWeight {}

impl Pruner for MeanActivationWeight {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let inputs = target.statistics.of(&InputMean)?;
        for (i, (s, w)) in scores.iter_mut().zip(target.weight.iter()).enumerate() {
            *s = (inputs[i % target.columns] * w).abs();
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs::statistic(InputMean)
    }
}

register_pruner!(
    MeanActivationWeight,
    "mean_activation_weight",
    "keeps large |mean of w x| over calibration data: signs may cancel"
);
