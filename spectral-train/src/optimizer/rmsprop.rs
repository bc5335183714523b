//! Gradients scaled by their running root mean square.

use super::fused::{Fused, Variant};
use super::range::Ranges;
use super::{StepContext, entrywise};
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::{ParamView, Result, Rule, Tensor};

/// RMSprop: `v = rho v + (1 - rho) g^2`, `w -= rate g / (sqrt(v) + epsilon)`. Tieleman & Hinton 2012.
///
/// **Where epsilon goes.** Outside the root in PyTorch and in Keras before 2.11 (default), inside since Keras 2.11
/// (`epsilon_inside = true`). Rate, rho and epsilon are those of Keras; PyTorch has 0.01, 0.99 and 1e-8.
///
/// **Centered**: the root is that of the variance, `v - a^2` with `a = rho a + (1 - rho) g`. Graves 2013. **Momentum**:
/// `u = momentum u + g / (sqrt(v) + epsilon)`, `w -= rate u`, as in PyTorch; Keras has the rate inside `u`, which is
/// the same while it does not change. Both have no fused kernel: they take three state tensors and are computed entry
/// by entry on the host.
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
    /// Divide by the root of the variance of the gradient instead of that of its mean square.
    pub centered: bool,
    /// Share of the old velocity that is kept, in `0..1`.
    pub momentum: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { rate: 1e-3, rho: 0.9, epsilon: 1e-7, epsilon_inside: false, centered: false, momentum: 0.0 }
    }
}

impl Fused for RmsProp {
    const NAME: &'static str = "rmsprop";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, _: u64) -> Rule {
        Rule::RmsProp { rho: self.rho, epsilon: self.epsilon, epsilon_inside: self.epsilon_inside }
    }
    fn variant(&self) -> Option<&dyn Variant> {
        (self.centered || self.momentum != 0.0).then_some(self)
    }
    fn check_variant(&self, ranges: &Ranges) -> Result<()> {
        ranges.share("momentum", self.momentum)
    }
}

impl Variant for RmsProp {
    fn slots(&self) -> usize {
        3
    }
    fn step(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        let Self { rho, epsilon, momentum, .. } = *self;
        entrywise::step(cx, param, value, gradient, state, 0.0, |g, [square, mean, velocity]| {
            let (square, mean) = (rho * square + (1.0 - rho) * g * g, rho * mean + (1.0 - rho) * g);
            // Rounding may take a variance of nothing below zero.
            let spread = if self.centered { (square - mean * mean).max(0.0) } else { square };
            let root = if self.epsilon_inside { (spread + epsilon).sqrt() } else { spread.sqrt() + epsilon };
            let velocity = momentum * velocity + g / root;
            (velocity, [square, mean, velocity])
        })
    }
}

register_optimizer!(RmsProp, "rmsprop", "gradients over their running root mean square (Tieleman & Hinton 2012)");
