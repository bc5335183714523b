//! What the values of a parameter must satisfy after every training step.

use crate::base::{Error, Result};
use crate::tensor::{Mask, Tensor};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A constraint on a parameter, applied by the arena after every step (not to initial values).
///
/// Norms are Euclidean: of each unit's row in a matrix (all that leads into the unit), of the whole of a vector. A row
/// of zeros stays one. Pruned entries stay zero and frozen entries keep their values, whatever the constraint says.
/// The set is Keras'; spectraltools A1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Constraint {
    /// None.
    #[default]
    None,
    /// Entries below 0 become 0.
    NonNeg,
    /// Norms become 1.
    UnitNorm,
    /// Norms above `max` become `max`.
    MaxNorm {
        /// Upper limit, above 0.
        max: f64,
    },
    /// Norms move the share `rate` of the way into `min..=max`.
    MinMaxNorm {
        /// Lower limit, at least 0.
        min: f64,
        /// Upper limit, at least `min`.
        max: f64,
        /// Share of the way, above 0 and up to 1; 1 enforces the limits at once.
        rate: f64,
    },
}

impl Constraint {
    /// Checks the limits of a constraint on `what`.
    ///
    /// # Errors
    /// A limit is out of its range.
    pub fn check(self, what: &str) -> Result<()> {
        let bad = |problem: String| Err(Error::config(format!("constraint on {what}"), problem));
        match self {
            Self::MaxNorm { max } if !(max > 0.0 && max.is_finite()) => {
                bad(format!("`max` is {max}; it must be a finite number above 0"))
            }
            Self::MinMaxNorm { min, max, rate } if !(min >= 0.0 && min <= max && max.is_finite()) => {
                bad(format!("{min} to {max} at rate {rate} is no range of norms; `min` must be from 0 to `max`"))
            }
            Self::MinMaxNorm { rate, .. } if !(rate > 0.0 && rate <= 1.0) => {
                bad(format!("`rate` is {rate}; it must be above 0 and at most 1"))
            }
            _ => Ok(()),
        }
    }

    /// What a row of norm `norm` is multiplied with.
    pub fn factor(self, norm: f64) -> f64 {
        let wanted = match self {
            Self::None | Self::NonNeg => norm,
            Self::UnitNorm => 1.0,
            Self::MaxNorm { max } => norm.min(max),
            Self::MinMaxNorm { min, max, rate } => rate * norm.clamp(min, max) + (1.0 - rate) * norm,
        };
        if norm > 0.0 && norm.is_finite() { wanted / norm } else { 1.0 }
    }
}

/// How the entries of a tensor make rows.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// So many of equal length.
    Equal(usize),
    /// Row `r` is the entries `starts[r]..starts[r + 1]`, as in a [`Pattern`](crate::tensor::Pattern).
    Starts(&'a [u32]),
}

impl Rows<'_> {
    /// The entries of every row, of `len` in all.
    fn ranges(self, len: usize) -> impl Iterator<Item = Range<usize>> {
        let count = match self {
            Self::Equal(rows) => rows,
            Self::Starts(starts) => starts.len().saturating_sub(1),
        };
        (0..count).map(move |r| match self {
            Self::Equal(rows) => len / rows * r..len / rows * (r + 1),
            Self::Starts(starts) => starts[r] as usize..starts[r + 1] as usize,
        })
    }
}

/// A constraint to be applied to a tensor of some rows.
#[derive(Debug, Clone, Copy)]
pub struct Constrain<'a> {
    /// The constraint.
    pub constraint: Constraint,
    /// What has a norm each.
    pub rows: Rows<'a>,
    /// Entries that may change; all, if absent.
    pub trainable: Option<&'a Mask>,
}

