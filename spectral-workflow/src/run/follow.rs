//! Following classes through the training phases of a run.

use crate::recipe::Recipe;
use crate::{Failure, Result};
use spectral_core::{Hooks, Model, Samples, Seed, Table, TrainHook};
use spectral_train::DistanceTracker;

/// Samples that are looked at.
const PROBE: usize = 500;

/// The tracker that a recipe asks for with `report.tracker`.
///
/// # Errors
/// The data has no classes.
pub(super) fn tracker(recipe: &Recipe, train: &Samples) -> Result<Option<DistanceTracker>> {
    let wanted = recipe.report.tracker.then(|| DistanceTracker::new(train, PROBE, Seed(recipe.seed)));
    wanted.transpose().map_err(|e| Failure::input(format!("report.tracker: {e}")))
}

/// Runs `fit` with a copy of `tracker` among the hooks, and adds what it saw to `tables`, under the name of the phase.
/// Phases that train nothing, or a part of the network that takes something else in, add nothing.
pub(super) fn tracked<R, E>(
    tracker: Option<&DistanceTracker>,
    phase: &str,
    model: &mut Model,
    hooks: &mut [&mut dyn TrainHook],
    tables: &mut Vec<Table>,
    fit: impl FnOnce(&mut Model, &mut [&mut dyn TrainHook]) -> Result<R, E>,
) -> Result<R, E> {
    let fits = |t: &&DistanceTracker| t.probe().features() == model.graph().input().len();
    let Some(mut tracker) = tracker.filter(fits).cloned() else { return fit(model, hooks) };
    let done = fit(model, &mut [&mut tracker, &mut Hooks(hooks)])?;
    if tracker.checkpoints().len() > 1 {
        tables.extend(tracker.tables().into_iter().map(|t| Table { title: format!("{phase}: {}", t.title), ..t }));
    }
    Ok(done)
}
