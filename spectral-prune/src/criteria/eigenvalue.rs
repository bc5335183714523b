//! Spectral pruning: the eigenvalues say what a unit is worth.

use serde::{Deserialize, Serialize};
use spectral_core::{Distribution, Error, Needs, Pruner, Result, SpectralFactors, Target, register_pruner};

/// Unit `o`: `|lambda_out[o]|`. Input `i`: `|lambda_in[i]|`. Weight `[o, i]`: `|lambda_in[i] - lambda_out[o]|`, its
/// factor on the basis.
///
/// Where spectral layers whose `lambda_in` trains take the unit in, and nothing else does, it is worth the lesser
/// (`link = "and"`) or the greater (`"or"`) of `|lambda_out|` and the largest of those `|lambda_in|`: it stays if it
/// passes the cut at both ends, or at one. Percentiles are then taken over all eigenvalues that train, at both ends,
/// so that a cut means the same for both. spectraltools B2, B4, B5.
///
/// Layers without eigenvalues are outside the pool, and so are eigenvalues that are frozen: a layer trained over frozen
/// eigenvalues is not cut by them. Units of the output are never cut and outside the pool too. Buffoni, Civitelli,
/// Giambagli, Chicchi, Fanelli, Sci. Rep. 12:11201 (2022); spectraltools C1.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Eigenvalue {
    /// How the two ends of a connection between spectral layers count.
    pub link: Link,
}

/// How the eigenvalues at the two ends of a connection between spectral layers count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A unit stays if both are large.
    #[default]
    And,
    /// A unit stays if one is large.
    Or,
}

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
        let factors = factors(target)?;
        for (unit, (score, outer)) in scores.iter_mut().zip(factors.lambda_out.iter()).enumerate() {
            let outer = outer.abs();
            *score = match (factors.next[unit].iter().map(|l| l.abs()).reduce(f64::max), self.link) {
                _ if !factors.trains_out[unit] => f64::INFINITY,
                (None, _) => outer,
                (Some(inner), Link::And) => outer.min(inner),
                (Some(inner), Link::Or) => outer.max(inner),
            };
        }
        Ok(())
    }

    fn score_inputs(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let factors = factors(target)?;
        for ((score, inner), trains) in scores.iter_mut().zip(factors.lambda_in.iter()).zip(factors.trains_in) {
            *score = if *trains { inner.abs() } else { f64::INFINITY };
        }
        Ok(())
    }

    fn distribution(&self, target: &Target<'_>) -> Result<Option<Distribution>> {
        let factors = factors(target)?;
        let trained = factors.lambda_in.iter().zip(factors.trains_in).filter(|(_, trains)| **trains);
        let inputs: Vec<f64> = trained.map(|(l, _)| l.abs()).collect();
        let one_ended = inputs.is_empty() && factors.next.iter().all(Vec::is_empty);
        Ok((!one_ended).then(|| Distribution { units: factors.lambda_out.iter().map(f64::abs).collect(), inputs }))
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
    "keeps units with large |lambda_out|, inputs with large |lambda_in|, weights with a large factor on the basis"
);
