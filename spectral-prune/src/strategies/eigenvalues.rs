//! Training eigenvalues alone: the phase that spectral pre-training and distillation begin with.

use super::phase;
use crate::Error;
use crate::weighted::weighted_layers;
use spectral_core::{Model, ParamId, Result, Seed, StrategyCx, Trainable};
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
    let was = WasTrainable::freeze_bases(model)?;
    if restart {
        model.redraw(Seed(cx.seed.key("restart", 0)))?;
    }
    let data = cx.train;
    phase::train(cx, "train eigenvalues", config, model, data, &mut [])?;
    Ok(was)
}

/// What was trainable of the parameters that were frozen or thawed.
#[derive(Debug)]
pub(super) struct WasTrainable(Vec<(ParamId, Trainable)>);

impl WasTrainable {
    fn freeze_bases(model: &mut Model) -> Result<Self> {
        let layers = weighted_layers(model);
        let frozen: Vec<ParamId> = model.params().iter().filter(|(_, p)| !p.is_trainable()).map(|(id, _)| id).collect();
        let mut spectral = layers.iter().filter_map(|l| Some((l.matrix, l.eigenvalues?[1]))).peekable();
        if spectral.peek().is_none() {
            let problem = "no layer has eigenvalues to train; build the network of spectral layers";
            return Err(Error::Config(problem.into()).into());
        }
        let (params, _) = model.params_mut();
        let mut was = Vec::new();
        let mut set = |id, trainable| {
            was.push((id, params.get(id).trainable.clone()));
            params.set_trainable(id, trainable)
        };
        for (basis, outer) in spectral {
            set(basis, Trainable::None)?;
            if frozen.contains(&outer) {
                set(outer, Trainable::All)?;
            }
        }
        Ok(Self(was))
    }

    /// Puts back what was trainable, as far as it was changed here.
    pub(super) fn restore(self, model: &mut Model) -> Result<()> {
        let (params, _) = model.params_mut();
        self.0.into_iter().try_for_each(|(id, trainable)| params.set_trainable(id, trainable))
    }
}
