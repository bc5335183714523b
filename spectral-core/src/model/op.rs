//! What layers compute at inference, in the few words that every pass understands.
//!
//! A layer says what it is without values ([`Layer::op`](crate::model::Layer::op)): an [`Op`] names parameters by slot
//! and copies nothing. Compaction, sparse storage, sessions and counting read only this, so a layer from a plug-in
//! crate is compacted and converted like a built-in one. Each word has one file here that answers all questions of
//! passes. A new word does not compile until every pass has an answer.

mod affine;
mod constant;
mod convolution;
mod merge;
mod normalise;
mod operand;
mod pool;
mod prelu;
mod scale;

pub use affine::Affine;
pub use constant::{Ask, Inference, Known, Rows};
pub use convolution::Convolution;
pub use normalise::Normalise;
pub use operand::{Matrix, Operand, Operands};
pub use pool::{Frame, Pool};
pub use prelu::Prelu;
pub use scale::Scale;

use crate::backend::Activation;
use crate::base::Result;
use crate::tensor::Shape;

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Op {
    /// The function at inference.
    pub word: Word,
    /// Whether training computes the same function. False for a layer that draws at random or normalises by its batch:
    /// replacing it by its inference function would change training.
    pub trains_alike: bool,
}

/// A function at inference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Word {
    /// `y = act(W x + b)`.
    Affine(Affine),
    /// `y = act(w * x + b)` with a window that slides over images.
    Convolution(Convolution),
    /// `y = act(factor * x + bias)`, unit by unit.
    Scale(Scale),
    /// Each sample with mean 0 and variance 1, then a factor and a constant for each unit.
    Normalise(Normalise),
    /// The largest value or the mean of windows over images.
    Pool(Pool),
    /// `y = x` above 0, else `slope * x`, unit by unit.
    Prelu(Prelu),
    /// `y = act(x)`. [`Activation::Identity`] does nothing at inference, as dropout.
    Map(Activation),
    /// The sum of the inputs.
    Add,
    /// The mean of the inputs.
    Average,
    /// The product of the inputs, element by element.
    Multiply,
    /// The units of the inputs, one input after the other.
    Concat,
    /// All values of a sample in a row, one unit after the other.
    Flatten,
    /// The units `from..to` of the input.
    Select {
        /// The first unit.
        from: usize,
        /// One past the last unit.
        to: usize,
    },
    /// The same values in the same order as a sample of another shape.
    Reshape,
    /// Something only the layer itself can run.
    Opaque,
}

impl From<Word> for Op {
    /// For a layer that computes the same function in training.
    fn from(word: Word) -> Self {
        Self { word, trains_alike: true }
    }
}

impl Op {
    /// For a layer that computes another function in training.
    pub fn at_inference(word: Word) -> Self {
        Self { word, trains_alike: false }
    }

    /// How its output units relate to its input units.
    pub fn units(&self) -> Units {
        self.word.units()
    }
}

/// How the output units of a layer relate to its input units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// The layer makes its own units from all units of its input. The axes of its parameters say how to cut it.
    Own,
    /// Output unit `i` belongs to unit `i` of every input.
    Same,
    /// The units of the inputs, one input after the other.
    Concat,
    /// The values of the only input, unit after unit: `n` outputs for each unit.
    Flatten,
    /// Unknown, or every output depends on every input: no unit before or after the layer may be removed.
    Fixed,
}

impl Word {
    /// How its output units relate to its input units.
    pub fn units(&self) -> Units {
        match self {
            Self::Affine(affine) => affine.units(),
            Self::Convolution(convolution) => convolution.units(),
            Self::Scale(scale) => scale.units(),
            Self::Pool(_) | Self::Prelu(_) => Units::Same,
            Self::Map(activation) if activation.is_elementwise() => Units::Same,
            Self::Add | Self::Average | Self::Multiply => Units::Same,
            Self::Concat => Units::Concat,
            Self::Flatten => Units::Flatten,
            Self::Normalise(_) | Self::Map(_) | Self::Select { .. } | Self::Reshape | Self::Opaque => Units::Fixed,
        }
    }

