//! The handle that models hold.

use crate::device::call::Call;
use crate::device::pool::Pool;
use crate::memory::Masks;
use crate::{Device, Source};
use spectral_core::{Backend, DType};
use std::sync::Arc;

/// A device as a [`Backend`]. Cloning shares it.
///
/// Determinism class: bitwise; no kernel adds in an order that depends on timing.
#[derive(Debug)]
pub struct Cuda<D: Device>(Arc<Inner<D>>);

#[derive(Debug)]
struct Inner<D: Device> {
    // Before the pool, because they are given back to it.
    masks: Masks<D>,
    pool: Arc<Pool<D>>,
}

impl<D: Device> Clone for Cuda<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Device> Cuda<D> {
    /// The backend that runs on `device`.
    pub fn on(device: D) -> Self {
        Self(Arc::new(Inner { masks: Masks::default(), pool: Pool::new(device) }))
    }

    pub(crate) fn pool(&self) -> &Arc<Pool<D>> {
        &self.0.pool
    }

    pub(crate) fn masks(&self) -> &Masks<D> {
        &self.0.masks
    }

    pub(crate) fn call(&self, source: Source, name: &'static str, dtype: DType) -> Call<'_, D> {
        Call::new(self.pool(), source, name, dtype)
    }
}

impl<D: Device> Backend for Cuda<D> {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn describe(&self) -> String {
        self.pool().device.describe()
    }
}
