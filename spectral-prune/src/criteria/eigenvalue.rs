//! Spectral pruning: the eigenvalues say what a unit is worth.

use serde::{Deserialize, Serialize};
use spectral_core::{Error, LayersWith, Needs, Pruner, Result, SpectralFactors, Target, register_pruner};

/// Unit `o`: `|lambda_out[o]|`. Input `i`: `|lambda_in[i]|`. Weight `[o, i]`: `|lambda_in[i] - lambda_out[o]|`, its
/// factor on the basis.
///
/// **Two ends.** Where spectral layers whose `lambda_in` trains take a unit in, and nothing else does, it has a second
/// end: the largest `|lambda_in|` by which it is taken in. With `link = "and"` (default) the unit is worth the lesser
/// of its ends, so that it stays if it passes the cut at both; with `"or"` the greater. A unit of a layer that is not
/// spectral has the second end only, so a dense layer in front of a spectral one is cut in the same call. Eigenvalues
/// that are frozen are no end. Nor is a `lambda_in` that is zero throughout, as it is before it was ever trained: it
/// says nothing about any unit. Units without an end stay.
///
/// **Percentiles** of units and of inputs are taken over one pool, whatever is cut and however units are coupled: by
/// default every trainable eigenvalue of every spectral layer of the network, each once, whether it can be cut or not.
/// With `scope = "layer"` it is every trainable eigenvalue of the layer. Eigenvalues of pruned units are zero and count
/// as such. See [`Pool`] for other pools.
///
/// Sources: Buffoni, Civitelli, Giambagli, Chicchi, Fanelli, Sci. Rep. 12:11201 (2022), and the library spectraltools.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Eigenvalue {
    /// How the two ends of a connection between spectral layers count.
    pub link: Link,
    /// What percentiles of units and inputs are taken over.
    pub pool: Pool,
}

/// What percentiles of units and inputs are taken over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Every trainable eigenvalue, of inputs and of outputs.
    #[default]
    All,
    /// Every trainable eigenvalue of outputs, as in spectraltools from 1.0 on.
    Outputs,
    /// The scores of what may be cut: then `percentile = 80` cuts about 80 % of it.
    Scores,
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
        for (unit, score) in scores.iter_mut().enumerate() {
            let own = target.spectral.filter(|f| f.trains_out[unit]).map(|f| f.lambda_out.get(unit).abs());
            let next = target.next[unit].iter().map(|l| l.abs()).reduce(f64::max);
            *score = match (own, next, self.link) {
                (Some(own), Some(next), Link::And) => own.min(next),
                (Some(own), Some(next), Link::Or) => own.max(next),
                (one, other, _) => one.or(other).unwrap_or(f64::INFINITY),
            };
        }
        Ok(())
    }

    fn score_inputs(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let factors = factors(target)?;
        let trained = inputs(factors);
        let says_something = trained.iter().flatten().any(|l| *l != 0.0);
        for (score, trained) in scores.iter_mut().zip(trained) {
            *score = trained.filter(|_| says_something).unwrap_or(f64::INFINITY);
        }
        Ok(())
    }

    fn pool(&self, target: &Target<'_>) -> Result<Option<Vec<f64>>> {
        let Some(factors) = target.spectral.filter(|_| self.pool != Pool::Scores) else { return Ok(None) };
        let outer = factors.lambda_out.iter().zip(factors.trains_out).filter(|(_, trains)| **trains);
        let inner = inputs(factors).into_iter().flatten().filter(|_| self.pool == Pool::All);
        Ok(Some(outer.map(|(l, _)| l.abs()).chain(inner).collect()))
    }

    fn needs(&self) -> Needs {
        Needs::layers(LayersWith::Eigenvalues)
    }
}

/// `|lambda_in|` by input, where it trains.
fn inputs(factors: SpectralFactors<'_>) -> Vec<Option<f64>> {
    factors.lambda_in.iter().zip(factors.trains_in).map(|(l, trains)| trains.then_some(l.abs())).collect()
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