    /// Why no unit in front of it can be removed, in words for people; `None` if units can be removed.
    pub fn keeps_units(&self) -> Option<&'static str> {
        if self.units() != Units::Fixed {
            return None;
        }
        Some(match self {
            Self::Normalise(_) => "a unit that is constant still counts in the mean and the variance of a sample",
            Self::Convolution(convolution) if convolution.groups > 1 => "all groups must have as many channels",
            Self::Select { .. } => "it takes units by their number",
            Self::Reshape => "it makes other units of the values",
            Self::Opaque => "only the layer itself knows how its outputs depend on its inputs",
            Self::Affine(_) | Self::Convolution(_) | Self::Scale(_) | Self::Map(_) => {
                "its activation makes every output depend on every unit"
            }
            Self::Pool(_)
            | Self::Prelu(_)
            | Self::Add
            | Self::Average
            | Self::Multiply
            | Self::Concat
            | Self::Flatten => return None,
        })
    }

    /// The activation after a product with weights or factors.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Self::Affine(affine) => Some(affine.activation),
            Self::Convolution(convolution) => Some(convolution.activation),
            Self::Scale(scale) => Some(scale.activation),
            Self::Normalise(_)
            | Self::Pool(_)
            | Self::Prelu(_)
            | Self::Map(_)
            | Self::Add
            | Self::Average
            | Self::Multiply
            | Self::Concat
            | Self::Flatten
            | Self::Select { .. }
            | Self::Reshape
            | Self::Opaque => None,
        }
    }

    /// The weights that multiply the inputs of each output unit, and the constants that are added.
    pub fn weights(&self) -> Option<(Operand, Option<Operand>)> {
        match self {
            Self::Affine(affine) => Some((affine.weight, affine.bias)),
            Self::Convolution(convolution) => Some((convolution.weight, convolution.bias)),
            Self::Scale(_)
            | Self::Normalise(_)
            | Self::Pool(_)
            | Self::Prelu(_)
            | Self::Map(_)
            | Self::Add
            | Self::Average
            | Self::Multiply
            | Self::Concat
            | Self::Flatten
            | Self::Select { .. }
            | Self::Reshape
            | Self::Opaque => None,
        }
    }

    /// Multiplications and additions for one sample. Zero weights, activations and copies do not count.
    ///
    /// # Errors
    /// The device failed.
    pub fn flops(&self, operands: &Operands<'_>, inputs: &[Shape], output: Shape) -> Result<usize> {
        match self {
            Self::Affine(affine) => affine.flops(operands, output),
            Self::Convolution(convolution) => convolution.flops(operands, output),
            Self::Scale(scale) => Ok(scale.flops(output)),
            Self::Normalise(_) => Ok(normalise::flops(output)),
            Self::Pool(pool) => Ok(pool.flops(inputs, output)),
            // A multiplication for each value, as for a scale.
            Self::Prelu(_) => Ok(output.len()),
            Self::Add | Self::Multiply => Ok(merge::flops(inputs, output)),
            Self::Average => Ok(merge::flops(inputs, output) + output.len()),
            Self::Map(_) | Self::Concat | Self::Flatten | Self::Select { .. } | Self::Reshape | Self::Opaque => Ok(0),
        }
    }

    /// The function with its values on the host, for following constants through a network.
    ///
    /// # Errors
    /// An operand is missing, or the device failed.
    pub fn known(&self, operands: &Operands<'_>) -> Result<Known> {
        Ok(match self {
            _ if self.units() == Units::Fixed => Known::new(constant::Anything),
            Self::Affine(affine) => Known::new(affine.rows(operands)?),
            Self::Convolution(convolution) => Known::new(convolution.rows(operands)?),
            Self::Scale(scale) => Known::new(scale.known(operands)?),
            Self::Pool(pool) => Known::new(*pool),
            Self::Prelu(prelu) => Known::new(prelu.known(operands)?),
            Self::Map(activation) => Known::new(*activation),
            Self::Add => Known::new(merge::Sum),
            Self::Average => Known::new(merge::Mean),
            Self::Multiply => Known::new(merge::Product),
            Self::Concat => Known::new(merge::SideBySide),
            Self::Flatten => Known::new(merge::Flattened),
            Self::Normalise(_) | Self::Select { .. } | Self::Reshape | Self::Opaque => Known::new(constant::Anything),
        })
    }
}
