//! What removing a weight would change in the loss, to first order.

use serde::{Deserialize, Serialize};
use spectral_core::{Needs, Pruner, Result, Target, WeightGradient, register_pruner};

/// Weight: `|mean over samples of w * dL/dw|`. Unit: the same of the sum over its incoming weights.
///
/// Molchanov et al., ICLR 2017 and CVPR 2019. The sum over a row is what taking out all its weights at once
/// changes in the loss, to first order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taylor {}

impl Pruner for Taylor {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let products = target.statistics.of(&WeightGradient)?;
        scores.iter_mut().zip(products).for_each(|(s, p)| *s = p.abs());
        Ok(())
    }

    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let products = target.statistics.of(&WeightGradient)?;
        for (s, row) in scores.iter_mut().zip(products.chunks(target.columns.max(1))) {
            *s = row.iter().sum::<f64>().abs();
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs::statistic(WeightGradient)
    }
}

register_pruner!(Taylor, "taylor", "keeps large |mean of weight x gradient| over calibration data");
