//! A linear rise of the rate before any schedule.

use super::Schedule;
use serde::{Deserialize, Serialize};
use spectral_core::Progress;

/// How long the rate rises linearly before the schedule begins. Goyal et al. 2017.
///
/// Written as a number of steps (`100`), or `{ epochs = 2 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of steps, or a table { epochs = N }")]
pub enum Warmup {
    /// This many steps.
    Steps(u64),
    /// This many epochs.
    #[serde(with = "epochs")]
    Epochs(usize),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Steps(0)
    }
}

impl Warmup {
    /// Its number of steps in the run of `at`.
    pub fn steps(self, at: &Progress) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs) => (epochs as u64).saturating_mul(at.steps / at.epochs.max(1) as u64),
        }
    }

    /// The factor of `schedule` with this warm-up: `(step + 1) / warm` for the first `warm` steps, then the schedule
    /// over the remaining steps (its epochs count from the start of the run).
    pub fn factor(self, schedule: &dyn Schedule, at: &Progress) -> f64 {
        let warm = self.steps(at);
        if at.step < warm {
            return (at.step + 1) as f64 / warm as f64;
        }
        schedule.factor(&Progress { step: at.step - warm, steps: at.steps.saturating_sub(warm), ..*at })
    }
}

/// `{ epochs = n }`.
mod epochs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        epochs: usize,
    }

    pub(super) fn serialize<S: Serializer>(epochs: &usize, to: S) -> Result<S::Ok, S::Error> {
        Table { epochs: *epochs }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        Table::deserialize(from).map(|t| t.epochs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Constant, Cosine, StepDecay};

    fn at(step: u64) -> Progress {
        Progress { step, steps: 100, epoch: step as usize / 10, epochs: 10 }
    }

    #[test]
    fn it_rises_linearly_and_then_hands_over() {
        let factor = |step| Warmup::Steps(20).factor(&Cosine::default(), &at(step));
        for (step, want) in [(0, 0.05), (9, 0.5), (19, 1.0), (20, 1.0), (60, 0.5)] {
            assert!((factor(step) - want).abs() < 1e-15, "{step}: {}", factor(step));
        }
    }

    #[test]
    fn epochs_are_steps_of_this_run() {
        assert_eq!(Warmup::Epochs(2).steps(&at(0)), 20);
        let factor = |step| Warmup::Epochs(2).factor(&StepDecay { every: 5, factor: 0.5 }, &at(step));
        assert_eq!((factor(0), factor(19), factor(20), factor(50)), (0.05, 1.0, 1.0, 0.5));
    }

    #[test]
    fn none_and_too_long_are_harmless() {
        assert_eq!(Warmup::default().factor(&Constant {}, &at(0)), 1.0);
        assert_eq!(Warmup::Steps(1000).factor(&Constant {}, &at(99)), 0.1);
    }

    #[test]
    fn both_forms_are_read_and_written_back() {
        for (json, want) in [("100", Warmup::Steps(100)), (r#"{"epochs":2}"#, Warmup::Epochs(2))] {
            assert_eq!(serde_json::from_str::<Warmup>(json).unwrap(), want);
            assert_eq!(serde_json::to_string(&want).unwrap(), json);
        }
        for bad in ["-1", r#"{"days":2}"#, r#""long""#] {
            let error = serde_json::from_str::<Warmup>(bad).unwrap_err().to_string();
            assert!(error.contains("number of steps"), "{error}");
        }
    }
}
