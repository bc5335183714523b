//! Functions without parameters that keep the units of their inputs: sums, products, inputs side by side, flattened
//! images.

use super::constant::{Ask, Inference};
use crate::tensor::Shape;

/// One addition or multiplication for each value of every input after the first.
pub(super) fn flops(inputs: &[Shape], output: Shape) -> usize {
    output.len() * inputs.len().saturating_sub(1)
}

/// The sum of the inputs.
#[derive(Debug)]
pub(super) struct Sum;

impl Inference for Sum {
    fn constant(&self, unit: usize, sizes: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        (0..sizes.len()).try_fold(0.0, |sum, i| ask(i, unit).map(|x| sum + x))
    }
}

/// The mean of the inputs.
#[derive(Debug)]
pub(super) struct Mean;

impl Inference for Mean {
    fn constant(&self, unit: usize, sizes: &[usize], each: usize, ask: &Ask<'_>) -> Option<f64> {
        Sum.constant(unit, sizes, each, ask).map(|sum| sum / sizes.len() as f64)
    }
}

/// The product of the inputs.
#[derive(Debug)]
pub(super) struct Product;

impl Inference for Product {
    fn constant(&self, unit: usize, sizes: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        let mut inputs = 0..sizes.len();
        if inputs.clone().any(|i| ask(i, unit) == Some(0.0)) {
            return Some(0.0);
        }
        inputs.try_fold(1.0, |product, i| ask(i, unit).map(|x| product * x))
    }
}

/// The units of the inputs, one input after the other.
#[derive(Debug)]
pub(super) struct SideBySide;

impl Inference for SideBySide {
    fn constant(&self, mut unit: usize, sizes: &[usize], _: usize, ask: &Ask<'_>) -> Option<f64> {
        for (input, &size) in sizes.iter().enumerate() {
            if unit < size {
                return ask(input, unit);
            }
            unit -= size;
        }
        None
    }
}

/// All values of a sample in a row.
#[derive(Debug)]
pub(super) struct Flattened;

impl Inference for Flattened {
    fn constant(&self, unit: usize, _: &[usize], each: usize, ask: &Ask<'_>) -> Option<f64> {
        ask(0, unit / each.max(1))
    }
}
