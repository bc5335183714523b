//! Early stopping, and the parameters worth keeping.

use super::Keep;
use crate::Result;
use serde::{Deserialize, Serialize};
use spectral_core::{Model, State, StateTensor, Tensor};

/// What is written down of a [`Best`] besides its tensors.
#[derive(Serialize, Deserialize)]
struct Fields {
    loss: u64,
    same_masks: bool,
    epoch: Option<usize>,
    waited: usize,
}

/// Watches the loss from epoch to epoch.
#[derive(Debug)]
pub(super) struct Best {
    keep: Keep,
    min_delta: f64,
    loss: f64,
    mask_version: u64,
    /// The epoch with the lowest loss, from 1.
    pub(super) epoch: Option<usize>,
    /// Epochs since then.
    pub(super) waited: usize,
    values: Vec<Tensor>,
}

impl Best {
    pub(super) fn new(keep: Keep, min_delta: f64) -> Self {
        Self { keep, min_delta, loss: f64::INFINITY, mask_version: 0, epoch: None, waited: 0, values: Vec::new() }
    }

    /// Takes note of epoch `epoch`, and of the parameters if it is the best since the masks last changed.
    pub(super) fn see(&mut self, model: &Model, epoch: usize, loss: f64) -> Result<()> {
        let version = model.params().mask_version();
        if version != self.mask_version {
            (self.mask_version, self.loss, self.epoch) = (version, f64::INFINITY, None);
        }
        if self.epoch.is_some() && loss >= self.loss - self.min_delta {
            self.waited += 1;
            return Ok(());
        }
        (self.loss, self.epoch, self.waited) = (loss, Some(epoch), 0);
        if self.keep == Keep::Best {
            self.snapshot(model)?;
        }
        Ok(())
    }

    /// All of it except the settings.
    pub(super) fn save(&self, model: &Model) -> Result<State> {
        let fields = Fields {
            // As bits, because a loss may be infinite, which JSON cannot say.
            loss: self.loss.to_bits(),
            same_masks: self.mask_version == model.params().mask_version(),
            epoch: self.epoch,
            waited: self.waited,
        };
        let tensors = self.values.iter().map(|t| StateTensor::save(&**model.backend(), t)).collect::<Result<_, _>>()?;
        Ok(State { tensors, ..State::of(&fields)? })
    }

    pub(super) fn load(&mut self, model: &Model, state: &State) -> Result<()> {
        let Fields { loss, same_masks, epoch, waited } = state.read("the best epoch")?;
        (self.loss, self.epoch, self.waited) = (f64::from_bits(loss), epoch, waited);
        // A model that was loaded counts its versions from the start.
        self.mask_version = if same_masks { model.params().mask_version() } else { u64::MAX };
        self.values = state.tensors.iter().map(|t| t.load(&**model.backend())).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn snapshot(&mut self, model: &Model) -> Result<()> {
        let params = model.params();
        let fits = |(p, t): (&spectral_core::Param, &Tensor)| p.value().shape() == t.shape();
        if self.values.len() == params.len() && params.iter().map(|(_, p)| p).zip(&self.values).all(fits) {
            for ((_, param), kept) in params.iter().zip(&mut self.values) {
                model.backend().copy(param.value(), kept)?;
            }
        } else {
            self.values = params.iter().map(|(_, p)| p.value().duplicate()).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// Puts the best parameters back, and says of which epoch they are.
    ///
    /// `None` where the last ones stay, because they are to, or because masks changed after the last epoch seen.
    pub(super) fn restore(&self, model: &mut Model) -> Result<Option<usize>> {
        if self.keep == Keep::Last || self.epoch.is_none() || model.params().mask_version() != self.mask_version {
            return Ok(None);
        }
        let (params, backend) = model.params_mut();
        let ids: Vec<_> = params.iter().map(|(id, _)| id).collect();
        for (id, kept) in ids.into_iter().zip(&self.values) {
            params.edit(backend, id, |value| backend.copy(kept, value))?;
        }
        Ok(self.epoch)
    }
}
