//! The one error type of this crate.

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a network is built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The description of a network has mistakes; all of them are listed.
    #[error("network: {}", problems.join("; "))]
    Network {
        /// One sentence for each mistake, in the order of the description.
        problems: Vec<String>,
    },
    /// A layer, the graph, or the backend refused.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
}

impl Error {
    /// The kind of the error.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Network { .. } => spectral_core::Class::Input,
            Self::Core(e) => e.class(),
        }
    }
}
