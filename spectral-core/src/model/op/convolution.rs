//! `y = act(w * x + b)` with a window that slides over images.

use super::constant::Rows;
use super::{Operand, Operands, Units};
use crate::backend::{Activation, Window};
use crate::base::{Error, Result};
use crate::tensor::Shape;

/// `y = act(w * x + b)` with a window that slides over images. A unit is a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Weights `[out, in / groups, kernel height, kernel width]`.
    pub weight: Operand,
    /// Bias `[out]`.
    pub bias: Option<Operand>,
    /// The window.
    pub window: Window,
    /// Number of equal groups of channels that are convolved separately, at least 1.
    pub groups: usize,
    /// Applied to every output; element-wise.
    pub activation: Activation,
}

impl Convolution {
    pub(super) fn units(&self) -> Units {
        // All groups have equally many channels, so no group can lose one alone.
        if self.activation.is_elementwise() && self.groups == 1 { Units::Own } else { Units::Fixed }
    }

    pub(super) fn flops(&self, operands: &Operands<'_>, output: Shape) -> Result<usize> {
        let weights = operands.backend().download(operands.tensor(self.weight)?)?;
        let products = weights.iter().filter(|w| **w != 0.0).count();
        Ok(2 * products * output.columns() + if self.bias.is_some() { output.len() } else { 0 })
    }

    /// For each output channel: the input channels with a non-zero weight, and the sum of each over the window.
    pub(super) fn rows(&self, operands: &Operands<'_>) -> Result<Rows> {
        let weight = operands.tensor(self.weight)?;
        let &[rows, inputs, height, width] = weight.shape().extents() else {
            return Err(Error::shape("convolution", "weights [out, in, height, width]", weight.shape()));
        };
        let weights = operands.backend().download(weight)?;
        let taps = height * width;
        let (mut starts, mut entries) = (vec![0], Vec::new());
        for row in weights.chunks(inputs * taps) {
            let seen = row.chunks(taps).enumerate().filter(|(_, taps)| taps.iter().any(|w| *w != 0.0));
            entries.extend(seen.map(|(c, taps)| (c as u32, taps.iter().sum::<f64>())));
            starts.push(entries.len());
        }
        let (bias, padded) = (operands.host(self.bias, rows)?, self.window.is_padded());
        Ok(Rows { starts, entries, inputs, padded, bias, activation: self.activation })
    }
}
