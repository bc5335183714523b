//! The plug-in trait of whole procedures: what trains, measures and prunes in turns.

use crate::base::{Result, Seed};
use crate::extend::{History, Hooks, State, Table, Train, TrainHook};
use crate::model::Model;
use crate::samples::Samples;

/// A procedure that changes a model by more than one cut: it may train, measure, prune and replace the network.
///
/// A single cut is a [`Pruner`](crate::extend::Pruner); what happens during an ordinary training run is a
/// [`TrainHook`]. A new strategy is a struct with serde parameters, this trait and
/// [`register_strategy!`](crate::register_strategy).
pub trait Strategy: std::fmt::Debug + Send + Sync {
    /// Says what is wrong with the parameters, before anything is trained.
    ///
    /// # Errors
    /// A parameter is out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Runs the procedure. On an error `model` is as it was.
    ///
    /// # Errors
    /// The model or the data does not fit, or training failed.
    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport>;
}

/// What a [`Strategy`] works with.
pub struct StrategyCx<'a> {
    /// What it may train on.
    pub train: &'a Samples,
    /// What it may measure on to decide; never the test set.
    pub validation: &'a Samples,
    /// What all its randomness derives from.
    pub seed: Seed,
    /// Who watches.
    pub watch: &'a mut dyn Watch,
}

impl std::fmt::Debug for StrategyCx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StrategyCx").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Watches a [`Strategy`] at work: progress bars, curves for the report.
pub trait Watch {
    /// Trains `model` as phase `phase`, watched.
    ///
    /// # Errors
    /// As [`Train::train`].
    fn train(
        &mut self,
        phase: &str,
        trainer: &dyn Train,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> Result<History>;
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn train(
        &mut self,
        _: &str,
        trainer: &dyn Train,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> Result<History> {
        trainer.train(model, data, hooks)
    }
}

/// What the training phases of a strategy came to, kept from run to run.
pub trait Phases {
    /// Phase number `index` of an earlier run, if it was finished.
    ///
    /// # Errors
    /// It cannot be read.
    fn done(&mut self, index: usize, name: &str) -> Result<Option<FinishedPhase>>;

    /// Keeps phase number `index`.
    ///
    /// # Errors
    /// It cannot be written.
    fn keep(&mut self, index: usize, name: &str, model: &Model, history: &History, hooks: &State) -> Result<()>;
}

/// A training phase of a strategy that was finished.
#[derive(Debug)]
pub struct FinishedPhase {
    /// The model after it.
    pub model: Model,
    /// What training measured.
    pub history: History,
    /// What the hooks of the strategy remembered at its end; see [`TrainHook::save`].
    pub hooks: State,
}

/// Lets a strategy that was stopped go on, to the same bits.
///
/// A strategy is deterministic except in its training phases, which are the part that takes long. So it is run again
/// from its start, and phases that were finished before give what they gave then instead of training. A strategy needs
/// nothing of its own for that.
pub struct Resumed<'a> {
    watch: &'a mut dyn Watch,
    phases: &'a mut dyn Phases,
    next: usize,
}

impl<'a> Resumed<'a> {
    /// Trains under `watch` what `phases` does not know yet.
    pub fn new(watch: &'a mut dyn Watch, phases: &'a mut dyn Phases) -> Self {
        Self { watch, phases, next: 0 }
    }
}

impl Watch for Resumed<'_> {
    fn train(
        &mut self,
        phase: &str,
        trainer: &dyn Train,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> Result<History> {
        let index = self.next;
        self.next += 1;
        if let Some(done) = self.phases.done(index, phase)? {
            *model = done.model;
            Hooks(hooks).load(model, &done.hooks)?;
            return Ok(done.history);
        }
        let history = self.watch.train(phase, trainer, model, data, hooks)?;
        self.phases.keep(index, phase, model, &history, &Hooks(hooks).save()?)?;
        Ok(history)
    }
}

/// What a [`Strategy`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StrategyReport {
    /// One sentence for people.
    pub summary: String,
    /// What goes into the model's history.
    pub detail: serde_json::Value,
    /// What it measured on the way, for the report.
    pub tables: Vec<Table>,
}

crate::part_registry!(
    /// A strategy that a crate registered; see [`register_strategy!`](crate::register_strategy).
    StrategyEntry,
    "strategy",
    Strategy
);

/// Registers a strategy: `register_strategy!(MetricBased, "metric_based", "prunes until a metric suffers");`
///
/// The type must implement `Strategy + Default + serde::Serialize + serde::Deserialize`.
#[macro_export]
macro_rules! register_strategy {
    ($type:ty, $name:literal, $summary:literal) => {
        $crate::register_part!($crate::StrategyEntry, $type, $name, $summary);
    };
}
