//! How much is cut.

use crate::{Error, Result};

/// How much is cut, in each pool (one for [`Scope::Global`](crate::Scope::Global), one a layer otherwise).
///
/// Fractions and counts are targets for the total that is pruned *afterwards*, out of all entries the pool ever
/// had: pruning twice to the same target is pruning once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// This share of the entries is pruned afterwards, to the entry (a tie between two numbers goes to the even one).
    /// Blocks may fall short of that by less than one of them, here and of a count.
    Fraction(f64),
    /// This many entries are pruned afterwards.
    Count(usize),
    /// Entries that score below this are pruned.
    Threshold(f64),
    /// Entries that score below this percentile of all scores are pruned: numpy's linear interpolation, keeping
    /// what is equal to the cut (spectraltools). Pruned entries count as scoring lowest.
    Percentile(f64),
}

impl Budget {
    /// Checks that the numbers make sense.
    ///
    /// # Errors
    /// A fraction outside `0..=1`, a percentile outside `0..=100`, a threshold that is not a number.
    pub fn check(self) -> Result<Self> {
        let bad = |problem: String| Err(Error::Config(problem));
        match self {
            Self::Fraction(f) if !(0.0..=1.0).contains(&f) => bad(format!("an amount of {f} is not between 0 and 1")),
            Self::Percentile(p) if !(0.0..=100.0).contains(&p) => {
                bad(format!("a percentile of {p} is not between 0 and 100"))
            }
            Self::Threshold(t) if t.is_nan() => bad("a threshold must be a number".into()),
            _ => Ok(self),
        }
    }
}

/// The value below which `percentile` per cent of `pruned` unknown lowest values and of `scores` (ascending) lie,
/// by linear interpolation; `None` if it falls among the pruned ones, so that nothing more is cut.
pub(crate) fn percentile_cut(scores: &[f64], pruned: usize, percentile: f64) -> Option<f64> {
    let last = (pruned + scores.len()).checked_sub(1)?;
    // p (n-1) / 100 and not p/100 (n-1): exact wherever the rank is whole.
    let rank = percentile * last as f64 / 100.0;
    let low = (rank.floor() as usize).min(last);
    let (share, at) = (rank - low as f64, low.checked_sub(pruned)?);
    let next = scores[(at + 1).min(scores.len() - 1)];
    Some(scores[at] + (next - scores[at]) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate_like_numpy() {
        let v = [0.1, 0.2, 0.4, 0.8];
        for (p, want) in [(0.0, 0.1), (100.0, 0.8), (50.0, 0.3), (25.0, 0.175), (90.0, 0.68)] {
            assert!((percentile_cut(&v, 0, p).unwrap() - want).abs() < 1e-15, "{p}");
        }
        assert_eq!(percentile_cut(&v[2..], 2, 20.0), None);
        assert_eq!(percentile_cut(&v[2..], 2, 66.0), None);
        assert!((percentile_cut(&v[2..], 2, 90.0).unwrap() - 0.68).abs() < 1e-15);
        assert_eq!(percentile_cut(&[], 0, 50.0), None);
    }

    #[test]
    fn impossible_budgets_are_refused() {
        for b in [
            Budget::Fraction(-0.1),
            Budget::Fraction(1.1),
            Budget::Fraction(f64::NAN),
            Budget::Percentile(101.0),
            Budget::Threshold(f64::NAN),
        ] {
            assert!(b.check().is_err(), "{b:?}");
        }
    }
}
