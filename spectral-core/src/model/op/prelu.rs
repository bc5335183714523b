//! `y = x` above 0, else `slope * x`.

use super::constant::{Ask, Inference};
use super::{Operand, Operands};
use crate::base::Result;

/// `y = x` where `x > 0`, else `slope * x`, unit by unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prelu {
    /// Slopes `[units]`.
    pub slope: Operand,
}

/// The values of the slopes.
#[derive(Debug)]
pub(super) struct Slopes(Vec<f64>);

impl Prelu {
    pub(super) fn known(&self, operands: &Operands<'_>) -> Result<Slopes> {
        Ok(Slopes(operands.host(Some(self.slope), 0)?))
    }
}

impl Inference for Slopes {
    fn constant(&self, unit: usize, _: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        ask(0, unit).map(|x| if x > 0.0 { x } else { self.0[unit] * x })
    }
}
