//! What strategies have in common: a watched training phase with a seed of its own, and measuring.

use spectral_core::{Error, History, Metrics, Model, Result, Samples, Seed, StrategyCx, TrainHook};
use spectral_train::{Evaluator, TrainConfig};

/// The data of a training phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) train: &'a Samples,
    /// What is measured after every epoch, if the phase asks for validation. Nothing was ever trained on it.
    pub(super) held_out: &'a Samples,
}

impl<'a> Data<'a> {
    /// The data of the whole strategy.
    pub(super) fn of(cx: &StrategyCx<'a>) -> Self {
        Self { train: cx.train, held_out: cx.validation }
    }
}

/// Trains `model` as phase `phase`; its seed derives from that of the strategy and the name of the phase.
pub(super) fn train(
    cx: &mut StrategyCx<'_>,
    phase: &str,
    config: &TrainConfig,
    model: &mut Model,
    data: Data<'_>,
    hooks: &mut [&mut dyn TrainHook],
) -> Result<History> {
    if config.batch > data.train.len() {
        let (batch, samples) = (config.batch, data.train.len());
        let problem = format!("a batch of {batch} is larger than the {samples} samples it trains on; lower `batch`");
        return Err(Error::config(format!("phase `{phase}`"), problem));
    }
    let mut trainer = config.build(Seed(cx.seed.key(phase, 0)))?;
    if config.validation > 0.0 {
        trainer = trainer.validate_on(data.held_out.clone());
    }
    cx.watch.train(phase, &trainer, model, data.train, hooks)
}

/// Checks the settings of a phase.
pub(super) fn check(config: &TrainConfig) -> Result<()> {
    config.build(Seed(0))?;
    Ok(())
}

/// Loss (that of `config`), and accuracy where the targets are classes, of `model` on `data`.
pub(super) fn measure(config: &TrainConfig, model: &Model, data: &Samples) -> Result<Metrics> {
    Ok(Evaluator::new(config.loss).run(model, data)?)
}
