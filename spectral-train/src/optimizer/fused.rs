//! What the optimisers with a fused kernel have in common.

use super::{Optimizer, StepContext, UpdateRule};
use spectral_core::{Error, Masking, ParamView, Result, Rule, Tensor};

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
        let require = |holds: bool, parameter: &str, value: f64, requirement: &str| {
            if holds {
                return Ok(());
            }
            let problem = format!("`{parameter}` is {value}, it must be {requirement}");
            Err(Error::config(format!("optimizer `{}`", F::NAME), problem))
        };
        let at_least_zero =
            |name: &str, v: f64| require(v.is_finite() && v >= 0.0, name, v, "a finite number, 0 or more");
        let above_zero = |name: &str, v: f64| require(v.is_finite() && v > 0.0, name, v, "a finite number above 0");
        let share = |name: &str, v: f64| require((0.0..1.0).contains(&v), name, v, "at least 0 and below 1");
        at_least_zero("rate", Fused::rate(self))?;
        at_least_zero("weight_decay", self.decay())?;
        match self.rule() {
            Rule::Sgd { momentum, .. } => share("momentum", momentum),
            Rule::Adam { beta1, beta2, epsilon } | Rule::Adamax { beta1, beta2, epsilon } => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                above_zero("epsilon", epsilon)
            }
            Rule::RmsProp { rho, epsilon, .. } => {
                share("rho", rho)?;
                above_zero("epsilon", epsilon)
            }
            Rule::SignAgreement { friction } => share("friction", friction),
            Rule::MomentumRestart { friction, epsilon, .. } => {
                share("friction", friction)?;
                above_zero("epsilon", epsilon)
            }
        }
    }
}

fn update_rule<F: Fused>(optimizer: &F) -> UpdateRule {
    UpdateRule { rule: optimizer.rule(), decay: optimizer.decay() }
}
