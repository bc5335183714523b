//! What the optimisers with a fused kernel have in common.

use super::range::Ranges;
use super::{Optimizer, StepContext, UpdateRule};
use spectral_core::{Masking, ParamView, Result, Rule, Tensor};

/// An optimiser that is one [`Rule`] of the backend's update kernel, or a variant of one that has no kernel.
pub(super) trait Fused: std::fmt::Debug + Send + Sync + 'static {
    /// Registry name, for messages.
    const NAME: &'static str;
    fn rate(&self) -> f64;
    /// The kernel of step number `step`, from 1.
    fn rule(&self, step: u64) -> Rule;
    /// Decoupled weight decay.
    fn decay(&self) -> f64 {
        0.0
    }
    /// What runs instead of the kernel, where the settings ask for something that no kernel does.
    fn variant(&self) -> Option<&dyn Variant> {
        None
    }
    /// Settings that the rule does not have.
    fn check_variant(&self, ranges: &Ranges) -> Result<()> {
        let _ = ranges;
        Ok(())
    }
}

/// A step without a kernel; see [`entrywise`](super::entrywise).
pub(super) trait Variant {
    fn slots(&self) -> usize;
    fn step(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()>;
}

impl<F: Fused> Optimizer for F {
    fn slots(&self) -> usize {
        self.variant().map_or_else(|| self.rule(1).slots(), Variant::slots)
    }

    fn rate(&self) -> f64 {
        Fused::rate(self)
    }

    fn step(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        match self.variant() {
            Some(variant) => variant.step(cx, param, value, gradient, state),
            None => cx.backend.update(&cx.update(update_rule(self, cx.step), &param), value, gradient, state),
        }
    }

    fn kernel(&self, step: u64) -> Option<UpdateRule> {
        self.variant().is_none().then(|| update_rule(self, step))
    }

    fn masking(&self) -> Masking {
        Masking::Fused
    }

    fn check(&self) -> Result<()> {
        let ranges = Ranges(F::NAME);
        ranges.at_least_zero("rate", Fused::rate(self))?;
        ranges.at_least_zero("weight_decay", self.decay())?;
        self.check_variant(&ranges)?;
        match self.rule(1) {
            Rule::Sgd { momentum, .. } => ranges.share("momentum", momentum),
            Rule::Adam { beta1, beta2, epsilon } | Rule::Adamax { beta1, beta2, epsilon } => {
                ranges.share("beta1", beta1)?;
                ranges.share("beta2", beta2)?;
                ranges.above_zero("epsilon", epsilon)
            }
            Rule::RmsProp { rho, epsilon, .. } => {
                ranges.share("rho", rho)?;
                ranges.above_zero("epsilon", epsilon)
            }
        }
    }
}

fn update_rule<F: Fused>(optimizer: &F, step: u64) -> UpdateRule {
    UpdateRule { rule: optimizer.rule(step), decay: optimizer.decay() }
}
