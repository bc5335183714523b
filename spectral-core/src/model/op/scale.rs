//! `y = act(factor * x + bias)`, unit by unit.

use super::constant::{Ask, Inference};
use super::{Operand, Operands, Units};
use crate::backend::Activation;
use crate::base::Result;
use crate::tensor::Shape;

/// `y = act(factor * x + bias)`, unit by unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Factors `[units]`.
    pub factor: Operand,
    /// Constants `[units]`.
    pub bias: Option<Operand>,
    /// Applied to every output; element-wise.
    pub activation: Activation,
}

/// A [`Scale`] with its values.
#[derive(Debug)]
pub(super) struct Factors {
    factor: Vec<f64>,
    bias: Vec<f64>,
    activation: Activation,
}

impl Scale {
    pub(super) fn units(&self) -> Units {
        if self.activation.is_elementwise() { Units::Same } else { Units::Fixed }
    }

    pub(super) fn flops(&self, output: Shape) -> usize {
        output.len() * (1 + usize::from(self.bias.is_some()))
    }

    pub(super) fn known(&self, operands: &Operands<'_>) -> Result<Factors> {
        let factor = operands.host(Some(self.factor), 0)?;
        let bias = operands.host(self.bias, factor.len())?;
        Ok(Factors { factor, bias, activation: self.activation })
    }
}

impl Inference for Factors {
    fn constant(&self, unit: usize, _: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        let factor = self.factor[unit];
        let x = if factor == 0.0 { Some(0.0) } else { ask(0, unit) };
        x.map(|x| self.activation.value(factor * x + self.bias[unit]))
    }
}
