//! Ways to multiply with weights, by name.

use serde::{Deserialize, Serialize};

/// A way to multiply with weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kernel {
    /// Every entry.
    Dense,
    /// Stored entries, row by row.
    Csr,
    /// Stored entries in slices of as many rows as a vector has lanes, laid out by the backend
    /// ([`SparseKernels::pack`](crate::backend::SparseKernels::pack)): for very few samples. Where a backend has no
    /// such layout, or a batch is too large for it, they run as [`Csr`](Self::Csr).
    Sliced,
}

impl Kernel {
    /// Those that read stored entries only.
    pub const SPARSE: [Self; 2] = [Self::Csr, Self::Sliced];

    /// Whether only stored entries are read.
    pub fn is_sparse(self) -> bool {
        Self::SPARSE.contains(&self)
    }
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dense => "dense",
            Self::Csr => "csr",
            Self::Sliced => "sliced",
        })
    }
}
