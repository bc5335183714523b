//! Learning rates over time.

mod constant;
mod cosine;
mod step;
mod warmup;

pub use constant::Constant;
pub use cosine::Cosine;
pub use step::StepDecay;
pub use warmup::Warmup;

use spectral_core::{Progress, Result};

/// How the learning rate changes: a pure function of the progress of the run.
pub trait Schedule: std::fmt::Debug + Send + Sync + 'static {
    /// The factor on the optimiser's rate in the step after `at`.
    fn factor(&self, at: &Progress) -> f64;

    /// Checks the parameters.
    ///
    /// # Errors
    /// One is out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

spectral_core::part_registry!(
    /// A schedule that a crate registered; see [`register_schedule!`](crate::register_schedule).
    ScheduleEntry,
    "schedule",
    Schedule
);

/// Registers a schedule: `register_schedule!(Cosine, "cosine", "half a cosine down to `floor`");`
///
/// The type must implement `Schedule + Default + serde::Serialize + serde::Deserialize`. The crate that calls
/// this needs `spectral-core` as a dependency under its own name.
#[macro_export]
macro_rules! register_schedule {
    ($type:ty, $name:literal, $summary:literal) => {
        ::spectral_core::register_part!(
            $crate::ScheduleEntry,
            $type,
            $name,
            $summary,
            check = |part: &$type| $crate::Schedule::check(part)
        );
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use spectral_core::registry::{all, find};

    #[test]
    fn every_default_builds_and_starts_at_the_full_rate() {
        let entries = all::<ScheduleEntry>().unwrap();
        assert_eq!(entries.iter().map(|e| e.name).collect::<Vec<_>>(), ["constant", "cosine", "step"]);
        for entry in entries {
            let built = (entry.build)((entry.defaults)()).unwrap();
            assert_eq!(built.factor(&Progress { step: 0, steps: 10, epoch: 0, epochs: 2 }), 1.0, "{}", entry.name);
        }
    }

    #[test]
    fn impossible_parameters_are_refused_with_their_name() {
        for (name, config, word) in [
            ("step", json!({"every": 0}), "`every`"),
            ("step", json!({"factor": -1.0}), "`factor`"),
            ("cosine", json!({"floor": 1.5}), "`floor`"),
            ("cosine", json!({"flor": 0.5}), "flor"),
            ("constant", json!({"rate": 1}), "rate"),
        ] {
            let entry = find::<ScheduleEntry>(name).unwrap();
            let Err(error) = (entry.build)(config.clone()) else { panic!("{name} {config} was accepted") };
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
