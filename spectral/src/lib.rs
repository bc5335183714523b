//! Train, prune, shrink and prove neural networks: the whole workspace behind one prelude.
//!
//! ```no_run
//! use spectral::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let data = spectral::data::load("digits", &Default::default())?;
//! let backend = Cpu::new()?;
//! let mut model = Network::new(64)
//!     .spectral(300, Relu)
//!     .spectral(100, Relu)
//!     .dense(10, Identity)
//!     .build(&backend, Seed(7))?;
//! Trainer::new(Adam::default()).epochs(10).batch(100).fit(&mut model, &data.train)?;
//!
//! let pruned = Prune::by("eigenvalue").units().globally().amount(0.8).apply(&mut model, Some(&data.train))?;
//! let compact = model.compact()?; // units really removed, their constants folded
//! let sparse = model.sparsify(Measured)?; // a sparse kernel only where it won on this machine
//! let proof = prove(&model, [&compact, &sparse], &data.test)?;
//! save("digits.spectral", &compact)?;
//! # Ok(())
//! # }
//! ```
//!
//! Holds re-exports, each crate under a feature of its name, and the methods that the code above uses. Never does any
//! work itself. May depend on every crate below the workflow.

mod ext;
pub mod prelude;

pub use ext::{ModelExt, prove};
pub use spectral_core as core;
#[cfg(feature = "cpu")]
pub use spectral_cpu as cpu;
#[cfg(feature = "data")]
pub use spectral_data as data;
#[cfg(feature = "io")]
pub use spectral_io as io;
pub use spectral_layers as layers;
#[cfg(feature = "prune")]
pub use spectral_prune as prune;
#[cfg(feature = "sparse")]
pub use spectral_sparse as sparse;
#[cfg(feature = "train")]
pub use spectral_train as train;
