//! Masks as libtorch sees them.

use crate::storage::Shared;
use crate::torch::call;
use spectral_core::{Mask, Result};
use std::sync::{Mutex, PoisonError};
use tch::Device;

/// How many masks are kept: a network has one or two for each parameter.
const KEPT: usize = 64;

/// Masks that were used lately, as tensors of truth values, so that a training step moves none to the device.
#[derive(Debug, Default)]
pub(crate) struct Masks(Mutex<Vec<(Mask, Shared)>>);

impl Masks {
    /// `mask` as a tensor in a row.
    pub(crate) fn on(&self, device: Device, mask: &Mask) -> Result<tch::Tensor> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(known, _)| known == mask) {
            let found = kept.remove(at);
            let handle = found.1.handle();
            kept.push(found);
            return Ok(handle);
        }
        let mut bits = vec![false; mask.len()];
        mask.iter().for_each(|i| bits[i] = true);
        let made = call(device, || tch::Tensor::f_from_slice(&bits)?.f_to(device))?;
        if kept.len() == KEPT {
            // The one that was not asked for the longest.
            kept.remove(0);
        }
        kept.push((mask.clone(), Shared::new(made.shallow_clone())));
        Ok(made)
    }
}
