//! Files and folders that a verb writes.

use crate::{Failure, Result};
use std::path::Path;

/// Makes the folder `out` and fails now if it cannot be written to.
pub fn prepare_folder(out: &Path) -> Result<()> {
    if out.exists() && !out.is_dir() {
        return Err(Failure::input(format!("--out {} is a file; name a folder", out.display())));
    }
    std::fs::create_dir_all(out).map_err(|e| Failure::writing(out, e))?;
    tempfile::Builder::new().prefix(".probe").tempfile_in(out).map_err(|e| Failure::writing(out, e))?;
    Ok(())
}

/// Fails if the file `path` cannot be written, before hours of work go into it.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Failure::input(format!("--out {} is a folder; name a file in it", path.display())));
    }
    spectral_core::check_writable(path).map_err(|e| Failure::writing(path, e))
}

/// Writes a text file: a reader sees the old file or the new one, whole. See [`spectral_core::write_file`].
pub fn write(path: &Path, text: &str) -> Result<()> {
    spectral_core::write_file(path, |to| to.write_all(text.as_bytes())).map_err(|e| Failure::writing(path, e))
}
