//! What can be known to go wrong before the first epoch, instead of after the last.

use super::phases::Sets;
use crate::Result;
use crate::recipe::Recipe;
use spectral_core::{Model, Samples, Seed};
use spectral_prune::{Error, Prune, PruneConfig, Schedule};

/// Samples that criteria look at: whether they can measure shows on a few.
const FEW: usize = 64;

/// Goes through the phases and steps of `recipe` on the untrained `model`.
///
/// # Errors
/// The first step that cannot be done, whatever training does to the values of the parameters.
pub(super) fn check(recipe: &Recipe, model: &Model, sets: &Sets) -> Result<()> {
    sets.check(&recipe.train, model)?;
    for config in &recipe.prune {
        if let Schedule::Gradual(window) = config.schedule {
            let trainer = recipe.gradual_phase().build(Seed(recipe.seed))?;
            window.check_fits(trainer.steps(sets.train.len()))?;
        }
    }
    // Strategies may leave another network: what fits the one they started from says nothing.
    if !recipe.strategy.is_empty() {
        return Ok(());
    }
    if let Some(finetune) = &recipe.finetune {
        sets.check(finetune, model)?;
    }
    prune(recipe, model, &sets.train)
}

/// Prunes a copy, step by step, as far as what a step leaves does not depend on what training does to scores.
fn prune(recipe: &Recipe, model: &Model, train: &Samples) -> Result<()> {
    let few = train.subset(&(0..train.len().min(FEW)).collect::<Vec<_>>())?;
    let mut copy = model.duplicate()?;
    for config in &recipe.prune {
        // The last round prunes all that the others do.
        let whole = Prune::from_config(PruneConfig { schedule: Schedule::OneShot, ..config.clone() });
        let whole = whole.seed(Seed(recipe.seed));
        whole.check_for(&copy, &few)?;
        if config.threshold.is_some() || config.percentile.is_some() {
            return Ok(());
        }
        match whole.apply(&mut copy, &few) {
            Ok(_) => {}
            // Scores of a network that is not trained may not even be numbers.
            Err(Error::Score { .. } | Error::Core(spectral_core::Error::NonFinite { .. })) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
