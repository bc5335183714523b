//! `setup torch`: from the wheels of PyTorch, only what a program linked to libtorch needs.

use super::wheels;
use crate::backends::libtorch;
use crate::output::Answer;
use crate::{Failure, Result, files};
use std::fs;
use std::path::Path;

/// The libtorch that the `tch` of this workspace goes with.
const VERSION: &str = "2.11.0";

/// What `torch-sys` reads the version from.
const VERSION_FILE: &str = "build-version";

/// The wheels: torch, and two small libraries that its CPU part is linked to.
const WHEELS: [&str; 3] = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// What is unpacked: headers, and the libraries without CUDA. Side by side, so that the libraries find each other.
const KEPT: [&str; 6] = [
    "torch/include",
    "torch/lib/libc10.so",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
];

/// Puts libtorch where builds look for it; where there is one, says so.
pub(super) fn setup() -> Result<Answer> {
    let torch = std::path::absolute(libtorch()).map_err(|e| Failure::reading(&libtorch(), e))?;
    if torch.join("lib").is_dir() {
        let version = fs::read_to_string(torch.join(VERSION_FILE)).unwrap_or_default();
        return Ok(answer(&torch, format!("libtorch {} is in {} already", version.trim(), torch.display())));
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Failure::input(format!(
            "setup torch knows Linux on x86-64 only; set LIBTORCH to the folder of a libtorch {VERSION}"
        )));
    }
    let folder = torch.parent().unwrap_or(Path::new(".")).to_path_buf();
    fs::create_dir_all(&folder).map_err(|e| Failure::writing(&folder, e))?;
    let work = tempfile::Builder::new().prefix(".setup").tempdir_in(&folder);
    let work = work.map_err(|e| Failure::writing(&folder, e))?;
    let new = work.path().join("new");
    let instead = format!("set LIBTORCH to the folder of a libtorch {VERSION}");
    wheels::fetch(&WHEELS, &KEPT, work.path(), &new, &instead)?;
    let from = new.join("torch");
    // A script for the linker: torch-sys asks for libtorch, the CPU part of which is another file.
    files::write(&from.join("lib/libtorch.so"), "INPUT(-ltorch_cpu)\n")?;
    files::write(&from.join(VERSION_FILE), &format!("{VERSION}+cu130\n"))?;
    // The libraries of torch look for the others beside its folder; torch last, because its presence means done.
    for (from, to) in [(new.join("nvidia"), folder.join("nvidia")), (from, torch.clone())] {
        let _ = fs::remove_dir_all(&to);
        fs::rename(&from, &to).map_err(|e| Failure::writing(&to, e))?;
    }
    Ok(answer(&torch, format!("libtorch {VERSION} is in {}; now `--backend torch`", torch.display())))
}

fn answer(torch: &Path, text: String) -> Answer {
    Answer { text, json: serde_json::json!({ "libtorch": torch.display().to_string() }) }
}
