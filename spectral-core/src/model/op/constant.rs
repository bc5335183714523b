//! Which units emit a constant, word by word.

use crate::backend::Activation;
use std::fmt::Debug;

/// A function at inference with its values on the host.
#[derive(Debug)]
pub struct Known(Box<dyn Inference>);

impl Known {
    pub(super) fn new(of: impl Inference + 'static) -> Self {
        Self(Box::new(of))
    }

    /// A function of which nothing is known.
    pub fn nothing() -> Self {
        Self::new(Anything)
    }
}

impl std::ops::Deref for Known {
    type Target = dyn Inference;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Asks for the constant at a unit of an input: `(input, unit)`.
pub type Ask<'a> = dyn Fn(usize, usize) -> Option<f64> + 'a;

/// What a word answers when passes follow constants and dependencies through a network.
///
/// Units are those of the output; a unit of an image is a channel. Arithmetic is f64.
pub trait Inference: Debug + Send + Sync {
    /// The constant that `unit` emits for all inputs, if there is one. `sizes` are the numbers of units of the inputs;
    /// `each` is how many outputs flattening makes of a unit.
    fn constant(&self, unit: usize, sizes: &[usize], each: usize, ask: &Ask<'_>) -> Option<f64>;

    /// How a layer that makes its own units computes them.
    fn rows(&self) -> Option<&Rows> {
        None
    }
}

/// Nothing is known.
#[derive(Debug)]
pub(super) struct Anything;

impl Inference for Anything {
    fn constant(&self, _: usize, _: &[usize], _: usize, _: &Ask<'_>) -> Option<f64> {
        None
    }
}

impl Inference for Activation {
    fn constant(&self, unit: usize, _: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        ask(0, unit).map(|x| self.value(x))
    }
}

/// `act(W x + b)` with the non-zero weights row by row: how the units depend on those of the input.
#[derive(Debug)]
pub struct Rows {
    pub(super) starts: Vec<usize>,
    pub(super) entries: Vec<(u32, f64)>,
    /// Number of input units.
    pub inputs: usize,
    /// Whether padding shows zeros to some outputs, so that a constant input does not give a constant output.
    pub(super) padded: bool,
    /// `[out]`, zero where the layer has none.
    pub bias: Vec<f64>,
    pub(super) activation: Activation,
}

impl Rows {
    /// `(input unit, weight)` for the non-zero weights of a unit. In a convolution, the weight is the sum over the
    /// window.
    pub fn row(&self, unit: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[unit]..self.starts[unit + 1]]
    }

    /// What a constant input `x` with weight `weight` adds to a unit, if that is a constant.
    pub fn adds(&self, weight: f64, x: f64) -> Option<f64> {
        if x == 0.0 {
            return Some(0.0);
        }
        (!self.padded).then_some(weight * x)
    }
}

impl Inference for Rows {
    fn constant(&self, unit: usize, _: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        let sum = self.row(unit).iter().try_fold(self.bias[unit], |sum, &(c, w)| {
            ask(0, c as usize).and_then(|x| self.adds(w, x)).map(|x| sum + x)
        });
        sum.map(|z| self.activation.value(z))
    }

    fn rows(&self) -> Option<&Rows> {
        Some(self)
    }
}
