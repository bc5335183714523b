//! `setup cuda`: NVRTC, which compiles kernels and needs no GPU for that.

use super::wheels;
use crate::output::Answer;
use crate::{Failure, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The wheel, and what is unpacked of it.
const WHEELS: [&str; 1] = ["nvidia-cuda-nvrtc==13.0.88"];
const KEPT: [&str; 2] = ["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cu13/lib/libnvrtc-builtins.so.13.0"];

/// Puts NVRTC where the backend looks first; where there is one, says so.
pub(super) fn setup() -> Result<Answer> {
    let folder = std::env::var_os("SPECTRAL_CUDA").map_or_else(|| PathBuf::from(".cuda"), PathBuf::from);
    let lib = folder.join("lib");
    if lib.join("libnvrtc.so.13").exists() {
        return Ok(answer(&lib, format!("NVRTC is in {} already", lib.display())));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Failure::input("setup cuda knows Linux on x86-64 only; put NVRTC 13 into the library path"));
    }
    fs::create_dir_all(&lib).map_err(|e| Failure::writing(&lib, e))?;
    let work = tempfile::Builder::new().prefix(".setup").tempdir_in(&folder);
    let work = work.map_err(|e| Failure::writing(&folder, e))?;
    wheels::fetch(&WHEELS, &KEPT, work.path(), work.path(), "put NVRTC 13 into the library path")?;
    for kept in KEPT.map(Path::new) {
        let to = lib.join(kept.file_name().unwrap_or_default());
        fs::rename(work.path().join(kept), &to).map_err(|e| Failure::writing(&to, e))?;
    }
    Ok(answer(&lib, format!("NVRTC is in {}", lib.display())))
}

fn answer(lib: &Path, text: String) -> Answer {
    Answer { text, json: serde_json::json!({ "nvrtc": lib.display().to_string() }) }
}
