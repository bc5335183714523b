//! Training eigenvalues alone: the phase that spectral pre-training and distillation begin with.

use super::phase;
use crate::weighted::weighted_layers;
use crate::{Error, WasTrainable};
use spectral_core::{Model, Result, Seed, StrategyCx, Trainable};
use spectral_train::TrainConfig;

/// Draws `model` anew if asked to, and trains it with every eigenvector basis frozen. Eigenvalues of outputs train,
/// also where the layer says otherwise; all else that may train does.
///
/// Returns what was trainable before; until that is restored the bases stay frozen.
pub(super) fn train(
    cx: &mut StrategyCx<'_>,
    config: &TrainConfig,
    model: &mut Model,
    restart: bool,
) -> Result<WasTrainable> {
    let was = WasTrainable::of(model);
    freeze_bases(model)?;
    if restart {
        model.redraw(Seed(cx.seed.key("restart", 0)))?;
    }
    let data = phase::Data::of(cx);
    phase::train(cx, "train eigenvalues", config, model, data, &mut [])?;
    Ok(was)
}

fn freeze_bases(model: &mut Model) -> Result<()> {
    let layers = weighted_layers(model);
    let mut spectral = layers.iter().filter_map(|l| Some((l.matrix, l.eigenvalues?[1]))).peekable();
    if spectral.peek().is_none() {
        let problem = "no layer has eigenvalues to train; build the network of spectral layers";
        return Err(Error::Config(problem.into()).into());
    }
    let (params, _) = model.params_mut();
    for (basis, outer) in spectral {
        params.set_trainable(basis, Trainable::None)?;
        if !params.get(outer).is_trainable() {
            params.set_trainable(outer, Trainable::All)?;
        }
    }
    Ok(())
}
