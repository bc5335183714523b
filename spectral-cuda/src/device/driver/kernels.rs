//! Kernels compiled by NVRTC when they are first needed.

use super::{driver, failed, libraries};
use crate::{Kernel, Source};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use spectral_core::{DType, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// Compiles a file of kernels to PTX for `architecture`, for example `compute_90`. Needs neither driver nor GPU.
///
/// # Errors
/// NVRTC is missing, or the compiler refuses the text; then with its log.
pub fn compile(source: Source, dtype: DType, architecture: &str) -> Result<String> {
    libraries::nvrtc()?;
    ptx(source, dtype, architecture).map(|ptx| ptx.to_src())
}

fn ptx(source: Source, dtype: DType, architecture: &str) -> Result<Ptx> {
    let options = CompileOptions {
        name: Some(format!("{}.cu", source.name())),
        options: vec![format!("--gpu-architecture={architecture}"), "--std=c++17".into()],
        ..CompileOptions::default()
    };
    compile_ptx_with_opts(source.text(dtype), options).map_err(|e| match e {
        CompileError::CompileError { log, .. } => {
            failed(format!("{}.cu for {architecture}:\n{}", source.name(), log.to_string_lossy()))
        }
        other => failed(format!("NVRTC: {other:?}")),
    })
}

/// The kernels of one GPU.
pub(super) struct Kernels {
    context: Arc<CudaContext>,
    architecture: String,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    files: HashMap<(Source, DType), Arc<CudaModule>>,
    kernels: HashMap<Kernel, CudaFunction>,
}

impl Kernels {
    pub(super) fn new(context: Arc<CudaContext>, architecture: String) -> Self {
        Self { context, architecture, loaded: Mutex::default() }
    }

    /// The kernel; the first of its file compiles that.
    pub(super) fn get(&self, kernel: Kernel) -> Result<CudaFunction> {
        let mut guard = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = &mut *guard;
        if let Some(function) = loaded.kernels.get(&kernel) {
            return Ok(function.clone());
        }
        let module = match loaded.files.entry((kernel.source, kernel.dtype)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let ptx = ptx(kernel.source, kernel.dtype, &self.architecture)?;
                new.insert(self.context.load_module(ptx).map_err(|e| driver(kernel.source.name(), e))?)
            }
        };
        let function = module.load_function(kernel.name).map_err(|e| driver(kernel.name, e))?;
        loaded.kernels.insert(kernel, function.clone());
        Ok(function)
    }
}
