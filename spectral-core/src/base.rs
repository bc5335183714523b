//! The base of all other modules: element types, errors, registries, and random numbers.

mod dtype;
mod error;
mod files;
mod limits;
pub mod registry;
mod seed;
mod text;

pub use dtype::{DType, Element, Values};
pub use error::{Class, Error, Result};
pub use files::{check_writable, write_file};
pub use limits::{Limits, filled, with_room};
pub use seed::{Seed, Stream, hash64};
pub use text::plain;
