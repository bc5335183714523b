//! What the optimisers with a fused kernel have in common.

use super::range::Ranges;
use super::{Optimizer, StepContext, UpdateRule};
use spectral_core::{Masking, ParamView, Result, Rule, Tensor};

/// An optimiser that is one [`Rule`] of the backend's update kernel.
pub(super) trait Fused: std::fmt::Debug + Send + Sync + 'static {
    /// Registry name, for messages.
    const NAME: &'static str;
    fn rate(&self) -> f64;
    fn rule(&self) -> Rule;
    /// Decoupled weight decay.
    fn decay(&self) -> f64 {
        0.0
    }
}

impl<F: Fused> Optimizer for F {
    fn slots(&self) -> usize {
        self.rule().slots()
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
        cx.backend.update(&cx.update(update_rule(self), &param), value, gradient, state)
    }

    fn kernel(&self) -> Option<UpdateRule> {
        Some(update_rule(self))
    }

    fn masking(&self) -> Masking {
        Masking::Fused
    }

    fn check(&self) -> Result<()> {
        let ranges = Ranges(F::NAME);
        ranges.at_least_zero("rate", Fused::rate(self))?;
        ranges.at_least_zero("weight_decay", self.decay())?;
        match self.rule() {
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

fn update_rule<F: Fused>(optimizer: &F) -> UpdateRule {
    UpdateRule { rule: optimizer.rule(), decay: optimizer.decay() }
}
