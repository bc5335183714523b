//! Training as recipes write it.

use crate::{Loss, OptimizerEntry, Result, ScheduleEntry, Trainer, Warmup};
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{Penalty, Role, Seed};
use std::collections::BTreeMap;

/// The settings of a [`Trainer`] as plain data. Absent ones take their usual values, unknown ones are errors.
///
/// ```toml
/// epochs = 20
/// batch = 100
/// optimizer = { name = "adam", rate = 0.002 }
/// loss = "cross_entropy"
/// schedule = "cosine"
/// warmup = { epochs = 1 }
/// validation = 0.1
/// patience = 5
/// keep_best = true
/// clip_norm = 1.0
/// clip_norm_each = 0.5
/// clip_value = 0.5
/// only = ["dense3"]
/// penalty = { basis = { l2 = 1e-5 } }
/// decay = { weight = { l2 = 1e-4 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// How often every sample is visited.
    pub epochs: usize,
    /// Samples per step.
    pub batch: usize,
    /// A registered optimiser.
    pub optimizer: ByName,
    /// What is made small; [`Loss::for_targets`], if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// A registered learning-rate schedule.
    pub schedule: ByName,
    /// How long the learning rate rises first.
    pub warmup: Warmup,
    /// Share of the samples that is held out and measured; 0 holds out none. Drawn once in the life of a model: see
    /// [`Trainer::validation`].
    pub validation: f64,
    /// Epochs without a lower loss after which training stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// By how much a loss must be lower to count as lower.
    pub min_delta: f64,
    /// Leave the parameters of the best epoch behind.
    pub keep_best: bool,
    /// Largest norm of all gradients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Largest norm of the gradient of each parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm_each: Option<f64>,
    /// Largest size of an entry of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// The nodes that train, by name; all, if none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Penalties per role, added to those of the layers.
    pub penalty: BTreeMap<Role, Penalty>,
    /// Decay beside the step, per role: `w -= rate (l2 w + l1 sign(w))`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub decay: BTreeMap<Role, Penalty>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 100,
            optimizer: ByName::new("adam"),
            loss: None,
            schedule: ByName::new("constant"),
            warmup: Warmup::default(),
            validation: 0.0,
            patience: None,
            min_delta: 0.0,
            keep_best: false,
            clip_norm: None,
            clip_norm_each: None,
            clip_value: None,
            only: Vec::new(),
            penalty: BTreeMap::new(),
            decay: BTreeMap::new(),
        }
    }
}

