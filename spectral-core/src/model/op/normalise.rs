//! Each sample with mean 0 and variance 1.

use super::Operand;
use crate::tensor::Shape;

/// `y = factor * (x - mean) / sqrt(variance + epsilon) + bias`, with mean and variance of all values of a sample.
///
/// No unit in front of it can be removed: a constant unit still counts in the mean and the variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalise {
    /// Factors `[units]`.
    pub factor: Operand,
    /// Constants `[units]`.
    pub bias: Operand,
    /// Added to the variance, above 0.
    pub epsilon: f64,
}

/// Operations for each value: one for the mean, three for the variance, two to standardise, two for factor and
/// constant.
pub(super) fn flops(output: Shape) -> usize {
    8 * output.len()
}
