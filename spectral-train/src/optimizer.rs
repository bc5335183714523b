//! Optimisers: the trait, its registry, and the state they keep.

mod adam;
mod adamax;
mod entrywise;
mod fused;
mod range;
mod rmsprop;
mod sgd;
mod sign;
mod state;

pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use rmsprop::RmsProp;
pub use sgd::{Momentum, Nesterov, Sgd};
pub use sign::{MomentumRestart, SignAgreement};
pub use state::{OptimizerState, ParamStep};

use spectral_core::{Backend, Masking, ParamView, Result, Rule, Tensor, Trainable, Update};

/// An optimiser: how a gradient changes a parameter.
///
/// It is plain data. The state lives in an [`OptimizerState`], which keeps pruned entries and their state at
/// exactly zero and frozen entries as they are, whatever the optimiser writes. A new one is a struct with serde
/// parameters, this trait and [`register_optimizer!`](crate::register_optimizer).
pub trait Optimizer: std::fmt::Debug + Send + Sync + 'static {
    /// Tensors of state per parameter, each of the parameter's shape and zero at first.
    fn slots(&self) -> usize;

    /// The learning rate before any schedule.
    fn rate(&self) -> f64;

    /// Moves `value` along `gradient`, which is that of the loss without penalties: `param.penalty` is to be
    /// added, see [`StepContext::update`].
    ///
    /// # Errors
    /// A kernel failed.
    fn step(
        &self,
        cx: &StepContext<'_>,
        param: ParamView<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()>;

    /// The fused kernel equivalent to step number `step` (from 1), if there is one. It lets a step be computed together
    /// with the gradient. There is one for all steps or for none.
    fn kernel(&self, step: u64) -> Option<UpdateRule> {
        let _ = step;
        None
    }

    /// Who zeroes pruned entries and holds frozen ones. [`Masking::Fused`] is a promise that the step itself
    /// does both, in the state as well, as [`Update`] kernels do; it saves a pass over memory.
    fn masking(&self) -> Masking {
        Masking::Apply
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// One is out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// What an optimiser passes to the backend's update kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateRule {
    /// The formula.
    pub rule: Rule,
    /// Decoupled weight decay.
    pub decay: f64,
}

/// What an optimiser step knows besides the parameter.
#[derive(Debug, Clone, Copy)]
pub struct StepContext<'a> {
    /// Runs the kernels.
    pub backend: &'a dyn Backend,
    /// Learning rate of this step, after the schedule.
    pub rate: f64,
    /// Steps this parameter has been given, this one included: from 1.
    pub step: u64,
    /// Factor on the gradient before anything else; below 1 where gradients are clipped.
    pub gradient_scale: f64,
}

impl<'a> StepContext<'a> {
    /// The fused update of `param`, with its penalty, mask and frozen entries.
    pub fn update(&self, UpdateRule { rule, decay }: UpdateRule, param: &ParamView<'a>) -> Update<'a> {
        Update {
            rule,
            rate: self.rate,
            step: self.step,
            gradient_scale: self.gradient_scale,
            l1: param.penalty.l1,
            l2: param.penalty.l2,
            decay,
            pruned: param.pruned,
            trainable: match param.trainable {
                Trainable::Only(mask) => Some(mask),
                Trainable::All | Trainable::None => None,
            },
        }
    }
}

spectral_core::part_registry!(
    /// An optimiser that a crate registered; see [`register_optimizer!`](crate::register_optimizer).
    OptimizerEntry,
    "optimizer",
    Optimizer
);

/// Registers an optimiser: `register_optimizer!(Sgd, "sgd", "w -= rate g");`
///
/// The type must implement `Optimizer + Default + serde::Serialize + serde::Deserialize`. The crate that calls
/// this needs `spectral-core` as a dependency under its own name.
#[macro_export]
macro_rules! register_optimizer {
    ($type:ty, $name:literal, $summary:literal) => {
        ::spectral_core::register_part!(
            $crate::OptimizerEntry,
            $type,
            $name,
            $summary,
            check = |part: &$type| $crate::Optimizer::check(part)
        );
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use spectral_core::registry::{all, find};

    #[test]
    fn every_default_builds_and_is_summarised() {
        let entries = all::<OptimizerEntry>().unwrap();
        let names: Vec<_> = entries.iter().map(|e| e.name).collect();
        let built_in = ["adam", "adamax", "adamw", "momentum", "momentum_restart", "nesterov", "rmsprop", "sgd"];
        assert_eq!(names, [&built_in[..], &["sign_agreement"]].concat());
        for entry in entries {
            let built = (entry.build)((entry.defaults)()).unwrap();
            assert!(built.rate() > 0.0 && !entry.summary.is_empty(), "{}", entry.name);
        }
    }

    #[test]
    fn impossible_parameters_are_refused_with_their_name() {
        let mut failures = Vec::new();
        for (name, config, words) in [
            ("sgd", json!({"rate": -0.1}), ["optimizer `sgd`", "`rate` is -0.1"]),
            ("sgd", json!({"rte": 0.1}), ["`sgd`", "unknown field `rte`"]),
            ("sgd", json!({"rate": "fast"}), ["`sgd`", "expected f64"]),
            ("momentum", json!({"momentum": 1.0}), ["`momentum` is 1", "below 1"]),
            ("nesterov", json!({"momentum": -0.5}), ["`momentum` is -0.5", "at least 0"]),
            ("adam", json!({"beta1": 1.0}), ["`beta1` is 1", "below 1"]),
            ("adam", json!({"beta2": 2.0}), ["`beta2` is 2", "below 1"]),
            ("adam", json!({"epsilon": 0.0}), ["`epsilon` is 0", "above 0"]),
            ("adamw", json!({"weight_decay": -1.0}), ["`weight_decay` is -1", "0 or more"]),
            ("adamax", json!({"beta2": -1.0}), ["optimizer `adamax`", "`beta2` is -1"]),
            ("rmsprop", json!({"rho": 1.5}), ["optimizer `rmsprop`", "`rho` is 1.5"]),
            ("rmsprop", json!({"momentum": 1.0}), ["optimizer `rmsprop`", "`momentum` is 1"]),
            ("sign_agreement", json!({"friction": 1.0}), ["optimizer `sign_agreement`", "`friction` is 1"]),
            ("momentum_restart", json!({"friction": -1.0}), ["optimizer `momentum_restart`", "`friction` is -1"]),
            ("momentum_restart", json!({"epsilon": 0.0}), ["`epsilon` is 0", "above 0"]),
        ] {
            let entry = find::<OptimizerEntry>(name).unwrap();
            match (entry.build)(config.clone()) {
                Ok(_) => failures.push(format!("{name} {config} was accepted")),
                Err(e) => {
                    let text = e.to_string();
                    failures.extend(words.iter().filter(|w| !text.contains(**w)).map(|w| format!("`{w}` in {text}")));
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn an_infinite_rate_is_refused() {
        assert!(Sgd { rate: f64::INFINITY }.check().is_err());
        assert!(Adam { rate: f64::NAN, ..Adam::default() }.check().is_err());
    }

    #[test]
    fn an_unknown_name_gives_the_nearest() {
        let Err(error) = find::<OptimizerEntry>("adan") else { panic!("found") };
        assert!(error.to_string().contains("did you mean `adam`"), "{error}");
    }
}
