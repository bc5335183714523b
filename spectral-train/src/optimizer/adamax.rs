//! Adam in the infinity norm.

use super::fused::Fused;
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::Rule;

/// Adamax: `m = beta1 m + (1 - beta1) g`, `u = max(beta2 u, |g|)`, `w -= rate / (1 - beta1^t) m / (u + epsilon)`.
/// Kingma & Ba 2015.
///
/// The usual values are PyTorch's (rate and betas the paper's); Keras has a rate of 1e-3 and an epsilon of 1e-7.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adamax {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean gradient, in `0..1`.
    pub beta1: f64,
    /// Decay of the largest gradient, in `0..1`.
    pub beta2: f64,
    /// Added to the divisor, above 0 (the paper has none, and divides by zero where a gradient stays zero).
    pub epsilon: f64,
}

impl Default for Adamax {
    fn default() -> Self {
        Self { rate: 2e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Fused for Adamax {
    const NAME: &'static str = "adamax";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, _: u64) -> Rule {
        Rule::Adamax { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon }
    }
}

register_optimizer!(Adamax, "adamax", "Adam scaled by the largest |g| instead of the mean g^2 (Kingma & Ba 2015)");
