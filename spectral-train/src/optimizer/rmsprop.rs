//! Gradients scaled by their running root mean square.

use super::fused::Fused;
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::Rule;

/// RMSprop: `v = rho v + (1 - rho) g^2`, `w -= rate g / (sqrt(v) + epsilon)`. Tieleman & Hinton 2012.
///
/// Frameworks differ in where epsilon goes: outside the root in PyTorch and in Keras before 2.11 (the usual value
/// here), inside since Keras 2.11. Rate, rho and epsilon are those of Keras; PyTorch has 0.01, 0.99 and 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean square gradient, in `0..1`.
    pub rho: f64,
    /// Keeps the divisor above zero.
    pub epsilon: f64,
    /// Divide by `sqrt(v + epsilon)` instead, as Keras does since 2.11.
    pub epsilon_inside: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { rate: 1e-3, rho: 0.9, epsilon: 1e-7, epsilon_inside: false }
    }
}

impl Fused for RmsProp {
    const NAME: &'static str = "rmsprop";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self) -> Rule {
        Rule::RmsProp { rho: self.rho, epsilon: self.epsilon, epsilon_inside: self.epsilon_inside }
    }
}

register_optimizer!(RmsProp, "rmsprop", "gradients over their running root mean square (Tieleman & Hinton 2012)");
