//! Data sets by name.

use crate::{DataOptions, Dataset, Result};
use spectral_core::registry::Registered;

/// A data set that a crate registered; see [`register_dataset!`](crate::register_dataset).
#[derive(Debug)]
pub struct DatasetEntry {
    /// The name it is asked for by; also the folder its files are looked for in.
    pub name: &'static str,
    /// One line that says what it is.
    pub summary: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// Values per sample.
    pub features: usize,
    /// Loads it.
    pub load: fn(&DataOptions) -> Result<Dataset>,
    /// The files it consists of; none if it is part of the program.
    pub files: &'static [DataFile],
    /// Where [`fetch`](crate::fetch) gets the files, ending in `/`, best first.
    pub mirrors: &'static [&'static str],
}

/// A file of a data set, as its authors publish it: compressed with gzip.
#[derive(Debug)]
pub struct DataFile {
    /// Its name without `.gz`.
    pub name: &'static str,
    /// Length of the compressed file.
    pub bytes: u64,
    /// SHA-256 of the compressed file, in hexadecimal.
    pub sha256: &'static str,
    /// SHA-256 of what is inside, in hexadecimal.
    pub content_sha256: &'static str,
}

spectral_core::registry::inventory::collect!(DatasetEntry);

impl Registered for DatasetEntry {
    const WHAT: &'static str = "data set";
    fn name(&self) -> &'static str {
        self.name
    }
    fn summary(&self) -> &'static str {
        self.summary
    }
}

/// Registers a data set: `register_dataset!(DatasetEntry { name: "mine", .. });`
#[macro_export]
macro_rules! register_dataset {
    ($entry:expr) => {
        $crate::inventory::submit! { $entry }
    };
}
