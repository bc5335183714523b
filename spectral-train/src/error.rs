//! The one error type of this crate.

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while a training run is set up or runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting has a value it cannot have.
    #[error("`{setting}` is {value}, but {requirement}")]
    Setting {
        /// The setting, as recipes call it.
        setting: &'static str,
        /// The value it was given.
        value: String,
        /// What would be right.
        requirement: &'static str,
    },
    /// Data and model are of different sizes.
    #[error("data set `{data}` has {got} {what}, the model {expected}; build the model for this data set")]
    Mismatch {
        /// The data set.
        data: String,
        /// `features` or `outputs`.
        what: &'static str,
        /// What the model has.
        expected: usize,
        /// What the data has.
        got: usize,
    },
    /// The loss does not fit the network's output.
    #[error("loss `{loss}`: {problem}")]
    Loss {
        /// The loss, as recipes call it.
        loss: &'static str,
        /// Why, and what would be right.
        problem: String,
    },
    /// Something that `spectral-core` reports: a kernel, a registry, a number that is not finite.
    #[error(transparent)]
    Core(#[from] spectral_core::Error),
}

impl Error {
    /// What kind of thing went wrong.
    pub fn class(&self) -> spectral_core::Class {
        match self {
            Self::Core(e) => e.class(),
            Self::Setting { .. } | Self::Mismatch { .. } | Self::Loss { .. } => spectral_core::Class::Input,
        }
    }

    pub(crate) fn setting(setting: &'static str, value: impl ToString, requirement: &'static str) -> Self {
        Self::Setting { setting, value: value.to_string(), requirement }
    }
}

impl From<Error> for spectral_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(core) => core,
            other => Self::Plugin { what: "training".into(), class: other.class(), source: Box::new(other) },
        }
    }
}
