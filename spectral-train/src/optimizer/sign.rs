//! Optimisers that remember whether the sign of a gradient persists.

use super::entrywise::{self, sign};
use super::range::Ranges;
use super::{Optimizer, StepContext};
use crate::register_optimizer;
use serde::{Deserialize, Serialize};
use spectral_core::{Masking, ParamView, Result, Tensor};

/// Steps that grow while the sign of a gradient persists: `a = friction a + sign(g)` where the agreement `a` has
/// the sign of `g`, else `a = sign(g)`; `w -= rate |a| g`.
///
/// `|a|` is 1 after a change of sign and rises towards `1 / (1 - friction)`. A relative of Rprop (Riedmiller &
/// Braun 1993) and of delta-bar-delta (Jacobs 1988) that keeps the size of the gradient. Source: Sparana, there
/// called `madadad`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignAgreement {
    /// Learning rate.
    pub rate: f64,
    /// Share of the old agreement that is kept, in `0..1`.
    pub friction: f64,
}

/// Momentum that an entry loses when its gradient turns against it: `w -= rate (g + v)`, then `v = friction v + g`
/// where `g v > -epsilon`, else `v = g`; `v` stays 0 before step `start`.
///
/// Adaptive restart by the gradient (O'Donoghue & Candès 2015), for each entry alone; momentum with the sign of the
/// gradient, as in Rprop (Riedmiller & Braun 1993). Source: Sparana, there called `adadad`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MomentumRestart {
    /// Learning rate.
    pub rate: f64,
    /// Share of the old velocity that is kept, in `0..1`.
    pub friction: f64,
    /// How far a gradient may oppose the velocity, as the negative product of both, before that is dropped.
    pub epsilon: f64,
    /// The first step, from 1, that leaves a velocity behind.
    pub start: u64,
}

impl Default for SignAgreement {
    fn default() -> Self {
        Self { rate: 0.01, friction: 0.5 }
    }
}

impl Default for MomentumRestart {
    fn default() -> Self {
        Self { rate: 0.01, friction: 0.9, epsilon: 1e-7, start: 10 }
    }
}

impl Optimizer for SignAgreement {
    fn slots(&self) -> usize {
        1
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn step(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        entrywise::step(cx, param, value, gradient, state, 0.0, |g, [agreement]| {
            let agrees = agreement * sign(g) > 0.0;
            let agreement = if agrees { self.friction * agreement } else { 0.0 } + sign(g);
            (agreement.abs() * g, [agreement])
        })
    }

    fn masking(&self) -> Masking {
        Masking::Fused
    }

    fn check(&self) -> Result<()> {
        let ranges = Ranges("sign_agreement");
        ranges.at_least_zero("rate", self.rate)?;
        ranges.share("friction", self.friction)
    }
}

impl Optimizer for MomentumRestart {
    fn slots(&self) -> usize {
        1
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn step(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        entrywise::step(cx, param, value, gradient, state, 0.0, |g, [velocity]| {
            let kept = if g * velocity > -self.epsilon { self.friction * velocity } else { 0.0 };
            (g + velocity, [if cx.step < self.start { 0.0 } else { kept + g }])
        })
    }

    fn masking(&self) -> Masking {
        Masking::Fused
    }

    fn check(&self) -> Result<()> {
        let ranges = Ranges("momentum_restart");
        ranges.at_least_zero("rate", self.rate)?;
        ranges.share("friction", self.friction)?;
        ranges.above_zero("epsilon", self.epsilon)
    }
}

register_optimizer!(SignAgreement, "sign_agreement", "steps that grow while the gradient's sign persists (madadad)");
register_optimizer!(
    MomentumRestart,
    "momentum_restart",
    "momentum that an entry loses when its gradient turns against it (adadad)"
);
