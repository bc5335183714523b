//! Adam, with and without decoupled weight decay.

use super::fused::Fused;
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::Rule;

/// Adam: `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
/// `w -= rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)`. Kingma & Ba 2015.
///
/// The usual values are the paper's and PyTorch's; Keras has an epsilon of 1e-7, in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean gradient, in `0..1`.
    pub beta1: f64,
    /// Decay of the mean square gradient, in `0..1`.
    pub beta2: f64,
    /// Added to the root, above 0.
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl Fused for Adam {
    const NAME: &'static str = "adam";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self) -> Rule {
        Rule::Adam { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon }
    }
}

/// Adam with decoupled weight decay: `w -= rate weight_decay w` before the step of [`Adam`].
/// Loshchilov & Hutter 2019.
///
/// Every trainable tensor decays, biases and eigenvalues too, as in Keras and PyTorch. The usual decay is
/// PyTorch's 0.01; Keras has 0.004.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean gradient, in `0..1`.
    pub beta1: f64,
    /// Decay of the mean square gradient, in `0..1`.
    pub beta2: f64,
    /// Added to the root, above 0.
    pub epsilon: f64,
    /// Share of a value that is lost per step, over the rate; 0 or more.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { rate, beta1, beta2, epsilon } = Adam::default();
        Self { rate, beta1, beta2, epsilon, weight_decay: 0.01 }
    }
}

impl Fused for AdamW {
    const NAME: &'static str = "adamw";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self) -> Rule {
        Rule::Adam { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon }
    }
    fn decay(&self) -> f64 {
        self.weight_decay
    }
}

register_optimizer!(Adam, "adam", "Adam: rates scaled by running means of g and g^2 (Kingma & Ba 2015)");
register_optimizer!(AdamW, "adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)");
