//! The strategies of a run: what they are given, who watches, what is written down.

use super::{Work, follow, keep_for_undo};
use crate::Result;
use crate::progress::Bar;
use crate::recipe::Planned;
use crate::report::{Curve, Report, StrategyStep};
use serde_json::json;
use spectral_core::{HistoryEntry, Hooks, Model, Samples, Seed, StrategyCx, Table, Train, TrainHook, Watch};
use spectral_sparse::{SparseTrainer, SparseTraining};
use spectral_train::DistanceTracker;

/// The action of a history entry that a strategy leaves.
pub(crate) const STRATEGY: &str = "strategy";

/// Runs every strategy, in order.
pub(super) fn run(work: &Work<'_>, model: &mut Model, report: &mut Report) -> Result<()> {
    let Some(held_out) = &work.sets.held_out else { return Ok(()) };
    for (i, planned) in work.strategies.iter().enumerate() {
        keep_for_undo(work, model, report)?;
        let seed = Seed(Seed(work.recipe.seed).key("strategy", i as u64));
        let (tracker, curves, mut followed) = (work.tracker.as_ref(), &mut report.curves, Vec::new());
        let (strategy, sparse) = (&planned.name, work.recipe.sparse_training);
        let mut watch = Watcher { strategy, sparse, tracker, curves, followed: &mut followed };
        let mut cx = StrategyCx { train: &work.sets.train, validation: held_out, seed, watch: &mut watch };
        let step = apply(planned, model, &mut cx)?;
        report.strategies.push(StrategyStep { step: i + 1, ..step.0 });
        // What the strategy itself measured comes first.
        report.tables.extend(step.1.into_iter().chain(followed));
    }
    Ok(())
}

/// Runs one strategy and writes it into the model's history as one step, with what it did inside.
fn apply(
    planned: &Planned,
    model: &mut Model,
    cx: &mut StrategyCx<'_>,
) -> Result<(StrategyStep, Vec<spectral_core::Table>)> {
    let (parent, before) = (model.content_hash()?, model.meta.clone());
    let done = planned.strategy.run(model, cx)?;
    // The models between its inner steps are nowhere to go back to, so those are no steps of the history.
    let mut inner = std::mem::take(&mut model.meta.history);
    if inner.starts_with(&before.history) {
        inner.drain(..before.history.len());
    }
    let detail = json!({
        "name": planned.name, "parameters": planned.parameters, "summary": done.summary, "result": done.detail,
        "inner": inner,
    });
    model.meta.history = before.history;
    model.meta.history.push(HistoryEntry { action: STRATEGY.into(), parent, detail });
    (model.meta.data, model.meta.preprocessing, model.meta.seed) = (before.data, before.preprocessing, before.seed);
    model.meta.held_out = before.held_out;
    let step = StrategyStep { step: 0, name: planned.name.clone(), summary: done.summary, parent: parent.to_string() };
    Ok((step, done.tables))
}

/// Shows the training phases of a strategy and keeps their curves, and what the tracker saw.
struct Watcher<'a> {
    strategy: &'a str,
    sparse: SparseTraining,
    tracker: Option<&'a DistanceTracker>,
    curves: &'a mut Vec<Curve>,
    followed: &'a mut Vec<Table>,
}

impl Watch for Watcher<'_> {
    fn train(
        &mut self,
        phase: &str,
        trainer: &dyn Train,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> spectral_core::Result<spectral_core::History> {
        let mut bar = Bar::new(phase);
        let all: &mut [&mut dyn TrainHook] = &mut [&mut bar, &mut Hooks(hooks)];
        let phase = format!("{}: {phase}", self.strategy);
        let trainer = SparseTrainer::new(trainer).when(self.sparse);
        let fit = |model: &mut Model, hooks: &mut [&mut dyn TrainHook]| trainer.fit(model, data, hooks);
        let (history, layers) = follow::tracked(self.tracker, &phase, model, all, self.followed, fit)?;
        let (epochs, best_epoch) = (history.epochs.clone(), history.best_epoch);
        self.curves.push(Curve { phase, epochs, best_epoch, layers });
        Ok(history)
    }
}
