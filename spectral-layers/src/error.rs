//! The one error type of this crate.

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a network is put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The description of a network has mistakes; all that were found.
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
    /// What kind of thing went wrong.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Network { .. } => spectral_core::Class::Input,
            Self::Core(e) => e.class(),
        }
    }
}
