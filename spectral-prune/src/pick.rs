//! Which of a ranking are taken.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::Stream;

/// Which entries of a ranking are taken: `"top"`, `"bottom"` or `{ gaussian = { std = 0.5 } }`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The largest scores. Source: Sparana.
    #[default]
    Top,
    /// The smallest scores. Source: Sparana.
    Bottom,
    /// Ranks drawn around the top (or bottom), so that now and then another one is taken. Source: Sparana.
    Gaussian(Gaussian),
}

/// A half normal distribution over ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// Width: rank `floor(|N(0, std * entries / 2)|)` is drawn, 0 being the largest score.
    pub std: f64,
    /// Whether rank 0 is the smallest score instead.
    #[serde(default)]
    pub bottom: bool,
}

/// Draws after which the ranks that are still missing are taken in order, as a multiple of what is wanted. A
/// narrow distribution would otherwise draw the same few ranks for ever.
const PATIENCE: usize = 64;

impl Pick {
    /// Checks the parameters.
    ///
    /// # Errors
    /// The standard deviation is not a number above 0.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Gaussian(Gaussian { std, .. }) if !(std > 0.0 && std.is_finite()) => {
                Err(Error::Config(format!("a standard deviation of {std} spreads nothing; it must be above 0")))
            }
            _ => Ok(()),
        }
    }

    /// Walks the entries `0..scores.len()` and collects their owners until `count` different ones are found, in the
    /// order found; all of them if there are fewer. Ties go by index; a count of 0 takes nothing.
    ///
    /// Top and bottom walk the ranking. A Gaussian draws ranks independently; what it drew before, or is not there,
    /// it rejects. After 64 draws for each wanted owner it takes the missing ones in order, so it ends.
    pub(crate) fn walk(
        self,
        scores: &[f64],
        owner: impl Fn(usize) -> usize,
        count: usize,
        stream: &mut Stream,
    ) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // Adding 0 makes one zero of the two.
        let score = |i: usize| scores[i] + 0.0;
        match self {
            Self::Bottom | Self::Gaussian(Gaussian { bottom: true, .. }) => {
                order.sort_unstable_by(|&a, &b| score(a).total_cmp(&score(b)).then(a.cmp(&b)))
            }
            _ => order.sort_unstable_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b))),
        }
        let mut taken = vec![false; (0..scores.len()).map(&owner).max().map_or(0, |o| o + 1)];
        let mut found = Vec::new();
        let mut take = |entry: usize, found: &mut Vec<usize>| {
            let owner = owner(entry);
            if !std::mem::replace(&mut taken[owner], true) {
                found.push(owner);
            }
        };
        if let Self::Gaussian(Gaussian { std, .. }) = self {
            let mut left = count.saturating_mul(PATIENCE);
            while found.len() < count && left > 0 {
                left -= 1;
                let rank = (stream.normal() * std * order.len() as f64 / 2.0).abs();
                if rank < order.len() as f64 {
                    take(order[rank as usize], &mut found);
                }
            }
        }
        for entry in order {
            if found.len() >= count {
                break;
            }
            take(entry, &mut found);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Seed;

    fn walk(pick: Pick, scores: &[f64], count: usize, seed: u64) -> Vec<usize> {
        pick.walk(scores, |i| i, count, &mut Seed(seed).stream("test", 0))
    }

    const NARROW: Pick = Pick::Gaussian(Gaussian { std: 1e-9, bottom: false });
    const WIDE: Pick = Pick::Gaussian(Gaussian { std: 0.5, bottom: false });

    /// Sparana D3, D4, D9: the largest and smallest, ties by index, and k = 0 takes nothing (there it took all).
    #[test]
    fn top_and_bottom_are_the_largest_and_smallest_and_zero_takes_nothing() {
        let scores = [0.5, 2.0, -1.0, 2.0, 0.0, -0.0];
        assert_eq!(walk(Pick::Top, &scores, 3, 0), [1, 3, 0]);
        assert_eq!(walk(Pick::Bottom, &scores, 3, 0), [2, 4, 5]);
        for pick in [Pick::Top, Pick::Bottom, WIDE] {
            assert!(walk(pick, &scores, 0, 0).is_empty());
            assert_eq!(walk(pick, &scores, 99, 0).len(), 6);
            assert!(walk(pick, &[], 3, 0).is_empty());
        }
    }

    /// Sparana D5, D9: ranks are half normal, and no rank is taken twice.
    #[test]
    fn a_gaussian_draws_around_the_top_without_repeating() {
        let scores: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let mut taken = walk(WIDE, &scores, 300, 1);
        let top = taken.iter().filter(|&&i| i < 250).count();
        assert!(top > 150 && taken.iter().any(|&i| i > 400), "{top} of 300 in the best quarter");
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 300);
        assert_eq!(walk(WIDE, &scores, 300, 1), walk(WIDE, &scores, 300, 1));
        assert_ne!(walk(WIDE, &scores, 300, 1), walk(WIDE, &scores, 300, 2));
    }

    /// Sparana D9, where it looped for ever.
    #[test]
    fn a_gaussian_that_is_too_narrow_ends_and_takes_the_top() {
        let scores: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(walk(NARROW, &scores, 10, 3), (0..10).collect::<Vec<_>>());
        assert_eq!(walk(NARROW, &scores, 200, 3).len(), 100);
        let low = Pick::Gaussian(Gaussian { std: 1e-9, bottom: true });
        assert_eq!(walk(low, &scores, 3, 3), [99, 98, 97]);
    }

    /// Sparana D11: rank 0 is the largest value, not the smallest.
    #[test]
    fn rank_zero_of_a_gaussian_is_the_largest_score() {
        for seed in 0..50 {
            assert_eq!(walk(NARROW, &[0.1, 0.9, 0.5], 1, seed), [1]);
        }
    }

    /// Sparana D10, D11: owners of the largest entries until enough are found, never more than there are.
    #[test]
    fn owners_are_found_by_their_entries() {
        let scores = [9.0, 8.0, 1.0, 7.0, 0.0, 6.0];
        let units = |pick: Pick, count| pick.walk(&scores, |i| i / 2, count, &mut Seed(1).stream("test", 0));
        assert_eq!(units(Pick::Top, 2), [0, 1]);
        assert_eq!(units(Pick::Bottom, 2), [2, 1]);
        assert_eq!(units(Pick::Top, 9), [0, 1, 2]);
        assert_eq!(units(WIDE, 3).len(), 3);
    }

    #[test]
    fn impossible_widths_are_refused() {
        for std in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pick::Gaussian(Gaussian { std, bottom: false }).check().is_err());
        }
    }
}
