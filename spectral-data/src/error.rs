//! The one error type of this crate.

use crate::bounded::Refused;
use spectral_core::plain;
use std::path::{Path, PathBuf};

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in reading, splitting and fetching data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bad values, an unknown name, an impossible split.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
    /// A file could not be read or written.
    #[error("{path}: {source}; check that the file is there and that you may access it")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its format says it must be.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The folder with a set's files is not known.
    #[error(
        "data set `{name}`: no data folder is known; pass --data-dir DIR, set SPECTRAL_DATA=DIR, or download it with \
         `data fetch {name}`"
    )]
    NoFolder {
        /// The set.
        name: String,
    },
    /// A set's file is not in the data folder.
    #[error(
        "data set `{name}`: `{file}` is neither in {dir} nor in {dir}/{name}; point --data-dir or SPECTRAL_DATA at the \
         folder that has it, or download it with `data fetch {name}`"
    )]
    Missing {
        /// The set.
        name: String,
        /// The file, without `.gz`.
        file: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A known set's file holds something else.
    #[error("{path}: expected {expected}, found {found}; put the right file there or run `data fetch`")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Set and file that were meant.
        expected: String,
        /// What the contents are.
        found: String,
    },
    /// A download failed.
    #[error("{url}: {problem}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// What happened and what to do next.
        problem: String,
    },
}

impl Error {
    /// What kind of thing went wrong.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Core(e) => e.class(),
            Self::Io { .. } | Self::Fetch { .. } => spectral_core::Class::Files,
            Self::Format { .. } | Self::NoFolder { .. } | Self::Missing { .. } | Self::Checksum { .. } => {
                spectral_core::Class::Input
            }
        }
    }

    /// An [`Error::Io`] about `path`, or an [`Error::Format`] if it is the contents that were refused.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| match source.get_ref().and_then(|e| e.downcast_ref::<Refused>()) {
            Some(refused) => Self::format(path, refused.to_string()),
            None => Self::Io { path: path.into(), source },
        }
    }

    /// An [`Error::Format`] about `path`.
    pub(crate) fn format(path: &Path, problem: impl Into<String>) -> Self {
        Self::Format { path: path.into(), problem: plain(&problem.into()).into_owned() }
    }
}
