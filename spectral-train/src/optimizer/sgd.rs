//! Gradient descent, plain and with momentum.

use super::fused::Fused;
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::Rule;

/// Stochastic gradient descent: `w -= rate g`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f64,
}

/// Gradient descent with momentum: `v = momentum v + g`, `w -= rate v`.
///
/// PyTorch's form: the rate is outside the velocity, so a schedule acts at once. Polyak 1964.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Momentum {
    /// Learning rate.
    pub rate: f64,
    /// Share of the old velocity that is kept, in `0..1`.
    pub momentum: f64,
}

/// Nesterov momentum: `v = momentum v + g`, `w -= rate (g + momentum v)`. Sutskever et al. 2013.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nesterov {
    /// Learning rate.
    pub rate: f64,
    /// Share of the old velocity that is kept, in `0..1`.
    pub momentum: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { rate: 0.01 }
    }
}

impl Default for Momentum {
    fn default() -> Self {
        Self { rate: 0.01, momentum: 0.9 }
    }
}

impl Default for Nesterov {
    fn default() -> Self {
        Self { rate: 0.01, momentum: 0.9 }
    }
}

impl Fused for Sgd {
    const NAME: &'static str = "sgd";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, _: u64) -> Rule {
        Rule::Sgd { momentum: 0.0, nesterov: false }
    }
}

impl Fused for Momentum {
    const NAME: &'static str = "momentum";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, _: u64) -> Rule {
        Rule::Sgd { momentum: self.momentum, nesterov: false }
    }
}

impl Fused for Nesterov {
    const NAME: &'static str = "nesterov";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, _: u64) -> Rule {
        Rule::Sgd { momentum: self.momentum, nesterov: true }
    }
}

register_optimizer!(Sgd, "sgd", "w -= rate g");
register_optimizer!(Momentum, "momentum", "v = momentum v + g; w -= rate v");
register_optimizer!(Nesterov, "nesterov", "v = momentum v + g; w -= rate (g + momentum v)");
