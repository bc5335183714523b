//! Every input unit loses its least outgoing weights first.

use crate::config::criterion;
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{Needs, Pruner, Result, Target, register_pruner};

/// Weight `[o, i]`: its rank, from 0, among the weights `[.., i]` that lead out of input unit `i`, by the scores of
/// another criterion ascending; ties by `o`. Unit: the mean over its incoming weights.
///
/// So all input units keep about equally many outgoing weights. Source: Sparana, with rank 0 pruned like any other: the
/// least weight of a unit goes first instead of never.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutgoingRank {
    /// The criterion that ranks: `"magnitude"`, or for instance `"activation_weight"`.
    pub of: ByName,
}

impl Default for OutgoingRank {
    fn default() -> Self {
        Self { of: ByName::new("magnitude") }
    }
}

impl Pruner for OutgoingRank {
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let mut base = vec![0.0; scores.len()];
        criterion(&self.of)?.score(target, &mut base)?;
        let mut order: Vec<usize> = (0..target.rows).collect();
        for i in 0..target.columns {
            let at = |o: usize| o * target.columns + i;
            order.sort_unstable_by(|&a, &b| base[at(a)].total_cmp(&base[at(b)]).then(a.cmp(&b)));
            order.iter().enumerate().for_each(|(rank, &o)| scores[at(o)] = rank as f64);
        }
        // What the criterion cannot judge, or protects, has no rank.
        for (score, base) in scores.iter_mut().zip(base).filter(|(_, b)| b.is_nan() || *b == f64::INFINITY) {
            *score = base;
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        // A criterion that does not exist is reported when it is asked to score.
        criterion(&self.of).map(|of| of.needs()).unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        criterion(&self.of).map(drop)
    }

    fn is_relative(&self) -> bool {
        true
    }
}

register_pruner!(
    OutgoingRank,
    "outgoing_rank",
    "ranks within the outgoing weights of each input unit, by another criterion; the lowest ranks go first"
);
