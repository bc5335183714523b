//! Adam, with and without decoupled weight decay.

use super::fused::{Fused, Variant};
use super::range::Ranges;
use super::{StepContext, entrywise};
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::{ParamView, Result, Rule, Tensor};

/// Adam: `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
/// `w -= rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)`. Kingma & Ba 2015.
///
/// **Where epsilon goes.** Above it is beside the corrected root, as in the paper's algorithm 1 and in PyTorch. Keras
/// and Sparana put it beside the root as it is: `w -= rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon)`.
/// That is `epsilon_hat = true`; it makes the first steps smaller where gradients are small.
///
/// **AMSGrad** (`amsgrad = true`): the largest `v` so far takes its place in the root. Reddi, Kale & Kumar, ICLR 2018.
/// It has no fused kernel: it takes a third state tensor and is computed entry by entry on the host.
///
/// The defaults are the paper's and PyTorch's. Keras' are `epsilon = 1e-7` with `epsilon_hat`.
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
    /// Add epsilon to the root of `v` before its correction.
    pub epsilon_hat: bool,
    /// Divide by the root of the largest `v` so far.
    pub amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, epsilon_hat: false, amsgrad: false }
    }
}

impl Fused for Adam {
    const NAME: &'static str = "adam";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, step: u64) -> Rule {
        let Self { beta1, beta2, epsilon, epsilon_hat, .. } = *self;
        // Beside the corrected root, epsilon_hat is this much larger.
        let epsilon = if epsilon_hat { epsilon / correction(beta2, step).sqrt() } else { epsilon };
        Rule::Adam { beta1, beta2, epsilon }
    }
    fn variant(&self) -> Option<&dyn Variant> {
        self.amsgrad.then_some(self)
    }
    fn check_variant(&self, ranges: &Ranges) -> Result<()> {
        // The rule has another epsilon than the settings.
        ranges.share("beta2", self.beta2)?;
        ranges.above_zero("epsilon", self.epsilon)
    }
}

impl Variant for Adam {
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
        self.amsgrad(cx, param, value, gradient, state, 0.0)
    }
}

impl Adam {
    fn amsgrad(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
        decay: f64,
    ) -> Result<()> {
        let Self { beta1, beta2, epsilon, epsilon_hat, .. } = *self;
        let (first, second) = (correction(beta1, cx.step), correction(beta2, cx.step).sqrt());
        let epsilon = if epsilon_hat { epsilon / second } else { epsilon };
        entrywise::step(cx, param, value, gradient, state, decay, |g, [m, v, most]| {
            let (m, v) = (beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * g * g);
            let most = v.max(most);
            (m / first / (most.sqrt() / second + epsilon), [m, v, most])
        })
    }
}

/// `1 - beta^step`: what a decayed mean that started at zero must be divided by.
fn correction(beta: f64, step: u64) -> f64 {
    1.0 - beta.powi(i32::try_from(step).unwrap_or(i32::MAX))
}

/// Adam with decoupled weight decay: `w -= rate weight_decay w` beside the step of [`Adam`].
/// Loshchilov & Hutter 2019.
///
/// Every trainable tensor decays, biases and eigenvalues too, as in Keras and PyTorch. The default decay is PyTorch's
/// 0.01; Keras has 0.004.
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
    /// Add epsilon to the root of `v` before its correction.
    pub epsilon_hat: bool,
    /// Divide by the root of the largest `v` so far.
    pub amsgrad: bool,
    /// Share of a value that is lost per step, over the rate; 0 or more.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { rate, beta1, beta2, epsilon, epsilon_hat, amsgrad } = Adam::default();
        Self { rate, beta1, beta2, epsilon, epsilon_hat, amsgrad, weight_decay: 0.01 }
    }
}

impl AdamW {
    fn without_decay(&self) -> Adam {
        let Self { rate, beta1, beta2, epsilon, epsilon_hat, amsgrad, .. } = *self;
        Adam { rate, beta1, beta2, epsilon, epsilon_hat, amsgrad }
    }
}

impl Fused for AdamW {
    const NAME: &'static str = "adamw";
    fn rate(&self) -> f64 {
        self.rate
    }
    fn rule(&self, step: u64) -> Rule {
        self.without_decay().rule(step)
    }
    fn decay(&self) -> f64 {
        self.weight_decay
    }
    fn variant(&self) -> Option<&dyn Variant> {
        self.amsgrad.then_some(self)
    }
    fn check_variant(&self, ranges: &Ranges) -> Result<()> {
        // The rule has another epsilon than the settings.
        ranges.share("beta2", self.beta2)?;
        ranges.above_zero("epsilon", self.epsilon)
    }
}

impl Variant for AdamW {
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
        self.without_decay().amsgrad(cx, param, value, gradient, state, self.weight_decay)
    }
}

register_optimizer!(Adam, "adam", "Adam: rates scaled by running means of g and g^2 (Kingma & Ba 2015)");
register_optimizer!(AdamW, "adamw", "Adam with decoupled weight decay (Loshchilov & Hutter 2019)");
