//! What a run claims: smaller, faster, equal, as good.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether the run reached what it is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// File bytes against the dense model's.
    pub smaller: Check,
    /// Latency against the dense model's.
    pub faster: Speed,
    /// Whether every proof holds.
    pub equal: Equality,
    /// Whether the fine-tuned model is about as good as the dense one.
    #[serde(default)]
    pub as_good: Quality,
}

/// One measured claim.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Whether it holds.
    pub ok: bool,
    /// New over old: less than 1 is smaller or faster.
    pub ratio: f64,
    /// The stage that was compared with the dense one; the last one if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Why it does not hold, or anything else worth saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether the network runs faster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Whether it is faster at one batch size at least, and slower at none.
    pub ok: bool,
    /// New over old at the largest batch size: less than 1 is faster.
    pub ratio: f64,
    /// New over old, by batch size.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub batches: BTreeMap<usize, TimeRatio>,
    /// Why it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The time of the new network over that of the old one, measured in turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeRatio {
    /// Median over the rounds of measuring.
    pub ratio: f64,
    /// What encloses the true median with a probability of 95 % or more.
    pub interval: [f64; 2],
}

/// How a [`TimeRatio`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The whole interval is below 1.
    Faster,
    /// The interval contains 1: no difference was measured.
    Level,
    /// The whole interval is above 1.
    Slower,
}

impl TimeRatio {
    /// How it reads; level where it is not known.
    pub fn pace(&self) -> Pace {
        match self.interval {
            [low, high] if low <= high && high < 1.0 => Pace::Faster,
            [low, high] if low <= high && low > 1.0 => Pace::Slower,
            _ => Pace::Level,
        }
    }
}

/// Whether the fine-tuned model is about as good as the dense one, on the test set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Whether no more than the limit was lost.
    pub ok: bool,
    /// How much was lost: of accuracy as a difference of shares, of another metric as a share of its value before.
    /// Negative where it got better.
    pub drop: f64,
    /// The most that may be lost.
    pub limit: f64,
    /// What is compared: `accuracy`, or `loss` where the targets are values.
    #[serde(default)]
    pub metric: String,
    /// The metric of the dense model.
    #[serde(default)]
    pub before: f64,
    /// The metric of the fine-tuned one.
    #[serde(default)]
    pub after: f64,
    /// 95 % confidence interval of the drop, as far as the test set allows to tell.
    #[serde(default)]
    pub interval: [f64; 2],
    /// Why it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether the models compute the same function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Equality {
    /// Whether they do.
    pub ok: bool,
    /// Why they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
