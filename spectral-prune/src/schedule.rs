//! When pruning happens: at once, in rounds with training in between, or little by little inside training.

mod gradual;

pub use gradual::GradualPruning;

use crate::{Budget, Error, Result};
use serde::{Deserialize, Serialize};

/// When pruning happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// All at once.
    #[default]
    OneShot,
    /// In rounds; whoever prunes trains after each.
    Iterative(Iterative),
    /// Inside training, by [`GradualPruning`].
    Gradual(Gradual),
}

/// Rounds of pruning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iterative {
    /// How many rounds, at least 1.
    pub steps: usize,
    /// What the rounds have in common.
    #[serde(default)]
    pub spacing: Spacing,
}

/// How the shares of several rounds are spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Every round prunes the same share of what is left: `1 - (1 - amount)^(k / steps)`. Frankle & Carbin 2019.
    #[default]
    Geometric,
    /// Every round prunes the same number: `amount * k / steps`.
    Linear,
}

/// A window of optimiser steps in which the pruned share rises along a cubic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradual {
    /// First step after which something is pruned.
    pub start: u64,
    /// Step after which the full amount is pruned.
    pub end: u64,
    /// Steps between two prunings.
    pub every: u64,
    /// Share that is pruned at `start`.
    #[serde(default)]
    pub from: f64,
}

impl Schedule {
    /// The shares that are pruned after each round, rising to exactly `amount`.
    pub fn targets(&self, amount: f64) -> Vec<f64> {
        let Self::Iterative(Iterative { steps, spacing }) = *self else { return vec![amount] };
        let share = |k: usize| match spacing {
            _ if k == steps => amount,
            Spacing::Geometric => 1.0 - (1.0 - amount).powf(k as f64 / steps as f64),
            Spacing::Linear => amount * k as f64 / steps as f64,
        };
        (1..=steps).map(share).collect()
    }

    /// Checks that the numbers make sense with `budget`.
    ///
    /// # Errors
    /// No rounds, an empty window, or a budget that a schedule cannot rise to.
    pub fn check(&self, budget: Budget) -> Result<()> {
        let bad = |problem: &str| Err(Error::Config(problem.into()));
        if *self != Self::OneShot && !matches!(budget, Budget::Fraction(_)) {
            return bad("an iterative or gradual schedule rises to a share: give `amount`");
        }
        match self {
            Self::Iterative(Iterative { steps: 0, .. }) => bad("an iterative schedule needs `steps` of at least 1"),
            Self::Gradual(g) => g.check(),
            _ => Ok(()),
        }
    }
}

impl Gradual {
    /// The share that is pruned after step `t` on the way to `amount`:
    /// `amount + (from - amount) (1 - (t - start) / (end - start))^3`. Zhu & Gupta 2017.
    pub fn share(&self, amount: f64, t: u64) -> f64 {
        if t >= self.end {
            return amount;
        }
        let done = t.saturating_sub(self.start) as f64 / (self.end - self.start) as f64;
        amount + (self.from - amount) * (1.0 - done).powi(3)
    }

    /// Whether something is pruned after step `t`.
    pub fn is_due(&self, t: u64) -> bool {
        t == self.end || (t >= self.start && t < self.end && (t - self.start).is_multiple_of(self.every))
    }

    /// Checks that the window ends within a training run of so many steps.
    ///
    /// # Errors
    /// It does not, so that the amount would not be reached.
    pub fn check_fits(&self, steps: u64) -> Result<()> {
        if self.end <= steps {
            return Ok(());
        }
        Err(Error::Config(format!(
            "a gradual schedule that ends with step {} needs as many, and the training phase it runs in has {steps}; \
             lower `end`, or train for more epochs",
            self.end
        )))
    }

    fn check(&self) -> Result<()> {
        if self.start >= self.end || self.every == 0 || !(0.0..=1.0).contains(&self.from) {
            let problem = "a gradual schedule needs `start` below `end`, `every` above 0 and `from` between 0 and 1";
            return Err(Error::Config(problem.into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_rise_to_the_amount() {
        let geometric = Schedule::Iterative(Iterative { steps: 3, spacing: Spacing::Geometric }).targets(0.875);
        for (got, want) in geometric.iter().zip([0.5, 0.75, 0.875]) {
            assert!((got - want).abs() < 1e-12, "{geometric:?}");
        }
        let linear = Schedule::Iterative(Iterative { steps: 4, spacing: Spacing::Linear }).targets(0.8);
        assert_eq!(linear.last(), Some(&0.8));
        assert!((linear[0] - 0.2).abs() < 1e-15);
        assert_eq!(Schedule::OneShot.targets(0.3), [0.3]);
    }

    #[test]
    fn the_cubic_is_the_closed_form_and_never_falls() {
        let g = Gradual { start: 10, end: 110, every: 7, from: 0.1 };
        let mut last = 0.0;
        for t in 0..200u64 {
            let x = (t.clamp(10, 110) - 10) as f64 / 100.0;
            let want = 0.9 + (0.1 - 0.9) * ((1.0 - x) * (1.0 - x) * (1.0 - x));
            let got = g.share(0.9, t);
            assert!((got - want).abs() <= f64::EPSILON * want, "{t}: {got} {want}");
            assert!(got >= last);
            last = got;
        }
        let due: Vec<u64> = (0..200).filter(|&t| g.is_due(t)).collect();
        assert_eq!((due[0], due[1], *due.last().unwrap(), due.len()), (10, 17, 110, 16));
    }
}
