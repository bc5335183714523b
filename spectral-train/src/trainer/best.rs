//! Early stopping, and the parameters worth keeping.

use super::Keep;
use crate::Result;
use spectral_core::{Model, Tensor};

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
