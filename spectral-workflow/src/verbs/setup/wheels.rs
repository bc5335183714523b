//! Libraries out of Python wheels, which hold them for every version of Python.

use crate::output::note;
use crate::process::execute;
use crate::{Failure, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What helps where there is no Python.
const PYTHON: &str = "install Python 3 with venv and pip";

/// Downloads wheels with a pip of its own into `work` and unpacks the files and folders in `kept` to `to`. If that
/// fails, `instead` says what else to do.
pub(super) fn fetch(wheels: &[&str], kept: &[&str], work: &Path, to: &Path, instead: &str) -> Result<()> {
    download(wheels, work, instead)?.iter().try_for_each(|wheel| unpack(wheel, kept, to))
}

/// The paths of the wheels.
fn download(wheels: &[&str], work: &Path, instead: &str) -> Result<Vec<PathBuf>> {
    let (python, folder) = (work.join("python"), work.join("wheels"));
    note("making a Python environment for the download");
    execute(Command::new("python3").args(["-m", "venv"]).arg(&python), PYTHON)?;
    note(format!("downloading {}", wheels.join(", ")));
    let mut pip = Command::new(python.join("bin/python"));
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    pip.args(["--python-version", "3.11", "--dest"]).arg(&folder).args(wheels);
    execute(&mut pip, PYTHON).map_err(|_| {
        Failure::Check(format!("the download failed, for the reason above; check the network, or {instead}"))
    })?;
    let files = fs::read_dir(&folder).map_err(|e| Failure::reading(&folder, e))?;
    Ok(files.flatten().map(|file| file.path()).collect())
}

/// Unpacks what is kept of a wheel.
fn unpack(wheel: &Path, kept: &[&str], to: &Path) -> Result<()> {
    note(format!("unpacking {}", wheel.file_name().unwrap_or_default().to_string_lossy()));
    let broken = |e: zip::result::ZipError| Failure::Check(format!("{}: {e}; try again", wheel.display()));
    let file = File::open(wheel).map_err(|e| Failure::reading(wheel, e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let kept = |path: &PathBuf| kept.iter().any(|kept| path.starts_with(kept));
        let Some(path) = entry.enclosed_name().filter(kept).filter(|_| entry.is_file()) else { continue };
        let path = to.join(path);
        let parent = path.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(|e| Failure::writing(parent, e))?;
        let mut file = File::create(&path).map_err(|e| Failure::writing(&path, e))?;
        std::io::copy(&mut entry, &mut file).map_err(|e| Failure::writing(&path, e))?;
    }
    Ok(())
}
