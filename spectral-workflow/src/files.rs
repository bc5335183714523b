//! Files and folders that a verb writes.

use crate::{Failure, Result};
use std::path::Path;

/// Makes the folder `out` and fails now if it cannot be written to.
pub fn prepare_folder(out: &Path) -> Result<()> {
    if out.exists() && !out.is_dir() {
        return Err(Failure::input(format!("--out {} is a file; name a folder", out.display())));
    }
    std::fs::create_dir_all(out).map_err(|e| Failure::writing(out, e))?;
    probe(out)
}

/// Fails if the file `path` cannot be written, before hours of work go into it.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Failure::input(format!("--out {} is a folder; name a file in it", path.display())));
    }
    probe(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Writes a text file atomically: a reader sees the old file or the new one, whole.
pub fn write(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| Failure::writing(path, e))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|e| Failure::writing(path, e))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(readable).map_err(|e| Failure::writing(path, e))?;
    }
    file.persist(path).map_err(|e| Failure::writing(path, e.error))?;
    Ok(())
}

/// Writes a file into `folder` and removes it again.
fn probe(folder: &Path) -> Result<()> {
    tempfile::Builder::new().prefix(".probe").tempfile_in(folder).map_err(|e| Failure::writing(folder, e))?;
    Ok(())
}
