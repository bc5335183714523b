//! `setup torch`: from the wheels of PyTorch, only what a program linked to libtorch needs.

use super::execute;
use crate::backends::libtorch;
use crate::output::{Answer, note};
use crate::{Failure, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

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
    for wheel in download(work.path())? {
        unpack(&wheel, &new)?;
    }
    let from = new.join("torch");
    // A script for the linker: torch-sys asks for libtorch, the CPU part of which is another file.
    write(&from.join("lib/libtorch.so"), "INPUT(-ltorch_cpu)\n")?;
    write(&from.join(VERSION_FILE), &format!("{VERSION}+cu130\n"))?;
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

/// Downloads the wheels with a pip of its own into `folder`; their paths.
fn download(folder: &Path) -> Result<Vec<PathBuf>> {
    let (python, wheels) = (folder.join("python"), folder.join("wheels"));
    note("making a Python environment for the download");
    execute(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    note(format!("downloading {} (540 MB)", WHEELS.join(", ")));
    let mut pip = Command::new(python.join("bin/python"));
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    // The libraries are the same in the wheels for all versions of Python.
    pip.args(["--python-version", "3.11", "--dest"]).arg(&wheels).args(WHEELS);
    execute(&mut pip).map_err(|_| {
        let else_ = format!("set LIBTORCH to the folder of a libtorch {VERSION}");
        Failure::Check(format!("the download failed, for the reason above; check the network, or {else_}"))
    })?;
    let files = fs::read_dir(&wheels).map_err(|e| Failure::reading(&wheels, e))?;
    Ok(files.flatten().map(|file| file.path()).collect())
}

/// Unpacks what is kept of a wheel.
fn unpack(wheel: &Path, to: &Path) -> Result<()> {
    note(format!("unpacking {}", wheel.file_name().unwrap_or_default().to_string_lossy()));
    let broken = |e: zip::result::ZipError| Failure::Check(format!("{}: {e}; try again", wheel.display()));
    let file = File::open(wheel).map_err(|e| Failure::reading(wheel, e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let kept = |path: &PathBuf| KEPT.iter().any(|kept| path.starts_with(kept));
        let Some(path) = entry.enclosed_name().filter(kept).filter(|_| entry.is_file()) else { continue };
        let path = to.join(path);
        let parent = path.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(|e| Failure::writing(parent, e))?;
        let mut file = File::create(&path).map_err(|e| Failure::writing(&path, e))?;
        std::io::copy(&mut entry, &mut file).map_err(|e| Failure::writing(&path, e))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| Failure::writing(path, e))
}
