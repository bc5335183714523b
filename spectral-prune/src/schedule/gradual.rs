//! Pruning little by little while the network trains.

use super::{Gradual, Schedule};
use crate::change::{Change, Snapshot};
use crate::selection::Fit;
use crate::{Budget, Error, Prune, PruneConfig, PruneReport, Result};
use serde::{Deserialize, Serialize};
use spectral_core::{ContentHash, Flow, Model, Progress, Samples, Seed, State, TrainHook};

/// A training hook that raises the pruned share along the cubic of Zhu & Gupta 2017.
///
/// After step `t` the share is [`Gradual::share`] (to the unit below where coupled units cannot hit it, and exactly at
/// the end). The model's history gets one entry for the whole ascent; its parent is the model at the start.
///
/// The amount is a promise. A run with fewer steps than `end` is refused before its first step, and one that ends
/// earlier than planned (patience, another hook) fails with an error that names the amount asked for and the share
/// reached; the model is then pruned to that share.
#[derive(Debug)]
pub struct GradualPruning {
    prune: Prune,
    window: Gradual,
    amount: f64,
    calibration: Option<Samples>,
    begun: Option<Begun>,
    /// Steps after which something was last due.
    done: u64,
    report: Option<PruneReport>,
}

/// The model before the first pruning.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    parent: ContentHash,
    before: Snapshot,
    removed: usize,
    /// Where in the history the entry is, once something was pruned.
    entry: Option<usize>,
}

impl GradualPruning {
    /// Rises to the `amount` of `config` from step `start` to step `end`, pruning every `every` steps.
    ///
    /// # Errors
    /// `config` is not right (see [`PruneConfig::check`]), has no `amount`, or the window is empty.
    pub fn new(
        config: PruneConfig,
        (start, end): (u64, u64),
        every: u64,
        calibration: Option<Samples>,
    ) -> Result<Self> {
        let schedule = Schedule::Gradual(Gradual { start, end, every, from: 0.0 });
        Self::from_config(PruneConfig { schedule, ..config }, calibration)
    }

    /// As the gradual schedule of `config` says.
    ///
    /// # Errors
    /// As [`new`](Self::new), or the schedule is another one.
    pub fn from_config(config: PruneConfig, calibration: Option<Samples>) -> Result<Self> {
        config.check()?;
        match (config.schedule, config.budget()?) {
            (Schedule::Gradual(window), Budget::Fraction(amount)) => {
                let prune = Prune::from_config(config);
                Ok(Self { prune, window, amount, calibration, begun: None, done: 0, report: None })
            }
            _ => Err(Error::Config("the schedule is not gradual".into())),
        }
    }

    /// What criteria that draw numbers derive from; the model's own seed unless chosen.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.prune = self.prune.seed(seed);
        self
    }

    /// What has been pruned so far, over the whole ascent.
    pub fn report(&self) -> Option<&PruneReport> {
        self.report.as_ref()
    }

    fn begin(&mut self, model: &Model) -> Result<()> {
        // Fails now rather than after hours of training.
        self.prune.plan(model, self.calibration.as_ref(), Budget::Fraction(self.amount), Fit::Exact)?;
        let (parent, before) = (model.content_hash()?, Snapshot::of(model));
        self.begun = Some(Begun { parent, before, removed: 0, entry: None });
        Ok(())
    }

    fn step(&mut self, model: &mut Model, t: u64) -> Result<()> {
        if self.begun.is_none() {
            self.begin(model)?;
        }
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let fit = if t == self.window.end { Fit::Exact } else { Fit::AtMost };
        let budget = Budget::Fraction(self.window.share(self.amount, t));
        let cut = self.prune.plan(model, self.calibration.as_ref(), budget, fit)?;
        if cut.removed == 0 {
            return Ok(());
        }
        let removed = begun.removed + cut.removed;
        let change = Change { removed, parent: begun.parent, before: &begun.before, replaces: begun.entry };
        let (report, entry) = self.prune.carry_out(model, &cut, change)?;
        (begun.removed, begun.entry) = (removed, Some(entry));
        self.report = Some(report);
        Ok(())
    }
}

impl TrainHook for GradualPruning {
    fn start(&mut self, model: &mut Model, at: &Progress) -> spectral_core::Result<()> {
        self.window.check_fits(at.steps)?;
        Ok(self.begin(model)?)
    }

    fn after_step(&mut self, model: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
        if self.window.is_due(at.step) {
            self.step(model, at.step)?;
            self.done = at.step;
        }
        Ok(Flow::Continue)
    }

    fn end(&mut self, _: &mut Model, at: &Progress) -> spectral_core::Result<()> {
        if self.done >= self.window.end {
            return Ok(());
        }
        let reached = self.report.as_ref().map_or(0.0, |r| 1.0 - r.kept as f64 / r.total.max(1) as f64);
        Err(Error::Unreached { asked: self.amount, reached, ended: at.step, end: self.window.end }.into())
    }

    fn save(&self) -> spectral_core::Result<State> {
        State::of(&(&self.begun, self.done, &self.report))
    }

    fn load(&mut self, _: &mut Model, state: &State) -> spectral_core::Result<()> {
        (self.begun, self.done, self.report) = state.read("gradual pruning")?;
        Ok(())
    }
}
