//! The libraries of CUDA, none of which is there when the backend is built.

use super::failed;
use cudarc::{cublaslt, driver, nvrtc};
use libloading::Library;
use spectral_core::Result;
use std::path::{Path, PathBuf};

/// Names a folder to look for libraries in before all others; cargo sets it to `.cuda` in the project.
const FOLDER: &str = "SPECTRAL_CUDA";

/// The CUDA version that kernels are compiled for, as the driver counts.
const VERSION: i32 = 13_000;

/// What is there besides what must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Libraries {
    pub(super) cublaslt: bool,
}

/// Looks for all libraries, so that no later call finds one missing, which would be a panic.
pub(super) fn find() -> Result<Libraries> {
    // SAFETY: loading a library runs its initialisers; these are NVIDIA's own.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(failed(
            "no NVIDIA driver: libcuda.so and libcuda.so.1 are not in the library path; install the driver, or use `cpu`",
        ));
    }
    let mut version = 0;
    // SAFETY: every driver has this function, and it may be called before all others.
    let found = unsafe { driver::sys::cuDriverGetVersion(&mut version) }.result();
    found.map_err(|e| super::driver("asking the driver for its version", e))?;
    if version < VERSION {
        let (major, minor) = (version / 1000, version % 1000 / 10);
        return Err(failed(format!("the driver knows CUDA up to {major}.{minor}, 13.0 is needed; update the driver")));
    }
    nvrtc()?;
    // SAFETY: as above.
    Ok(Libraries { cublaslt: unsafe { cublaslt::sys::is_culib_present() } })
}

/// Looks for what compiles kernels.
pub(super) fn nvrtc() -> Result<()> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    if let Some(folder) = &folder {
        preload(folder);
    }
    // SAFETY: as in `find`.
    if unsafe { nvrtc::sys::is_culib_present() } {
        return Ok(());
    }
    let own = folder.map_or_else(|| format!("{FOLDER} is not set"), |f| f.join("lib").display().to_string());
    Err(failed(format!(
        "no NVRTC, which compiles the kernels: libnvrtc.so.13 is neither in the library path nor in the project's folder \
         ({own}); run `cargo xtask setup cuda`"
    )))
}

/// Opens the libraries in a folder by their paths; what asks for them by name gets them from then on.
fn preload(folder: &Path) {
    let files = std::fs::read_dir(folder.join("lib")).into_iter().flatten().flatten();
    let files: Vec<PathBuf> = files.map(|f| f.path()).collect();
    // What others need first.
    for name in ["libnvrtc-builtins.so", "libnvrtc.so", "libcublasLt.so"] {
        let starts = |f: &&PathBuf| f.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name));
        for file in files.iter().filter(starts) {
            // SAFETY: as in `find`. A file that is no library is passed over, and missed where it is needed.
            if let Ok(library) = unsafe { Library::new(file) } {
                // It stays loaded as long as the process runs.
                std::mem::forget(library);
            }
        }
    }
}
