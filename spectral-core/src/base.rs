//! What everything else stands on: element types, errors, finding parts by name, and random numbers.

mod dtype;
mod error;
pub mod registry;
mod seed;

pub use dtype::{DType, Element, Values};
pub use error::{Class, Error, Result};
pub use seed::{Seed, Stream, hash64};
