//! Products with weights of which only some entries are stored.

use super::dense::{bias_gradient, check, finish};
use super::{Elementwise, GradSlot, Memory, check_pre, check_slots, expect};
use crate::backend::elementwise::accumulate;
use crate::backend::{Activation, Kernel};
use crate::base::Result;
use crate::tensor::{Pattern, Shape, Tensor};

/// `y = act(W x + b)` with `W` stored on a [`Pattern`].
#[derive(Debug, Clone, Copy)]
pub struct SparseLinear<'a> {
    /// Inputs `[in, batch]`.
    pub x: &'a Tensor,
    /// Where the stored entries are; `[out, in]`.
    pub pattern: &'a Pattern,
    /// Their values, in the pattern's order.
    pub values: &'a Tensor,
    /// Bias `[out]`.
    pub bias: Option<&'a Tensor>,
    /// Applied to every output; element-wise only.
    pub activation: Activation,
}

impl SparseLinear<'_> {
    /// Checks all shapes against those of the output `[out, batch]`.
    ///
    /// # Errors
    /// One does not fit, or the activation is softmax.
    pub fn check(&self, op: &'static str, y: Shape) -> Result<()> {
        expect(op, Shape::vector(self.pattern.nonzeros()), self.values.shape())?;
        let w = Shape::matrix(self.pattern.rows(), self.pattern.columns());
        check(op, self.x.shape(), w, self.bias, self.activation, y)
    }
}

/// Which gradients of a [`SparseLinear`] are wanted, and where they go.
#[derive(Debug, Default)]
pub struct SparseGrads<'a> {
    /// `dx = W^T dz`, `[in, batch]`.
    pub x: Option<GradSlot<'a>>,
    /// `d values[k] = sum over the batch of dz[row_k] * x[column_k]`: stored entries only.
    pub values: Option<GradSlot<'a>>,
    /// `db = sum over the batch of dz`, `[out]`.
    pub bias: Option<GradSlot<'a>>,
}

impl SparseGrads<'_> {
    /// Checks all shapes.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, of: &SparseLinear<'_>) -> Result<()> {
        let bias = Shape::vector(of.pattern.rows());
        check_slots(op, [(&self.x, of.x.shape()), (&self.values, of.values.shape()), (&self.bias, bias)])
    }
}

/// `y = act(W x + b)` with the weights of a [`Packed`].
#[derive(Debug, Clone, Copy)]
pub struct PackedLinear<'a> {
    /// Inputs `[in, batch]`.
    pub x: &'a Tensor,
    /// Bias `[out]`.
    pub bias: Option<&'a Tensor>,
    /// Applied to every output; element-wise only.
    pub activation: Activation,
}

impl PackedLinear<'_> {
    /// Checks all shapes against those of the weights `w`, `[out, in]`, and of the output `[out, batch]`.
    ///
    /// # Errors
    /// One does not fit, or the activation is softmax.
    pub fn check(&self, op: &'static str, w: Shape, y: Shape) -> Result<()> {
        check(op, self.x.shape(), w, self.bias, self.activation, y)
    }
}

/// Weights that a backend has laid out for itself, to be multiplied with many times.
///
/// Determinism: as [`SparseKernels::sparse_linear`], whose sums it may add up in another order.
pub trait Packed: std::fmt::Debug + Send + Sync {
    /// The most samples it multiplies with at a time.
    fn most_samples(&self) -> usize;

    /// Bytes that a product reads.
    fn bytes(&self) -> usize;

    /// Writes the product to `y`, `[out, batch]`; `batch` is at most [`most_samples`](Self::most_samples).
    ///
    /// # Errors
    /// Shapes or element types do not fit, there are too many samples, or the activation is softmax.
    fn linear(&self, op: &PackedLinear<'_>, y: &mut Tensor) -> Result<()>;
}

/// Sparse products.
pub trait SparseKernels: Elementwise + Memory {
    /// `y = act(W x + b)`, and `pre = W x + b` where asked for.
    ///
    /// # Errors
    /// Shapes do not fit or the activation is softmax.
    fn sparse_linear(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        op.check("sparse_linear", y.shape())?;
        check_pre("sparse_linear", y, pre.as_deref())?;
        self.sparse_linear_kernel(op, y, pre)
    }

    /// [`sparse_linear`](Self::sparse_linear) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn sparse_linear_kernel(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let batch = op.x.shape().columns();
        let (x, values) = (self.download(op.x)?, self.download(op.values)?);
        let mut z = vec![0.0; y.len()];
        for ((r, c), v) in op.pattern.iter().zip(values) {
            for b in 0..batch {
                z[r * batch + b] += v * x[c * batch + b];
            }
        }
        finish(self, &mut z, op.bias, op.activation, y, pre)
    }

    /// The entries laid out for `kernel`, values copied; `None` where this backend has no layout for it, or where this
    /// pattern does not suit it.
    ///
    /// # Errors
    /// Shapes do not fit, or there is no memory.
    fn pack(&self, kernel: Kernel, pattern: &Pattern, values: &Tensor) -> Result<Option<Box<dyn Packed>>> {
        expect("pack", Shape::vector(pattern.nonzeros()), values.shape())?;
        self.pack_kernel(kernel, pattern, values)
    }

    /// [`pack`](Self::pack) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn pack_kernel(&self, kernel: Kernel, pattern: &Pattern, values: &Tensor) -> Result<Option<Box<dyn Packed>>> {
        let _ = (kernel, pattern, values);
        Ok(None)
    }

    /// Gradients of `z = W x + b` for `dz`, the gradient after [`Elementwise::activate_vjp`].
    ///
    /// # Errors
    /// Shapes do not fit.
    fn sparse_linear_vjp(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        op.check("sparse_linear_vjp", dz.shape())?;
        grads.check("sparse_linear_vjp", op)?;
        self.sparse_linear_vjp_kernel(op, dz, grads)
    }

    /// [`sparse_linear_vjp`](Self::sparse_linear_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn sparse_linear_vjp_kernel(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        let batch = op.x.shape().columns();
        let d = self.download(dz)?;
        if let Some(slot) = grads.x {
            let mut dx = vec![0.0; op.x.len()];
            for ((r, c), v) in op.pattern.iter().zip(self.download(op.values)?) {
                for b in 0..batch {
                    dx[c * batch + b] += v * d[r * batch + b];
                }
            }
            accumulate(self, dx, slot.tensor, slot.accum)?;
        }
        if let Some(slot) = grads.values {
            let x = self.download(op.x)?;
            let dot = |(r, c): (usize, usize)| (0..batch).map(|b| d[r * batch + b] * x[c * batch + b]).sum();
            accumulate(self, op.pattern.iter().map(dot).collect(), slot.tensor, slot.accum)?;
        }
        bias_gradient(self, &d, op.pattern.rows(), batch, grads.bias)
    }
}
