//! Pruning by gates: the factor behind a unit says what it is worth.

use serde::{Deserialize, Serialize};
use spectral_core::{Error, LayersWith, Needs, Pruner, Result, Target, Values, register_pruner};

/// Unit `o`: `|gain[o]|`. Weight `[o, i]`: `|gain[o] * w[o, i]|`, what the next layer sees of it.
///
/// Layers without a gate or normalisation behind them are outside the pool. Source: spectraltools, with budgets in the
/// words of this crate: `amount` is a share from 0 to 1 of all units there ever were, so `amount = 0.5` twice prunes
/// half, once; what the original does in a second call, half of the rest, is `amount = 0.75`. Numbers are rounded
/// half to even. A share is never taken for a percentage, nor for a number of units: those are `percentile` and
/// `count`. With the gains of batch normalisation this is network slimming (Liu et al., ICCV 2017).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gain {}

impl Pruner for Gain {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let (gain, mut weights) = (gain(target)?, target.weight.iter());
        for (row, gain) in scores.chunks_mut(target.columns.max(1)).zip(gain.iter()) {
            row.iter_mut().zip(weights.by_ref()).for_each(|(s, w)| *s = (gain * w).abs());
        }
        Ok(())
    }

    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(gain(target)?.iter()).for_each(|(s, g)| *s = g.abs());
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs::layers(LayersWith::Gain)
    }
}

fn gain<'a>(target: &Target<'a>) -> Result<Values<'a>> {
    target.gain.ok_or_else(|| {
        Error::config(format!("layer `{}`", target.node), "criterion `gain` scores layers with a gate behind them only")
    })
}

register_pruner!(Gain, "gain", "keeps units with a large |gain| of the gate or normalisation behind them");
