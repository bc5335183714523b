//! Spectral pruning: the eigenvalues say what a unit is worth.

use serde::{Deserialize, Serialize};
use spectral_core::{Error, Needs, Pruner, Result, SpectralFactors, Target, register_pruner};

/// Unit `o`: `|lambda_out[o]|`. Weight `[o, i]`: `|lambda_in[i] - lambda_out[o]|`, its factor on the basis.
///
/// Layers without eigenvalues are outside the pool. Buffoni, Civitelli, Giambagli, Chicchi, Fanelli, Sci. Rep.
/// 12:11201 (2022); spectraltools C1.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eigenvalue {}

impl Pruner for Eigenvalue {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let factors = factors(target)?;
        let inner: Vec<f64> = factors.lambda_in.iter().collect();
        for (row, outer) in scores.chunks_mut(target.columns.max(1)).zip(factors.lambda_out.iter()) {
            row.iter_mut().zip(&inner).for_each(|(s, inner)| *s = (inner - outer).abs());
        }
        Ok(())
    }

    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        scores.iter_mut().zip(factors(target)?.lambda_out.iter()).for_each(|(s, l)| *s = l.abs());
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs { spectral: true, ..Needs::default() }
    }
}

fn factors<'a>(target: &Target<'a>) -> Result<SpectralFactors<'a>> {
    target.spectral.ok_or_else(|| {
        Error::config(format!("layer `{}`", target.node), "criterion `eigenvalue` scores spectral layers only")
    })
}

register_pruner!(
    Eigenvalue,
    "eigenvalue",
    "keeps units with large |lambda_out|, weights with a large factor on the basis"
);
