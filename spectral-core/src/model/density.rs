//! How many entries each sparse layer of a network stores.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// A rule that gives every sparse layer its share of stored weights.
///
/// In recipes `density = { erk = 0.1 }`. For layers of `i` inputs and `o` outputs:
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Density {
    /// The same share in every layer.
    Uniform(f64),
    /// Erdos-Renyi (kernel): shares in proportion to `(i + o) / (i o)`, such that this share of all weights is
    /// stored. A layer whose share would be above 1 is full, and the others share what is left. Evci et al. 2020,
    /// appendix A.
    Erk(f64),
    /// `epsilon (i + o) / (i o)`, at most 1. Mocanu et al. 2018.
    Epsilon(f64),
}

impl Density {
    /// Checks the number.
    ///
    /// # Errors
    /// A share is not from 0 to 1, or epsilon is negative or not finite.
    pub fn check(self) -> Result<()> {
        let (name, value, holds, rule) = match self {
            Self::Uniform(d) => ("uniform", d, (0.0..=1.0).contains(&d), "from 0 to 1"),
            Self::Erk(d) => ("erk", d, (0.0..=1.0).contains(&d), "from 0 to 1"),
            Self::Epsilon(e) => ("epsilon", e, e >= 0.0 && e.is_finite(), "a finite number, 0 or more"),
        };
        if holds { Ok(()) } else { Err(Error::config("density", format!("`{name}` is {value}; it must be {rule}"))) }
    }

    /// How many entries each layer of `(inputs, outputs)` stores.
    ///
    /// With [`Uniform`](Self::Uniform) and [`Erk`](Self::Erk) they sum to exactly the share of all weights, rounded.
    /// Entries that rounding leaves over go to the layers that lost most by it; the first layer wins a tie.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn counts(self, layers: &[(usize, usize)]) -> Result<Vec<u64>> {
        self.check()?;
        let all = |&(i, o): &(usize, usize)| i as f64 * o as f64;
        let ends = |&(i, o): &(usize, usize)| i as f64 + o as f64;
        let total: f64 = layers.iter().map(all).sum();
        Ok(match self {
            Self::Epsilon(e) => layers.iter().map(|l| (e * ends(l)).round().min(all(l)) as u64).collect(),
            Self::Uniform(d) => {
                whole(&layers.iter().map(|l| d * all(l)).collect::<Vec<_>>(), layers, (d * total).round())
            }
            Self::Erk(d) => {
                let total = (d * total).round();
                let mut full = vec![false; layers.len()];
                loop {
                    let of =
                        |wanted: bool| layers.iter().zip(&full).filter(move |(_, f)| **f == wanted).map(|(l, _)| l);
                    let left = total - of(true).map(all).sum::<f64>();
                    let scale = left / of(false).map(ends).sum::<f64>();
                    let over: Vec<usize> =
                        (0..layers.len()).filter(|&l| !full[l] && scale * ends(&layers[l]) > all(&layers[l])).collect();
                    if over.is_empty() {
                        let wanted = layers.iter().zip(&full).map(|(l, f)| if *f { all(l) } else { scale * ends(l) });
                        break whole(&wanted.collect::<Vec<_>>(), layers, total);
                    }
                    over.into_iter().for_each(|l| full[l] = true);
                }
            }
        })
    }
}

/// Rounds `wanted` to whole numbers that sum to `total`.
fn whole(wanted: &[f64], layers: &[(usize, usize)], total: f64) -> Vec<u64> {
    let most = |l: usize| layers[l].0 as u64 * layers[l].1 as u64;
    let mut counts: Vec<u64> = (0..layers.len()).map(|l| (wanted[l].floor() as u64).min(most(l))).collect();
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by(|&a, &b| wanted[b].fract().total_cmp(&wanted[a].fract()));
    let mut left = (total as u64).saturating_sub(counts.iter().sum());
    while left > 0 {
        let before = left;
        for &l in &order {
            if left > 0 && counts[l] < most(l) {
                counts[l] += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: [(usize, usize); 4] = [(784, 300), (300, 100), (100, 10), (10, 10)];

    #[test]
    fn totals_are_exact_for_every_share() {
        let all: u64 = LAYERS.iter().map(|(i, o)| (i * o) as u64).sum();
        for share in [0.0, 0.001, 0.01, 0.05, 0.123_456, 0.5, 0.9, 0.999, 1.0] {
            for rule in [Density::Uniform(share), Density::Erk(share)] {
                let counts = rule.counts(&LAYERS).unwrap();
                assert_eq!(counts.iter().sum::<u64>(), (share * all as f64).round() as u64, "{rule:?} {counts:?}");
                assert!(counts.iter().zip(LAYERS).all(|(n, (i, o))| *n <= (i * o) as u64));
            }
        }
    }

    #[test]
    fn erk_shares_follow_the_ends_and_full_layers_pass_on_what_they_cannot_take() {
        let counts = Density::Erk(0.1).counts(&LAYERS).unwrap();
        assert_eq!((counts[3], counts[2]), (100, 1000), "the small layers are full");
        // The rest goes to the other layers in the ratio 1084 to 400.
        let ratio = counts[0] as f64 / counts[1] as f64;
        assert!((ratio - 1084.0 / 400.0).abs() < 0.01, "{counts:?}");
    }

    #[test]
    fn epsilon_is_the_formula_of_the_paper() {
        let layers = [(3312, 3000), (3000, 3000), (3000, 5)];
        assert_eq!(Density::Epsilon(20.0).counts(&layers).unwrap(), [126_240, 120_000, 15_000]);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (rule, word) in [
            (Density::Uniform(1.1), "`uniform` is 1.1"),
            (Density::Erk(f64::NAN), "`erk` is NaN"),
            (Density::Epsilon(-1.0), "`epsilon` is -1"),
        ] {
            assert!(rule.counts(&LAYERS).unwrap_err().to_string().contains(word));
        }
        let read: Density = serde_json::from_str(r#"{"epsilon":20}"#).unwrap();
        assert_eq!(read, Density::Epsilon(20.0));
    }
}
