//! What is cut, and what competes with what.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is cut.
///
/// Recipes, flags, reports and histories write it as one word: `weight`, `unit`, `input`, `4x1` or `2:4`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Granularity {
    /// Single entries of a weight matrix (of the basis, in a spectral layer), in every chosen layer.
    #[default]
    Weight,
    /// Whole units: the row of the weight or basis, the eigenvalue, and the bias unless it is kept.
    ///
    /// Units that the network's output, its input or a layer of unknown structure depends on position by
    /// position cannot go and are outside the pool, so the last layer is never cut.
    Unit,
    /// Whole inputs of a layer: the column of the weight or basis, and the eigenvalue it is taken in by. Other layers
    /// that take the same unit in keep it; a unit that nothing takes in any more goes when the model is compacted. The
    /// network itself keeps its inputs, so that data fits: what a first layer lost is not looked at.
    Input,
    /// Rectangles of the matrix `[out, in]`, smaller at its edges, of which all weights go or stay: `4x1` is four units
    /// at one input. (The taps of a convolution are columns of their own.)
    ///
    /// A block scores the mean over its weights that are left, and one with a protected weight stays. Budgets count
    /// weights; what whole blocks cannot hit is fallen short of by less than a block.
    Block {
        /// Units.
        rows: usize,
        /// Inputs.
        columns: usize,
    },
    /// Of every `m` columns of a row in turn, at most `n` weights stay, those of the largest scores, ties to the first;
    /// `2:4` keeps two of four. A rest of fewer than `m` columns keeps at most `n` too.
    ///
    /// That says how much goes, so there is no budget beside it, nor a schedule.
    NOfM {
        /// Weights that stay, at least 1.
        n: usize,
        /// Of so many, more than `n`.
        m: usize,
    },
}

impl Granularity {
    /// Checks that the numbers make sense.
    ///
    /// # Errors
    /// Blocks without rows or columns, or a pattern that keeps nothing or everything.
    pub fn check(self) -> Result<Self> {
        match self {
            Self::Block { rows: 0, .. } | Self::Block { columns: 0, .. } => Err(unknown(&self.to_string())),
            Self::NOfM { n, m } if n == 0 || n >= m => Err(unknown(&self.to_string())),
            _ => Ok(self),
        }
    }

    /// What goes, for people: `units`, or `weights (4x1)`.
    pub fn words(self) -> String {
        match self {
            Self::Weight | Self::Unit | Self::Input => self.plural().into(),
            Self::Block { .. } | Self::NOfM { .. } => format!("{} ({self})", self.plural()),
        }
    }

    /// What budgets count.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Unit => "units",
            Self::Input => "inputs",
            Self::Weight | Self::Block { .. } | Self::NOfM { .. } => "weights",
        }
    }
}

fn unknown(word: &str) -> Error {
    Error::Config(format!(
        "there is no granularity `{word}`: write `weight`, `unit`, `input`, blocks of rows x columns as `4x1`, or how \
         many of how many weights of a row stay as `2:4`"
    ))
}

impl FromStr for Granularity {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        // Digits alone: what Rust reads as a number may have a sign.
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok()).flatten();
        let pair = |sign: char| word.split_once(sign).and_then(|(a, b)| Some((number(a)?, number(b)?)));
        let found = match word {
            "weight" => Some(Self::Weight),
            "unit" => Some(Self::Unit),
            "input" => Some(Self::Input),
            _ => {
                let block = pair('x').map(|(rows, columns)| Self::Block { rows, columns });
                block.or_else(|| pair(':').map(|(n, m)| Self::NOfM { n, m }))
            }
        };
        found.and_then(|g| g.check().ok()).ok_or_else(|| unknown(word))
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weight => f.write_str("weight"),
            Self::Unit => f.write_str("unit"),
            Self::Input => f.write_str("input"),
            Self::Block { rows, columns } => write!(f, "{rows}x{columns}"),
            Self::NOfM { n, m } => write!(f, "{n}:{m}"),
        }
    }
}

impl TryFrom<String> for Granularity {
    type Error = Error;

    fn try_from(word: String) -> Result<Self> {
        word.parse()
    }
}

impl From<Granularity> for String {
    fn from(granularity: Granularity) -> Self {
        granularity.to_string()
    }
}

/// What competes with what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All chosen layers share one ranking and one budget.
    #[default]
    Global,
    /// Every layer has a ranking of its own, and the budget holds in each. Layers whose units are coupled
    /// count as one.
    Layer,
}

impl Scope {
    /// The name recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Layer => "layer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for (word, means) in [
            ("weight", Granularity::Weight),
            ("unit", Granularity::Unit),
            ("input", Granularity::Input),
            ("4x1", Granularity::Block { rows: 4, columns: 1 }),
            ("1x16", Granularity::Block { rows: 1, columns: 16 }),
            ("2:4", Granularity::NOfM { n: 2, m: 4 }),
        ] {
            assert_eq!((word.parse::<Granularity>().unwrap(), means.to_string().as_str()), (means, word));
            assert_eq!(serde_json::to_value(means).unwrap(), word);
            assert_eq!(serde_json::from_value::<Granularity>(word.into()).unwrap(), means);
        }
    }

    #[test]
    fn other_words_are_refused_with_what_there_is() {
        for word in ["", "units", "x", "4x", "x1", "0x4", "4x0", "4x1x1", "+4x1", "4 x 1", "2:", "0:4", "4:4", "5:4"] {
            let error = word.parse::<Granularity>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{word}`")), "{error}");
            assert!(["`weight`", "`unit`", "`input`", "`4x1`", "`2:4`"].iter().all(|w| error.contains(w)), "{error}");
        }
        assert!("99999999999999999999x1".parse::<Granularity>().is_err());
    }
}