impl Constrain<'_> {
    /// Checks rows and mask against the tensor.
    ///
    /// # Errors
    /// They do not fit.
    pub fn check(&self, value: &Tensor) -> Result<()> {
        let fits = match self.rows {
            Rows::Equal(rows) => rows > 0 && value.len().is_multiple_of(rows),
            Rows::Starts(starts) => starts.is_sorted() && starts.last().is_some_and(|&end| end as usize == value.len()),
        };
        if fits && self.trainable.is_none_or(|m| m.len() == value.len()) {
            return Ok(());
        }
        let got = format!("{:?}, {:?}", self.rows, self.trainable);
        Err(Error::shape("constrain", format!("rows and a mask over {}", value.shape()), got))
    }

    /// Applies the constraint to values on the host.
    pub fn apply<E: crate::base::Element>(&self, values: &mut [E]) {
        let free = |i: usize| self.trainable.is_none_or(|m| m.contains(i));
        for range in self.rows.ranges(values.len()) {
            let (first, row) = (range.start, &mut values[range]);
            if self.constraint == Constraint::NonNeg {
                let negative = row.iter_mut().enumerate().filter(|(i, w)| free(first + i) && w.wide() < 0.0);
                negative.for_each(|(_, w)| *w = E::of(0.0));
                continue;
            }
            let norm = row.iter().map(|w| w.wide() * w.wide()).sum::<f64>().sqrt();
            let factor = self.constraint.factor(norm);
            if factor != 1.0 {
                let moving = row.iter_mut().enumerate().filter(|(i, _)| free(first + i));
                moving.for_each(|(_, w)| *w = E::of(w.wide() * factor));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constrained(constraint: Constraint, rows: usize, trainable: Option<&Mask>) -> Vec<f64> {
        let mut values = vec![3.0, -4.0, 0.0, 0.6, 0.0, -0.8, 0.0, 0.0, 0.0];
        Constrain { constraint, rows: Rows::Equal(rows), trainable }.apply(&mut values);
        values
    }

    #[test]
    fn rows_of_a_pattern_have_their_own_lengths() {
        let mut values = vec![3.0, -4.0, 0.6, 0.0, 2.0, -2.0, 1.0];
        let rows = Rows::Starts(&[0, 2, 2, 3, 7]);
        Constrain { constraint: Constraint::UnitNorm, rows, trainable: None }.apply(&mut values);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(close(&values, &[0.6, -0.8, 1.0, 0.0, 2.0 / 3.0, -2.0 / 3.0, 1.0 / 3.0]), "{values:?}");
    }

    #[test]
    fn rows_are_moved_into_their_limits() {
        let close = |a: Vec<f64>, b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-15);
        assert_eq!(constrained(Constraint::NonNeg, 3, None), [3.0, 0.0, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let unit = constrained(Constraint::UnitNorm, 3, None);
        assert!(close(unit, &[0.6, -0.8, 0.0, 0.6, 0.0, -0.8, 0.0, 0.0, 0.0]));
        let most = constrained(Constraint::MaxNorm { max: 2.0 }, 3, None);
        assert!(close(most, &[1.2, -1.6, 0.0, 0.6, 0.0, -0.8, 0.0, 0.0, 0.0]));
        let half = Constraint::MinMaxNorm { min: 2.0, max: 3.0, rate: 0.5 };
        assert!(close(constrained(half, 3, None), &[2.4, -3.2, 0.0, 0.9, 0.0, -1.2, 0.0, 0.0, 0.0]));
        let whole = constrained(Constraint::MaxNorm { max: 1.0 }, 1, None);
        assert!((whole.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn frozen_entries_keep_their_values() {
        let free = Mask::from_fn(9, |i| i != 1);
        assert_eq!(constrained(Constraint::NonNeg, 3, Some(&free))[1], -4.0);
        let unit = constrained(Constraint::UnitNorm, 3, Some(&free));
        assert!((unit[0] - 0.6).abs() < 1e-15 && unit[1] == -4.0 && unit[2] == 0.0, "{unit:?}");
    }

    #[test]
    fn impossible_limits_are_refused() {
        for bad in [
            Constraint::MaxNorm { max: 0.0 },
            Constraint::MaxNorm { max: f64::NAN },
            Constraint::MinMaxNorm { min: 2.0, max: 1.0, rate: 1.0 },
            Constraint::MinMaxNorm { min: 0.0, max: 1.0, rate: 0.0 },
        ] {
            assert!(bad.check("the weights").is_err(), "{bad:?}");
        }
        assert!(Constraint::MinMaxNorm { min: 0.0, max: 1.0, rate: 1.0 }.check("the weights").is_ok());
    }
}
