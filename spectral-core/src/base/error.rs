//! The one error type of this crate.

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error. The exit code of a program follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The user's request or input is wrong: settings, recipes, data, or models that do not fit. The user can correct
    /// it.
    Input,
    /// A file could not be read or written, or is damaged.
    Files,
    /// A device is missing, out of memory, or failed.
    Device,
    /// Numbers became NaN or infinite.
    Numeric,
    /// A run or a check missed what it promised.
    Missed,
    /// The program itself is wrong.
    Bug,
}

impl Class {
    /// 2 for errors that the user can correct, 1 for a run or a check that failed.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Input | Self::Files | Self::Device => 2,
            Self::Numeric | Self::Missed | Self::Bug => 1,
        }
    }
}

/// What can go wrong in tensors, graphs, registries and proofs.
///
/// Every variant names the operation, what it expected and what it got, and says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two shapes that must agree do not.
    #[error("{op}: expected shape {expected}, got {got}")]
    Shape {
        /// The operation that checked.
        op: &'static str,
        /// What it needs.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// A tensor has another element type than the operation needs.
    #[error("{op}: expected {expected} values, got {got}; build the model with one element type")]
    DType {
        /// The operation that checked.
        op: &'static str,
        /// The element type it needs.
        expected: crate::base::DType,
        /// The element type it was given.
        got: crate::base::DType,
    },
    /// A tensor lives on another device than the backend that was asked to use it.
    #[error("{op}: expected a tensor on `{expected}`, got one on `{got}`; move the model with `Model::to_backend`")]
    Device {
        /// The operation that checked.
        op: &'static str,
        /// Where the backend works.
        expected: String,
        /// Where the tensor lives.
        got: String,
    },
    /// A name that no linked crate registered.
    #[error(transparent)]
    Unknown(#[from] crate::base::registry::Unknown),
    /// Two crates registered the same name.
    #[error("{what} `{name}` is registered twice; rename one of the plug-ins")]
    Duplicate {
        /// The kind of entry, for example `layer`.
        what: &'static str,
        /// The name that both chose.
        name: String,
    },
    /// A layer, criterion or other part was configured with values it cannot work with.
    #[error("{what}: {problem}")]
    Config {
        /// The part, for example `layer dense`.
        what: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The graph of a model is not well formed.
    #[error("node `{node}`: {problem}")]
    Graph {
        /// The node concerned.
        node: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A number became NaN or infinite.
    #[error("{what} became NaN or infinite at {at}; lower the learning rate, clip gradients, or check the data")]
    NonFinite {
        /// What turned bad, for example ``the gradient of `dense1.weight` ``.
        what: String,
        /// When, for example `step 12`.
        at: String,
    },
    /// The data does not fit the model or the operation.
    #[error("data: {0}")]
    Data(String),
    /// Models cannot be compared.
    #[error("cannot compare `{a}` with `{b}`: {problem}")]
    Compare {
        /// The first model.
        a: String,
        /// The second model.
        b: String,
        /// Why they have no common inputs or outputs.
        problem: String,
    },
    /// A backend could not be opened or failed while working.
    #[error("backend `{backend}`: {problem}")]
    Backend {
        /// The backend's registry name.
        backend: String,
        /// What it looked for and what happened.
        problem: String,
    },
    /// An error of a plug-in crate.
    #[error("{what}: {source}")]
    Plugin {
        /// The plug-in.
        what: String,
        /// Its kind.
        class: Class,
        /// Its own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The kind of the error.
    pub fn class(&self) -> Class {
        match self {
            Self::Shape { .. }
            | Self::DType { .. }
            | Self::Unknown(_)
            | Self::Duplicate { .. }
            | Self::Config { .. }
            | Self::Graph { .. }
            | Self::Data(_)
            | Self::Compare { .. } => Class::Input,
            Self::Device { .. } | Self::Backend { .. } => Class::Device,
            Self::NonFinite { .. } => Class::Numeric,
            Self::Plugin { class, .. } => *class,
        }
    }

    /// An [`Error::Config`] about `what`.
    pub fn config(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { what: what.into(), problem: problem.into() }
    }

    /// An [`Error::Shape`] in operation `op`.
    pub fn shape(op: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { op, expected: expected.to_string(), got: got.to_string() }
    }
}
