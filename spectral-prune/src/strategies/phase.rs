//! What strategies have in common: a watched training phase with a seed of its own, and measuring.

use spectral_core::{Error, History, Metrics, Model, Result, Samples, Seed, StrategyCx, TrainHook};
use spectral_train::{Evaluator, TrainConfig};

/// Trains `model` as phase `phase`; its seed derives from that of the strategy and the name of the phase.
pub(super) fn train(
    cx: &mut StrategyCx<'_>,
    phase: &str,
    config: &TrainConfig,
    model: &mut Model,
    data: &Samples,
    hooks: &mut [&mut dyn TrainHook],
) -> Result<History> {
    if config.batch > data.len() {
        let (batch, samples) = (config.batch, data.len());
        let problem = format!("a batch of {batch} is larger than the {samples} samples it trains on; lower `batch`");
        return Err(Error::config(format!("phase `{phase}`"), problem));
    }
    let trainer = config.build(Seed(cx.seed.key(phase, 0)))?;
    cx.watch.train(phase, &trainer, model, data, hooks)
}

/// Checks the settings of a phase.
pub(super) fn check(config: &TrainConfig) -> Result<()> {
    config.build(Seed(0))?;
    Ok(())
}

/// Loss (that of `config`) and accuracy of `model` on `data`.
pub(super) fn measure(config: &TrainConfig, model: &Model, data: &Samples) -> Result<Metrics> {
    Ok(Evaluator::new(config.loss).run(model, data)?)
}
