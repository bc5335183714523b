//! Data sets: a registry of known ones, readers for files of one's own, seeded splits, and fetching.
//!
//! Holds the embedded 8x8 digits, MNIST and Fashion-MNIST from a folder (checked by checksum), CSV, npy and npz
//! readers, an IDX reader, and [`fetch`] over HTTP with checksums and resume, behind the feature `fetch`, which is on
//! by default. Batches and epoch orders are [`Samples`](spectral_core::Samples)' own.
//!
//! Never does: training, network access other than in [`fetch`], writing outside the folder it was given.
//! Depends on `spectral-core` only.
//!
//! ```
//! let digits = spectral_data::load("digits", &Default::default())?;
//! assert_eq!((digits.train.len(), digits.test.len()), (1437, 360));
//! # Ok::<(), spectral_data::Error>(())
//! ```

mod bounded;
mod classes;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod files;
pub mod idx;
mod npy;
mod registry;
mod set;
mod split;
mod table;

#[doc(hidden)]
pub use spectral_core::registry::inventory;

pub use dataset::{DataOptions, Dataset, ENV_DIR, SplitRows, load};
pub use error::{Error, Result};
#[cfg(feature = "fetch")]
pub use fetch::{FetchOptions, FetchProgress, Fetched, FetchedFile, FileOrigin, fetch};
pub use files::{Listing, State, list};
pub use registry::{DataFile, DatasetEntry};
pub use split::{SplitFormat, write_split};
