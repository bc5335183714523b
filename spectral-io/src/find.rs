//! Finding a model by what it is, not by what its file is called.

use crate::container::Opened;
use crate::layout::MODEL;
use crate::source::Source;
use crate::{Error, Result, load, read_header, reader, v1};
use spectral_core::{BackendHandle, ContentHash, HashVersion, HistoryEntry, Reference};
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
    Ok(model_files(folder.as_ref())?.into_iter().find(|path| holds(path, hash)))
}

/// The file in `folder` that holds the model which step `entry` (from 0) of `history` started from.
///
/// Several files can hold the same content, a compact model and its conversion that found nothing to convert, say.
/// So the file whose own history is the steps before `entry` is taken; failing that, the first with the content.
///
/// # Errors
/// The folder cannot be read, or there is no such step.
pub fn find_parent(folder: impl AsRef<Path>, history: &[HistoryEntry], entry: usize) -> Result<Option<PathBuf>> {
    let Some(step) = history.get(entry) else {
        let problem = format!("there is no step {} in a history of {}", entry + 1, history.len());
        return Err(spectral_core::Error::Data(problem).into());
    };
    let files = model_files(folder.as_ref())?;
    let same_history = |path: &PathBuf| read_header(path).is_ok_and(|h| h.meta.history == history[..entry]);
    let exact = files.iter().find(|path| same_history(path) && holds(path, step.parent));
    Ok(exact.or_else(|| files.iter().find(|path| holds(path, step.parent))).cloned())
}

/// The files in `folder` that are called like model files, by name.
fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let refused = |source| Error::Read { path: folder.into(), source };
    let entries = std::fs::read_dir(folder).map_err(refused)?;
    let mut paths = entries.map(|e| Ok(e.map_err(refused)?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == EXTENSION));
    paths.sort();
    Ok(paths)
}

/// Whether the file holds the model with this hash, of whichever version the two are.
fn holds(path: &Path, hash: ContentHash) -> bool {
    let Ok(header) = read_header(path) else { return false };
    let alias = header.meta.alias.filter(|a| a.hash == header.hash).map(|a| a.version_1);
    // A hash of the same version decides at once; of another one, only the contents can.
    if header.hash.version() == hash.version() && header.hash != hash && alias != Some(hash) {
        return false;
    }
    let backend: BackendHandle = Arc::new(Reference);
    is_model(path, backend, hash).unwrap_or(false)
}

/// Whether the model in the file has this hash by its contents.
fn is_model(path: &Path, backend: BackendHandle, hash: ContentHash) -> Result<bool> {
    match hash.version() {
        HashVersion::V2 => Ok(load(path, backend)?.content_hash()? == hash),
        HashVersion::V1 => {
            let file = Opened::new(MODEL, Source::open(path)?)?;
            v1::holds(&reader::header(&file)?, &load(path, backend)?, hash)
        }
    }
}
