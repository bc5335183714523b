//! The handle that models hold.

use crate::masks::Masks;
use spectral_core::backend::{Determinism, Family};
use spectral_core::registry::inventory;
use spectral_core::{Backend, BackendEntry, BackendOptions, Error, Result};
use std::sync::Arc;
use tch::{Device, TchError};

/// The name of the backend on the CPU.
const CPU: &str = "torch";

/// Its name on a GPU.
const CUDA: &str = "torch-cuda";

/// libtorch on one device as a [`Backend`]. Cloning shares what it keeps.
#[derive(Debug, Clone)]
pub struct Torch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    device: Device,
    masks: Masks,
}

impl Torch {
    /// libtorch on the CPU.
    ///
    /// The number of threads is one for the whole process, because libtorch has one pool: the last that opens decides.
    ///
    /// # Errors
    /// `threads` is 0.
    pub fn new(options: &BackendOptions) -> Result<Self> {
        Self::on(Device::Cpu, options)
    }

    /// libtorch on the first GPU. Not tried on one yet.
    ///
    /// # Errors
    /// `threads` is 0, libtorch came without CUDA, or there is no GPU.
    pub fn cuda(options: &BackendOptions) -> Result<Self> {
        if !tch::Cuda::is_available() {
            let problem = "libtorch sees no GPU: there is none, or it came without CUDA (as `setup torch` brings it); \
                           set LIBTORCH to the folder of one with CUDA";
            return Err(failed(Device::Cuda(0), problem));
        }
        Self::on(Device::Cuda(0), options)
    }

    fn on(device: Device, options: &BackendOptions) -> Result<Self> {
        if let Some(threads) = options.threads {
            let threads = i32::try_from(threads).ok().filter(|t| *t > 0);
            tch::set_num_threads(threads.ok_or_else(|| failed(device, "the number of threads must be at least 1"))?);
        }
        Ok(Self(Arc::new(Inner { device, masks: Masks::default() })))
    }

    pub(crate) fn device(&self) -> Device {
        self.0.device
    }

    /// Runs operators of libtorch; what they complain about becomes an error of this backend.
    pub(crate) fn call<T>(&self, work: impl FnOnce() -> Result<T, TchError>) -> Result<T> {
        call(self.device(), work)
    }

    pub(crate) fn masks(&self) -> &Masks {
        &self.0.masks
    }
}

impl Backend for Torch {
    fn name(&self) -> &'static str {
        name(self.device())
    }

    fn describe(&self) -> String {
        let threads = tch::get_num_threads();
        match self.device() {
            Device::Cpu => format!("libtorch 2.11 on the CPU, {threads} thread{}", if threads == 1 { "" } else { "s" }),
            _ => "libtorch 2.11 on the first GPU".into(),
        }
    }

    fn determinism(&self, family: Family) -> Determinism {
        match family {
            Family::Memory | Family::Update => Determinism::AnyThreads,
            _ => Determinism::SameThreads,
        }
    }
}

inventory::submit! {
    BackendEntry {
        name: CPU,
        summary: "libtorch on the CPU",
        open: |options| Ok(Arc::new(Torch::new(options)?)),
    }
}

inventory::submit! {
    BackendEntry {
        name: CUDA,
        summary: "libtorch on an NVIDIA GPU",
        open: |options| Ok(Arc::new(Torch::cuda(options)?)),
    }
}

/// The name of the backend on `device`.
fn name(device: Device) -> &'static str {
    match device {
        Device::Cpu => CPU,
        _ => CUDA,
    }
}

/// Runs operators of libtorch on `device`; what they complain about becomes an error of the backend there.
pub(crate) fn call<T>(device: Device, work: impl FnOnce() -> Result<T, TchError>) -> Result<T> {
    // The first line says it; what follows is a trace through libtorch.
    work().map_err(|e| failed(device, e.to_string().lines().next().unwrap_or_default()))
}

/// A failure of the backend on `device`.
pub(crate) fn failed(device: Device, problem: impl Into<String>) -> Error {
    Error::Backend { backend: name(device).into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_backend_in_use() {
        for (device, said) in [(Device::Cpu, "`torch`"), (Device::Cuda(0), "`torch-cuda`")] {
            let problem = call(device, || Err::<(), _>(TchError::Torch("no memory\nframe #0".into()))).unwrap_err();
            assert!(problem.to_string().contains(said), "{problem}");
            let refused = Torch::on(device, &BackendOptions { threads: Some(0) }).unwrap_err();
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }
}
