//! Layers with several inputs.

mod add;
mod average;
mod concat;
mod multiply;

pub use add::Add;
pub use average::Average;
pub use concat::Concat;
pub use multiply::Multiply;

use crate::check;
use spectral_core::{Error, Result, Shape};

/// The common shape of the inputs of an element-wise merge.
fn same(kind: &'static str, inputs: &[Shape]) -> Result<Shape> {
    let first = several(kind, inputs)?;
    match inputs.iter().find(|&&s| s != first) {
        Some(other) => Err(Error::shape(kind, format!("inputs of one shape, here {first}"), other)),
        None => Ok(first),
    }
}

/// The first of at least two non-empty inputs.
fn several(kind: &'static str, inputs: &[Shape]) -> Result<Shape> {
    let [first, _, ..] = inputs else {
        return Err(check::bad(kind, format!("takes at least two inputs, got {}", inputs.len())));
    };
    match inputs.iter().find(|s| s.is_empty()) {
        Some(empty) => Err(Error::shape(kind, "input samples with at least one value", empty)),
        None => Ok(*first),
    }
}

/// How to write input `i` of a sum that is built up one input at a time.
fn turn(i: usize) -> spectral_core::Accum {
    if i == 0 { spectral_core::Accum::Replace } else { spectral_core::Accum::Add }
}
