//! The plain baseline: small weights go first.

use serde::{Deserialize, Serialize};
use spectral_core::{Error, Pruner, Result, Target, register_pruner};

/// Weight: `|w|^exponent`. Unit: the mean over its incoming weights. Source: Sparana; Han et al. 2015.
///
/// The exponent changes the ranking of units only: 1 compares mean absolute values, 2 mean squares.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Magnitude {
    /// Power of the absolute value, above 0.
    pub exponent: f64,
}

impl Default for Magnitude {
    fn default() -> Self {
        Self { exponent: 1.0 }
    }
}

impl Pruner for Magnitude {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        if !(self.exponent > 0.0 && self.exponent.is_finite()) {
            let problem = format!("an exponent of {} ranks nothing; it must be above 0", self.exponent);
            return Err(Error::config("criterion `magnitude`", problem));
        }
        for (s, w) in scores.iter_mut().zip(target.weight.iter()) {
            *s = if self.exponent == 1.0 { w.abs() } else { w.abs().powf(self.exponent) };
        }
        Ok(())
    }
}

register_pruner!(Magnitude, "magnitude", "keeps large |w|^exponent; units by the mean over their incoming weights");
