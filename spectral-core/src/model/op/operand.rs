//! What an op works with: parameters of the node, or tensors the layer computes from them.

use crate::backend::Backend;
use crate::base::{Error, Result};
use crate::model::{Layer, NodeParams};
use crate::tensor::{Pattern, Tensor};
use std::sync::Arc;

/// A tensor of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// The parameter in this slot.
    Slot(usize),
    /// What [`Layer::derive`] computes from the parameters: a spectral weight, a folded normalisation.
    Derived {
        /// Its position in what `derive` returns.
        index: usize,
        /// The parameter whose entries match its entries one by one: where an entry is pruned there, it is zero here.
        entries: Option<usize>,
    },
}

impl Operand {
    /// The slot of the parameter whose entries match those of the operand one by one.
    pub fn entries(self) -> Option<usize> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Derived { entries, .. } => entries,
        }
    }
}

/// The tensors that the op of one node works with. Parameters are borrowed, not copied.
#[derive(Debug)]
pub struct Operands<'a> {
    node: &'a str,
    backend: &'a dyn Backend,
    params: NodeParams<'a>,
    derived: Vec<Tensor>,
}

/// Weights `[out, in]`, as they are stored.
#[derive(Debug, Clone, Copy)]
pub enum Matrix<'a> {
    /// Every entry.
    Whole(&'a Tensor),
    /// The entries on a pattern.
    Stored {
        /// Where they are.
        pattern: &'a Arc<Pattern>,
        /// Their values, in the pattern's order.
        values: &'a Tensor,
    },
}

impl<'a> Operands<'a> {
    /// The operands of a node, with the tensors that its layer derives.
    pub(crate) fn of(
        node: &'a str,
        layer: &dyn Layer,
        backend: &'a dyn Backend,
        params: NodeParams<'a>,
    ) -> Result<Self> {
        let derived = layer.derive(&crate::model::Derive { backend, params })?;
        Ok(Self { node, backend, params, derived })
    }

    /// The backend that holds the tensors.
    pub fn backend(&self) -> &'a dyn Backend {
        self.backend
    }

    /// The parameters of the node.
    pub fn params(&self) -> NodeParams<'a> {
        self.params
    }

    /// An operand's values.
    ///
    /// # Errors
    /// The layer has no such operand.
    pub fn tensor(&self, operand: Operand) -> Result<&Tensor> {
        let found = match operand {
            Operand::Slot(slot) => (slot < self.params.len()).then(|| self.params.value(slot)),
            Operand::Derived { index, .. } => self.derived.get(index),
        };
        found.ok_or_else(|| self.missing(operand))
    }

    /// A weight matrix, whole or on its pattern.
    ///
    /// # Errors
    /// The layer has no such operand.
    pub fn matrix(&self, operand: Operand) -> Result<Matrix<'_>> {
        let values = self.tensor(operand)?;
        let pattern = match operand {
            Operand::Slot(slot) => self.params.get(slot).pattern.as_ref(),
            Operand::Derived { .. } => None,
        };
        Ok(pattern.map_or(Matrix::Whole(values), |pattern| Matrix::Stored { pattern, values }))
    }

    /// An operand's values, widened to f64 on the host; `count` zeros if there is no operand.
    ///
    /// # Errors
    /// The layer has no such operand, or the device failed.
    pub fn host(&self, operand: Option<Operand>, count: usize) -> Result<Vec<f64>> {
        match operand {
            Some(operand) => self.backend.download(self.tensor(operand)?),
            None => Ok(vec![0.0; count]),
        }
    }

    /// Returns a derived tensor without copying it.
    pub(crate) fn take(mut self, index: usize) -> Result<Tensor> {
        if index >= self.derived.len() {
            return Err(self.missing(Operand::Derived { index, entries: None }));
        }
        Ok(self.derived.swap_remove(index))
    }

    fn missing(&self, operand: Operand) -> Error {
        let problem = format!("its op names {operand:?}, which its layer does not have");
        Error::Graph { node: self.node.into(), problem }
    }
}

impl Matrix<'_> {
    /// Output units.
    pub fn rows(&self) -> usize {
        match self {
            Self::Whole(w) => w.shape().rows(),
            Self::Stored { pattern, .. } => pattern.rows(),
        }
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        match self {
            Self::Whole(w) => w.shape().columns(),
            Self::Stored { pattern, .. } => pattern.columns(),
        }
    }

    /// The entries that take memory: a whole matrix, or the values on a pattern.
    pub fn values(&self) -> &Tensor {
        match self {
            Self::Whole(values) | Self::Stored { values, .. } => values,
        }
    }

    /// Whether only some entries are stored.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }

    /// Every entry, `[out, in]` row-major, widened to f64.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_dense(&self, backend: &dyn Backend) -> Result<Vec<f64>> {
        match self {
            Self::Whole(w) => backend.download(w),
            Self::Stored { pattern, values } => {
                let mut dense = vec![0.0; pattern.rows() * pattern.columns()];
                for ((r, c), v) in pattern.iter().zip(backend.download(values)?) {
                    dense[r * pattern.columns() + c] = v;
                }
                Ok(dense)
            }
        }
    }
}
