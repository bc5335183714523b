//! A lower rate every few epochs.

use super::Schedule;
use crate::register_schedule;
use serde::{Deserialize, Serialize};
use spectral_core::{Error, Progress, Result};

/// `factor ^ floor(epoch / every)`, `epoch` from 0: multiplies the rate by `factor` every few epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepDecay {
    /// Epochs between two cuts, at least 1.
    pub every: usize,
    /// The factor at each cut, 0 or more.
    pub factor: f64,
}

impl Default for StepDecay {
    fn default() -> Self {
        Self { every: 10, factor: 0.1 }
    }
}

impl Schedule for StepDecay {
    fn factor(&self, at: &Progress) -> f64 {
        let cuts = at.epoch / self.every.max(1);
        self.factor.powi(i32::try_from(cuts).unwrap_or(i32::MAX))
    }

    fn check(&self) -> Result<()> {
        if self.every == 0 {
            return Err(Error::config("schedule `step`", "`every` is 0, it must be at least 1 epoch"));
        }
        if !(self.factor.is_finite() && self.factor >= 0.0) {
            let problem = format!("`factor` is {}, it must be a finite number, 0 or more", self.factor);
            return Err(Error::config("schedule `step`", problem));
        }
        Ok(())
    }
}

register_schedule!(StepDecay, "step", "multiplies the rate with `factor` every `every` epochs");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_follow_the_closed_form() {
        let schedule = StepDecay { every: 3, factor: 0.5 };
        let factors: Vec<f64> =
            (0..8).map(|epoch| schedule.factor(&Progress { step: 0, steps: 0, epoch, epochs: 8 })).collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }
}
