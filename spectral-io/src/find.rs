//! Finding a model by what it is, not by what its file is called.

use crate::{Error, Result, load, read_header};
use spectral_core::{BackendHandle, ContentHash, Reference};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What model files are called: `name.spectral`.
pub const EXTENSION: &str = "spectral";

/// The first file in `folder`, by name, that holds the model with this content hash.
///
/// Only headers are read until one matches; that file is then loaded and its hash computed from its contents. Files
/// that are damaged or no model files are passed over.
///
/// # Errors
/// The folder cannot be read.
pub fn find_by_hash(folder: impl AsRef<Path>, hash: ContentHash) -> Result<Option<PathBuf>> {
    let folder = folder.as_ref();
    let refused = |source| Error::Read { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(refused)?;
    let mut paths = entries.map(|e| Ok(e.map_err(refused)?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == EXTENSION));
    paths.sort();
    Ok(paths.into_iter().find(|path| holds(path, hash)))
}

fn holds(path: &Path, hash: ContentHash) -> bool {
    if !read_header(path).is_ok_and(|header| header.hash == hash) {
        return false;
    }
    let backend: BackendHandle = Arc::new(Reference);
    load(path, backend).is_ok_and(|model| model.content_hash().is_ok_and(|found| found == hash))
}
