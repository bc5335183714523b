//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in writing and reading model files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model in the file cannot be built, or the device failed.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
    /// The system refused to read.
    #[error("{path}: cannot be read: {source}; check that the file is there and that you may read it")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused to write. Nothing was left behind; a file that was there before is as it was.
    #[error(
        "{path}: cannot be written: {source}; check that the folder exists, that you may write there and that the disk \
         is not full"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("is not a {kind} file: it does not start with `{start}`")]
    Magic {
        /// What was looked for: `model`, `delta`.
        kind: &'static str,
        /// The first bytes of such a file.
        start: String,
    },
    /// A delta was applied to another model than the one it was made from.
    #[error("is a delta on the model with content hash {expected}, this one has {found}; apply it to that model")]
    Base {
        /// Content hash of the model it was made from.
        expected: String,
        /// Content hash of the model that was given.
        found: String,
    },
    /// The file was written by a newer version of this program.
    #[error("has format version {found}, this program reads up to {newest}; use a newer version of it")]
    Newer {
        /// The version in the file.
        found: u16,
        /// The newest version known here.
        newest: u16,
    },
    /// The file does not say what a model file must say.
    #[error("{part} is damaged: {problem}; take another copy of the file")]
    Damaged {
        /// Which part: `the header`, a parameter's name.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model cannot be written in this format.
    #[error("the model cannot be saved: {0}")]
    Unsupported(String),
    /// Any of the above about a file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
}

impl Error {
    /// What kind of thing went wrong.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Core(e) => e.class(),
            Self::Read { .. } | Self::Write { .. } | Self::Damaged { .. } => spectral_core::Class::Files,
            Self::Magic { .. } | Self::Base { .. } | Self::Newer { .. } | Self::Unsupported(_) => {
                spectral_core::Class::Input
            }
            Self::File { source, .. } => source.class(),
        }
    }

    /// An [`Error::Damaged`].
    pub(crate) fn damaged(part: impl Into<String>, problem: impl Into<String>) -> Self {
        let plain = |text: String| spectral_core::plain(&text).into_owned();
        Self::Damaged { part: plain(part.into()), problem: plain(problem.into()) }
    }

    /// Says which file the error is about, unless it does already.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Read { .. } | Self::Write { .. } | Self::File { .. } => self,
            other => Self::File { path: path.into(), source: Box::new(other) },
        }
    }
}