impl TrainConfig {
    /// The trainer with these settings.
    ///
    /// # Errors
    /// A name is not registered (the error gives the nearest), or a value is out of its range.
    pub fn build(&self, seed: Seed) -> Result<Trainer> {
        let mut trainer = Trainer::with_optimizer(self.optimizer.build::<OptimizerEntry>()?)
            .with_schedule(self.schedule.build::<ScheduleEntry>()?)
            .warmup(self.warmup)
            .epochs(self.epochs)
            .batch(self.batch)
            .loss(self.loss)
            .min_delta(self.min_delta)
            .seed(seed);
        // Exactly 0 is "none"; anything else is a share, and checked as one.
        trainer.validation = (self.validation != 0.0).then_some(self.validation);
        trainer.patience = self.patience;
        trainer.clip_norm = self.clip_norm;
        trainer.clip_norm_each = self.clip_norm_each;
        trainer.clip_value = self.clip_value;
        trainer.only = self.only.clone();
        trainer.penalties = self.penalty.clone();
        trainer.decays = self.decay.clone();
        if self.keep_best {
            trainer = trainer.keep_best();
        }
        trainer.check()?;
        Ok(trainer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(config: Value) -> Result<Trainer, String> {
        let config: TrainConfig = serde_json::from_value(config).map_err(|e| e.to_string())?;
        config.build(Seed(1)).map_err(|e| e.to_string())
    }

    #[test]
    fn every_setting_reaches_the_trainer() {
        let trainer = read(json!({
            "epochs": 3, "batch": 7, "optimizer": {"name": "rmsprop", "rate": 0.5}, "loss": "mse",
            "schedule": {"name": "step", "every": 2, "factor": 0.1}, "warmup": 4, "validation": 0.25, "patience": 2,
            "min_delta": 0.01, "keep_best": true, "clip_norm": 1.5, "clip_norm_each": 0.5, "clip_value": 0.75,
            "only": ["dense2"], "penalty": {"basis": {"l2": 0.5}}, "decay": {"weight": {"l1": 0.25}}
        }))
        .unwrap();
        let at = |step, epoch| spectral_core::Progress { step, steps: 40, epoch, epochs: 4 };
        assert_eq!((trainer.epochs, trainer.batch, trainer.loss), (3, 7, Some(Loss::MeanSquaredError)));
        assert_eq!((trainer.validation, trainer.patience, trainer.min_delta), (Some(0.25), Some(2), 0.01));
        assert_eq!((trainer.keep, trainer.clip_norm), (crate::trainer::Keep::Best, Some(1.5)));
        assert_eq!(trainer.clip_norm_each, Some(0.5));
        assert_eq!((trainer.clip_value, trainer.only.as_slice()), (Some(0.75), &["dense2".to_owned()][..]));
        assert_eq!(trainer.extra(Role::Basis), Penalty { l1: 0.0, l2: 0.5 });
        assert_eq!(trainer.extra(Role::Bias), Penalty::default());
        assert_eq!(trainer.decay_of(Role::Weight), Penalty { l1: 0.25, l2: 0.0 });
        assert_eq!((trainer.rate(&at(0, 0)), trainer.rate(&at(30, 3))), (0.125, 0.05));
    }

    #[test]
    fn bad_settings_name_the_setting_and_the_remedy() {
        let mut failures = Vec::new();
        for (config, words) in [
            (json!({"epoch": 3}), vec!["unknown field `epoch`", "`epochs`"]),
            (json!({"epochs": -1}), vec!["-1"]),
            (json!({"batch": 0}), vec!["`batch` is 0", "at least 1"]),
            (json!({"batch": "all"}), vec!["all"]),
            (json!({"optimizer": "adamm"}), vec!["unknown optimizer `adamm`", "did you mean `adam`"]),
            (json!({"optimizer": {"name": "adam", "rate": -1.0}}), vec!["`rate` is -1"]),
            (json!({"optimizer": {"name": "adam", "lr": 1.0}}), vec!["`adam`", "unknown field `lr`"]),
            (json!({"optimizer": {"rate": 1.0}}), vec!["needs a `name`"]),
            (json!({"schedule": "cosin"}), vec!["unknown schedule `cosin`", "did you mean `cosine`"]),
            (json!({"loss": "entropy"}), vec!["unknown loss `entropy`", "cross_entropy"]),
            (json!({"validation": 1.0}), vec!["`validation` is 1", "between 0 and 1"]),
            (json!({"validation": -0.1}), vec!["`validation` is -0.1"]),
            (json!({"patience": 0}), vec!["`patience` is 0"]),
            (json!({"min_delta": -1.0}), vec!["`min_delta` is -1"]),
            (json!({"clip_norm": 0.0}), vec!["`clip_norm` is 0"]),
            (json!({"clip_norm_each": -2.0}), vec!["`clip_norm_each` is -2"]),
            (json!({"clip_value": -1.0}), vec!["`clip_value` is -1"]),
            (json!({"penalty": {"basis": {"l3": 1.0}}}), vec!["unknown field `l3`"]),
            (json!({"penalty": {"bases": {"l2": 1.0}}}), vec!["bases", "`basis`"]),
            (json!({"penalty": {"basis": {"l2": -1.0}}}), vec!["`penalty` is -1"]),
            (json!({"decay": {"basis": {"l2": -1.0}}}), vec!["`decay` is -1"]),
        ] {
            match read(config.clone()) {
                Ok(_) => failures.push(format!("{config} was accepted")),
                Err(text) => failures.extend(
                    words.iter().filter(|w| !text.contains(**w)).map(|w| format!("{config}: no `{w}` in: {text}")),
                ),
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = TrainConfig {
            optimizer: ByName::new("adam").with("rate", 0.01),
            warmup: Warmup::Epochs(2),
            penalty: [(Role::EigenvalueOut, Penalty { l1: 0.0, l2: 1e-3 })].into(),
            ..TrainConfig::default()
        };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
    }
}
