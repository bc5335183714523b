//! The few things any layer is at inference: what compaction, conversion, export and sessions work on.

use crate::backend::{Activation, Window};
use crate::base::Result;
use crate::tensor::{Pattern, Tensor};
use std::sync::Arc;

/// What a layer computes at inference.
#[derive(Debug)]
pub enum Lowered {
    /// `y = act(W x + b)`.
    Affine(Affine),
    /// `y = act(w * x + b)` with a window that slides over images.
    Convolution(Convolution),
    /// `y = act(factor * x + bias)`, unit by unit.
    Scale(Scale),
    /// `y = act(x)`; [`Activation::Identity`] is "nothing at inference", as dropout.
    Map(Activation),
    /// The sum of the inputs.
    Add,
    /// The product of the inputs, element by element.
    Multiply,
    /// The inputs one after the other.
    Concat,
    /// All values of a sample in a row, one unit after the other.
    Flatten,
    /// Something only the layer itself can run.
    Opaque,
}

/// `y = act(W x + b)`.
#[derive(Debug)]
pub struct Affine {
    /// The weights.
    pub weight: Matrix,
    /// Bias `[out]`.
    pub bias: Option<Tensor>,
    /// Applied to every output; element-wise.
    pub activation: Activation,
}

/// `y = act(w * x + b)` with a window that slides over images.
#[derive(Debug)]
pub struct Convolution {
    /// The weights `[out, in, kernel, kernel]`.
    pub weight: Tensor,
    /// Bias `[out]`.
    pub bias: Option<Tensor>,
    /// The window.
    pub window: Window,
    /// Applied to every output; element-wise.
    pub activation: Activation,
}

/// `y = act(factor * x + bias)`, unit by unit.
#[derive(Debug)]
pub struct Scale {
    /// Factors `[units]`.
    pub factor: Tensor,
    /// Constants `[units]`.
    pub bias: Option<Tensor>,
    /// Applied to every output; element-wise.
    pub activation: Activation,
}

/// Weights `[out, in]`, as they are kept.
#[derive(Debug)]
pub enum Matrix {
    /// Every entry.
    Dense(Tensor),
    /// The entries on a pattern.
    Sparse {
        /// Where they are.
        pattern: Arc<Pattern>,
        /// What they are.
        values: Tensor,
    },
}

impl Matrix {
    /// Output units.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(w) => w.shape().rows(),
            Self::Sparse { pattern, .. } => pattern.rows(),
        }
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense(w) => w.shape().columns(),
            Self::Sparse { pattern, .. } => pattern.columns(),
        }
    }

    /// Every entry, `[out, in]` row-major, widened to f64.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_dense(&self, backend: &dyn crate::backend::Backend) -> Result<Vec<f64>> {
        match self {
            Self::Dense(w) => backend.download(w),
            Self::Sparse { pattern, values } => {
                let mut dense = vec![0.0; pattern.rows() * pattern.columns()];
                for ((r, c), v) in pattern.iter().zip(backend.download(values)?) {
                    dense[r * pattern.columns() + c] = v;
                }
                Ok(dense)
            }
        }
    }
}
