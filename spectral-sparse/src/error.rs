//! The one error type of this crate.

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in conversions and measurements.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the core: a shape, a device, a graph.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
    /// A matrix cannot be converted to, or is not made of, valid compressed rows.
    #[error("sparse matrix {rows}x{columns}: {problem}")]
    Matrix {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A plan was made for another network.
    #[error(
        "the plan names layer `{layer}`, which this network does not have (weighted layers: {known}); measure anew"
    )]
    Plan {
        /// The layer that does not exist.
        layer: String,
        /// The weighted layers of this network.
        known: String,
    },
    /// A measurement that cannot be made was requested.
    #[error("measurement: {0}")]
    Measure(String),
}

impl Error {
    /// The kind of the error.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Core(e) => e.class(),
            Self::Matrix { .. } | Self::Plan { .. } | Self::Measure(_) => spectral_core::Class::Input,
        }
    }
}

impl From<Error> for spectral_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(core) => core,
            other => Self::Plugin { what: "sparse layers".into(), class: other.class(), source: Box::new(other) },
        }
    }
}
