//! `y = act(W x + b)`.

use super::constant::Rows;
use super::{Matrix, Operand, Operands, Units};
use crate::backend::Activation;
use crate::base::Result;
use crate::tensor::Shape;

/// `y = act(W x + b)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Weights `[out, in]`.
    pub weight: Operand,
    /// Bias `[out]`.
    pub bias: Option<Operand>,
    /// Applied to every output; element-wise.
    pub activation: Activation,
}

impl Affine {
    pub(super) fn units(&self) -> Units {
        if self.activation.is_elementwise() { Units::Own } else { Units::Fixed }
    }

    pub(super) fn flops(&self, operands: &Operands<'_>, output: Shape) -> Result<usize> {
        let weights = operands.backend().download(operands.matrix(self.weight)?.values())?;
        let products = weights.iter().filter(|w| **w != 0.0).count();
        Ok(2 * products + if self.bias.is_some() { output.len() } else { 0 })
    }

    pub(super) fn rows(&self, operands: &Operands<'_>) -> Result<Rows> {
        let matrix = operands.matrix(self.weight)?;
        let (rows, columns) = (matrix.rows(), matrix.columns());
        let values = operands.backend().download(matrix.values())?;
        let (mut starts, mut entries) = (vec![0], Vec::new());
        match matrix {
            Matrix::Whole(_) => {
                for row in values.chunks(columns.max(1)) {
                    entries.extend(row.iter().enumerate().filter(|(_, w)| **w != 0.0).map(|(c, w)| (c as u32, *w)));
                    starts.push(entries.len());
                }
            }
            Matrix::Stored { pattern, .. } => {
                for r in 0..rows {
                    let at = pattern.starts()[r] as usize;
                    let row = pattern.row(r).iter().zip(&values[at..]);
                    entries.extend(row.filter(|(_, w)| **w != 0.0).map(|(c, w)| (*c, *w)));
                    starts.push(entries.len());
                }
            }
        }
        let bias = operands.host(self.bias, rows)?;
        Ok(Rows { starts, entries, inputs: columns, padded: false, bias, activation: self.activation })
    }
}
