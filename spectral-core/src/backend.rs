//! What a device must be able to do: a few small families of kernels.
//!
//! Only [`Memory`] has required methods. Every kernel of the other families has a provided body that
//! copies its operands to the host, computes in f64 and copies the result back, so a new backend is correct
//! before it is fast; [`Reference`] is nothing but these bodies, and the oracle that kernels are tested
//! against.
//!
//! Conventions of every kernel:
//! * activations are `[features, batch]`, the batch contiguous; weights are `[out, in]`, row-major;
//! * results go to out-parameters; with [`Accum::Replace`] their old contents are never read;
//! * shapes that do not fit are an [`Error::Shape`](crate::base::Error::Shape), never a panic: a method such as
//!   `linear` checks them, for all backends alike, and calls `linear_kernel`, which is what a backend overrides;
//! * same inputs give the same bits again, for any number of threads or for the same number, as
//!   [`Backend::determinism`] says, and agree with [`Reference`] to rounding.

pub mod activation;
pub(crate) mod bytes;
mod constraint;
mod convolution;
mod dense;
mod elementwise;
mod kernel;
mod memory;
mod penalty;
mod pooling;
mod reduce;
mod reference;
mod samplewise;
mod sparse;
mod spectral;
mod unitwise;
mod update;
mod window;

pub use activation::Activation;
pub use bytes::little_endian;
pub use constraint::{Constrain, Constraint, Rows};
pub use convolution::{Conv2d, ConvGrads, ConvKernels};
pub use dense::{DenseKernels, Linear, LinearGrads};
pub use elementwise::{Dropout, Elementwise, RowCopy};
pub use kernel::Kernel;
pub use memory::{Memory, sample_features};
pub use penalty::Penalty;
pub use pooling::{Pool2d, Pool2dVjp, PoolKernels, Pooling};
pub(crate) use reduce::first_largest;
pub use reduce::{LossKernel, LossKind, Reduce, RowSum};
pub use reference::Reference;
pub use samplewise::{SampleNorm, SampleNormVjp, Samplewise};
pub use sparse::{Packed, PackedLinear, SparseGrads, SparseKernels, SparseLinear};
pub use spectral::{SpectralGrads, SpectralKernels, SpectralWeight};
pub use unitwise::{Diagonal, DiagonalGrads, Prelu, PreluGrads, Standardise, StandardiseVjp, Standardised, Unitwise};
pub use update::{OuterProduct, Rule, SUBNORMAL_CUT, Update, UpdateKernels};
pub use window::{Window, WindowAxis};

use crate::base::{Result, registry::Registered};
use crate::tensor::Tensor;
use std::sync::Arc;

/// A device that runs every kernel family.
pub trait Backend:
    SpectralKernels + SparseKernels + Unitwise + Samplewise + ConvKernels + PoolKernels + Reduce + UpdateKernels
{
    /// Its registry name: `cpu`, `torch`, `cuda`.
    fn name(&self) -> &'static str;

    /// The machine in words, for reports: instruction set, threads, device name.
    fn describe(&self) -> String {
        self.name().into()
    }

    /// How reproducible the results of a family are.
    fn determinism(&self, _family: Family) -> Determinism {
        Determinism::AnyThreads
    }
}

/// The families of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// [`Memory`].
    Memory,
    /// [`Elementwise`].
    Elementwise,
    /// [`DenseKernels`].
    Dense,
    /// [`SpectralKernels`].
    Spectral,
    /// [`SparseKernels`].
    Sparse,
    /// [`Unitwise`].
    Unitwise,
    /// [`Samplewise`].
    Samplewise,
    /// [`ConvKernels`].
    Convolution,
    /// [`PoolKernels`].
    Pooling,
    /// [`Reduce`].
    Reduce,
    /// [`UpdateKernels`].
    Update,
}

/// When the same call gives the same bits, on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Determinism {
    /// With any number of threads.
    AnyThreads,
    /// With as many threads; another number may cut sums elsewhere.
    SameThreads,
}

/// A shared backend, as models hold it.
pub type BackendHandle = Arc<dyn Backend>;

/// Anything that can be turned into a [`BackendHandle`], so that callers pass `&backend` whatever it is.
pub trait IntoBackend {
    /// The shared backend.
    fn into_backend(self) -> BackendHandle;
}

impl IntoBackend for BackendHandle {
    fn into_backend(self) -> BackendHandle {
        self
    }
}

impl IntoBackend for &BackendHandle {
    fn into_backend(self) -> BackendHandle {
        self.clone()
    }
}

impl<B: Backend + Clone + 'static> IntoBackend for &B {
    fn into_backend(self) -> BackendHandle {
        Arc::new(self.clone())
    }
}

/// How a backend is opened.
#[derive(Debug, Clone, Default)]
pub struct BackendOptions {
    /// Threads to use; `None` means all the machine has.
    pub threads: Option<usize>,
}

/// A backend that a crate registered.
pub struct BackendEntry {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line that says what it is.
    pub summary: &'static str,
    /// Opens it, or says what is missing on this machine.
    pub open: fn(&BackendOptions) -> Result<BackendHandle>,
}

inventory::collect!(BackendEntry);

impl Registered for BackendEntry {
    const WHAT: &'static str = "backend";
    fn name(&self) -> &'static str {
        self.name
    }
    fn summary(&self) -> &'static str {
        self.summary
    }
}

/// What happens to the old contents of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accum {
    /// They are overwritten without being read.
    Replace,
    /// The result is added to them.
    Add,
}

impl Accum {
    /// The new content of a result that held `old`.
    #[inline]
    pub fn apply<E: std::ops::Add<Output = E>>(self, old: E, new: E) -> E {
        match self {
            Self::Replace => new,
            Self::Add => old + new,
        }
    }
}

/// Where a gradient goes. Absent (`Option::None`) means it is not wanted and must not be computed.
#[derive(Debug)]
pub struct GradSlot<'a> {
    /// The tensor that receives it.
    pub tensor: &'a mut Tensor,
    /// Whether it is the first contribution of this step.
    pub accum: Accum,
}

/// Checks where the input of an activation goes, if it is wanted: it has the shape of the output `y`.
fn check_pre(op: &'static str, y: &crate::tensor::Tensor, pre: Option<&crate::tensor::Tensor>) -> Result<()> {
    pre.map_or(Ok(()), |pre| expect(op, y.shape(), pre.shape()))
}

/// Checks the shapes of wanted gradients.
fn check_slots<const N: usize>(
    op: &'static str,
    slots: [(&Option<GradSlot<'_>>, crate::tensor::Shape); N],
) -> Result<()> {
    slots.into_iter().try_for_each(|(slot, shape)| match slot {
        Some(slot) => expect(op, shape, slot.tensor.shape()),
        None => Ok(()),
    })
}

/// Checks that `got` is the shape `op` needs.
pub(crate) fn expect(op: &'static str, expected: crate::tensor::Shape, got: crate::tensor::Shape) -> Result<()> {
    if expected == got { Ok(()) } else { Err(crate::base::Error::shape(op, expected, got)) }
}
