//! Where the files of registered sets are, and whether they are the right ones.

use crate::{DataFile, DataOptions, DatasetEntry, Error, Result};
use sha2::{Digest, Sha256};
use spectral_core::registry;
use std::path::{Path, PathBuf};

/// A registered set and where it is.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The set.
    pub entry: &'static DatasetEntry,
    /// Where its files are.
    pub state: State,
}

/// Where the files of a set are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Part of the program.
    Embedded,
    /// All files are in this folder.
    Found(PathBuf),
    /// These files are in neither folder that was looked at.
    Missing(Vec<String>),
}

/// Every registered set, by name, and whether its files are at hand. Contents are checked when they are loaded.
///
/// # Errors
/// Two crates registered the same name.
pub fn list(options: &DataOptions) -> Result<Vec<Listing>> {
    let folder = options.folder();
    let entries = registry::all::<DatasetEntry>()?;
    Ok(entries.into_iter().map(|entry| Listing { entry, state: state(entry, folder.as_deref()) }).collect())
}

fn state(entry: &DatasetEntry, folder: Option<&Path>) -> State {
    if entry.files.is_empty() {
        return State::Embedded;
    }
    let mut missing = Vec::new();
    let mut found = None;
    for file in entry.files {
        match folder.and_then(|f| locate(entry.name, file.name, f).ok()) {
            Some(path) => found = path.parent().map(Path::to_path_buf),
            None => missing.push(file.name.to_owned()),
        }
    }
    match found {
        Some(folder) if missing.is_empty() => State::Found(folder),
        _ => State::Missing(missing),
    }
}

/// The file of a set in `folder/set` or in `folder`, plain or compressed.
pub(crate) fn locate(set: &str, file: &str, folder: &Path) -> Result<PathBuf> {
    let folders = [folder.join(set), folder.to_path_buf()];
    let mut paths = folders.iter().flat_map(|f| [f.join(format!("{file}.gz")), f.join(file)]);
    let missing = || Error::Missing { name: set.into(), file: file.into(), dir: folder.into() };
    paths.find(|p| p.is_file()).ok_or_else(missing)
}

/// Checks the decompressed contents of a file; `path` is where they came from.
pub(crate) fn verify(set: &str, file: &DataFile, contents: &[u8], path: &Path) -> Result<()> {
    let hash = sha256(contents);
    if hash == file.content_sha256 {
        return Ok(());
    }
    let known = registry::all::<DatasetEntry>()?;
    let named = known.iter().flat_map(|e| e.files.iter().map(move |f| (e.name, f)));
    let found = match { named }.find(|(_, f)| f.content_sha256 == hash) {
        Some((other, f)) => describe(other, f),
        None => format!("contents that are not the published ones (SHA-256 {hash})"),
    };
    Err(Error::Checksum { path: path.into(), expected: describe(set, file), found })
}

fn describe(set: &str, file: &DataFile) -> String {
    format!("`{}` of `{set}`", file.name)
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_is_where() {
        let folder = tempfile::tempdir().unwrap();
        let options = DataOptions { dir: Some(folder.path().into()), ..Default::default() };
        let find = |name: &str| list(&options).unwrap().into_iter().find(|l| l.entry.name == name).unwrap().state;
        let names: Vec<&str> = list(&options).unwrap().iter().map(|l| l.entry.name).collect();
        assert!(
            names.is_sorted() && ["digits", "fashion-mnist", "mnist"].iter().all(|n| names.contains(n)),
            "{names:?}"
        );
        assert_eq!(find("digits"), State::Embedded);
        assert!(matches!(find("mnist"), State::Missing(files) if files.len() == 4));
        let own = folder.path().join("mnist");
        std::fs::create_dir(&own).unwrap();
        for file in ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz"] {
            std::fs::write(own.join(file), "").unwrap();
        }
        assert_eq!(find("mnist"), State::Missing(vec!["t10k-labels-idx1-ubyte".into()]));
        std::fs::write(own.join("t10k-labels-idx1-ubyte.gz"), "").unwrap();
        assert_eq!(find("mnist"), State::Found(own));
        assert!(matches!(find("fashion-mnist"), State::Missing(_)));
    }

    #[test]
    fn hashes_are_the_standard_ones() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
