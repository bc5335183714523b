//! Half a cosine.

use super::Schedule;
use crate::register_schedule;
use serde::{Deserialize, Serialize};
use spectral_core::{Error, Progress, Result};

/// `floor + (1 - floor) (1 + cos(pi step / steps)) / 2`: falls smoothly from 1 to `floor`. Loshchilov & Hutter 2017,
/// without restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// Share of the rate at the end, `0..=1`.
    pub floor: f64,
}

impl Schedule for Cosine {
    fn factor(&self, at: &Progress) -> f64 {
        let done = at.step.min(at.steps) as f64 / at.steps.max(1) as f64;
        self.floor + (1.0 - self.floor) * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0
    }

    fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.floor) {
            return Ok(());
        }
        Err(Error::config("schedule `cosine`", format!("`floor` is {}, it must be between 0 and 1", self.floor)))
    }
}

register_schedule!(Cosine, "cosine", "half a cosine from the full rate down to `floor` of it");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_are_met() {
        let at = |step| Progress { step, steps: 120, epoch: 0, epochs: 1 };
        for (floor, step, want) in
            [(0.0, 0, 1.0), (0.0, 40, 0.75), (0.0, 60, 0.5), (0.0, 80, 0.25), (0.0, 120, 0.0), (0.2, 60, 0.6)]
        {
            let got = Cosine { floor }.factor(&at(step));
            assert!((got - want).abs() < 1e-15, "{floor} {step}: {got}");
        }
    }

    #[test]
    fn it_never_rises() {
        let factors: Vec<f64> = (0..=120)
            .map(|step| Cosine { floor: 0.1 }.factor(&Progress { step, steps: 120, epoch: 0, epochs: 1 }))
            .collect();
        assert!(factors.windows(2).all(|w| w[1] <= w[0]));
    }
}
