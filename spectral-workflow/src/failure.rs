//! What ends a verb early, and the exit code it ends with.

use spectral_core::Class;
use std::path::{Path, PathBuf};

/// Result with [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a verb did not succeed. Its text is one sentence for standard error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line, a recipe or a file is not usable as it is.
    #[error("{0}")]
    Input(String),
    /// A check or a run did not hold.
    #[error("{0}")]
    Check(String),
    /// A file could not be read or written.
    #[error("{}: {source}; {advice}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// What to do next.
        advice: &'static str,
    },
    /// From spectral-core.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
    /// From spectral-data.
    #[error(transparent)]
    Data(#[from] spectral_data::Error),
    /// From spectral-io.
    #[error(transparent)]
    Io(#[from] spectral_io::Error),
    /// From spectral-layers.
    #[error(transparent)]
    Layers(#[from] spectral_layers::Error),
    /// From spectral-train.
    #[error(transparent)]
    Train(#[from] spectral_train::Error),
    /// From spectral-prune.
    #[error(transparent)]
    Prune(#[from] spectral_prune::Error),
    /// From spectral-sparse.
    #[error(transparent)]
    Sparse(#[from] spectral_sparse::Error),
}

impl Failure {
    /// A problem with what the user gave.
    pub fn input(problem: impl Into<String>) -> Self {
        Self::Input(problem.into())
    }

    /// A file that could not be read.
    pub fn reading(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source, advice: "check the path and its permissions" }
    }

    /// A file that could not be written.
    pub fn writing(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source, advice: "check free space and permissions, or choose another --out" }
    }

    /// Standard output could not be written to.
    pub(crate) fn printing(source: std::io::Error) -> Self {
        Self::File { path: "standard output".into(), source, advice: "check free space where it is redirected to" }
    }

    /// What kind of thing went wrong.
    pub fn class(&self) -> Class {
        match self {
            Self::Input(_) => Class::Input,
            Self::Check(_) => Class::Missed,
            Self::File { .. } => Class::Files,
            Self::Core(e) => e.class(),
            Self::Data(e) => e.class(),
            Self::Io(e) => e.class(),
            Self::Layers(e) => e.class(),
            Self::Train(e) => e.class(),
            Self::Prune(e) => e.class(),
            Self::Sparse(e) => e.class(),
        }
    }

    /// 2 for what the user can mend by asking differently, 1 for a check or a run that failed.
    pub fn exit_code(&self) -> u8 {
        self.class().exit_code()
    }
}
