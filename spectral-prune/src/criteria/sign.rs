//! Weights of one sign only.

use super::value::Value;
use serde::{Deserialize, Serialize};
use spectral_core::{Pruner, Result, Target, register_pruner};

/// Weight: `|w|` if `w <= 0`; positive weights are protected. So negative weights are pruned, those nearest to zero
/// first, and nothing else is. Unit or input: the same of the mean of its weights.
///
/// Source: Sparana. Weights that are zero are candidates: they carry nothing, so nothing is lost with them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Negative {}

/// Weight: `w` if `w >= 0`; negative weights are protected. So positive weights are pruned, those nearest to zero
/// first, and nothing else is. Unit or input: the same of the mean of its weights. Source: Sparana.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positive {}

impl Pruner for Negative {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(target.weight.iter()).for_each(|(s, w)| *s = one_sided(-w));
        Ok(())
    }

    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        Value {}.score_units(target, scores)?;
        scores.iter_mut().for_each(|s| *s = one_sided(-*s));
        Ok(())
    }

    fn score_inputs(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        Value {}.score_inputs(target, scores)?;
        scores.iter_mut().for_each(|s| *s = one_sided(-*s));
        Ok(())
    }
}

impl Pruner for Positive {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(target.weight.iter()).for_each(|(s, w)| *s = one_sided(w));
        Ok(())
    }

    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        Value {}.score_units(target, scores)?;
        scores.iter_mut().for_each(|s| *s = one_sided(*s));
        Ok(())
    }

    fn score_inputs(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        Value {}.score_inputs(target, scores)?;
        scores.iter_mut().for_each(|s| *s = one_sided(*s));
        Ok(())
    }
}

/// `w` from 0 on, protected below. NaN stays NaN, so that it is found.
fn one_sided(w: f64) -> f64 {
    if w < 0.0 { f64::INFINITY } else { w + 0.0 }
}

register_pruner!(Negative, "negative", "prunes negative weights only, those nearest to zero first");
register_pruner!(Positive, "positive", "prunes positive weights only, those nearest to zero first");
