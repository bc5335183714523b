//! Products with dense weights.

use super::{Elementwise, GradSlot, check_pre, check_slots, expect};
use crate::backend::Activation;
use crate::backend::elementwise::accumulate;
use crate::base::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// `y = act(W x + b)`.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// Inputs `[in, batch]`.
    pub x: &'a Tensor,
    /// Weights `[out, in]`.
    pub weight: &'a Tensor,
    /// Bias `[out]`.
    pub bias: Option<&'a Tensor>,
    /// Applied to every output; element-wise only.
    pub activation: Activation,
}

impl Linear<'_> {
    /// Checks all shapes against those of the output `[out, batch]`.
    ///
    /// # Errors
    /// One does not fit, or the activation is softmax.
    pub fn check(&self, op: &'static str, y: Shape) -> Result<()> {
        check(op, self.x.shape(), self.weight.shape(), self.bias, self.activation, y)
    }
}

pub(super) fn check(
    op: &'static str,
    x: Shape,
    w: Shape,
    bias: Option<&Tensor>,
    act: Activation,
    y: Shape,
) -> Result<()> {
    if w.rank() != 2 {
        return Err(Error::shape(op, "weights [out, in]", w));
    }
    expect(op, Shape::matrix(w.columns(), x.columns()), Shape::matrix(x.rows(), x.columns()))?;
    expect(op, Shape::matrix(w.rows(), x.columns()), Shape::matrix(y.rows(), y.columns()))?;
    if let Some(bias) = bias {
        expect(op, Shape::vector(w.rows()), bias.shape())?;
    }
    if act.is_elementwise() {
        Ok(())
    } else {
        Err(Error::config(op, "softmax cannot be fused; apply it with `activate`"))
    }
}

/// Which gradients of a [`Linear`] are wanted, and where they go.
#[derive(Debug, Default)]
pub struct LinearGrads<'a> {
    /// `dx = W^T dz`, `[in, batch]`.
    pub x: Option<GradSlot<'a>>,
    /// `dW = dz x^T`, `[out, in]`.
    pub weight: Option<GradSlot<'a>>,
    /// `db = sum over the batch of dz`, `[out]`.
    pub bias: Option<GradSlot<'a>>,
}

impl LinearGrads<'_> {
    /// Checks all shapes against those of inputs and weights.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, x: Shape, weight: Shape) -> Result<()> {
        check_slots(op, [(&self.x, x), (&self.weight, weight), (&self.bias, Shape::vector(weight.rows()))])
    }
}

/// Dense products.
pub trait DenseKernels: Elementwise {
    /// `y = act(W x + b)`, and `pre = W x + b` where asked for.
    ///
    /// # Errors
    /// Shapes do not fit or the activation is softmax.
    fn linear(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        op.check("linear", y.shape())?;
        check_pre("linear", y, pre.as_deref())?;
        self.linear_kernel(op, y, pre)
    }

    /// [`linear`](Self::linear) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn linear_kernel(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let (x, w) = (self.download(op.x)?, self.download(op.weight)?);
        let mut z = product(&w, &x, op.weight.shape().rows(), op.weight.shape().columns(), op.x.shape().columns());
        finish(self, &mut z, op.bias, op.activation, y, pre)
    }

    /// Gradients of `z = W x + b` for `dz`, the gradient after [`Elementwise::activate_vjp`].
    ///
    /// # Errors
    /// Shapes do not fit.
    fn linear_vjp(&self, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
        op.check("linear_vjp", dz.shape())?;
        grads.check("linear_vjp", op.x.shape(), op.weight.shape())?;
        self.linear_vjp_kernel(op, dz, grads)
    }

    /// [`linear_vjp`](Self::linear_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn linear_vjp_kernel(&self, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
        let (out, inputs, batch) = (op.weight.shape().rows(), op.weight.shape().columns(), op.x.shape().columns());
        let d = self.download(dz)?;
        if let Some(slot) = grads.x {
            let wt = transpose(&self.download(op.weight)?, out, inputs);
            accumulate(self, product(&wt, &d, inputs, out, batch), slot.tensor, slot.accum)?;
        }
        if let Some(slot) = grads.weight {
            let xt = transpose(&self.download(op.x)?, inputs, batch);
            accumulate(self, product(&d, &xt, out, batch, inputs), slot.tensor, slot.accum)?;
        }
        bias_gradient(self, &d, out, batch, grads.bias)
    }
}

/// Adds the bias, stores the pre-activation where asked for, and activates.
pub(super) fn finish<B: Elementwise + ?Sized>(
    backend: &B,
    z: &mut [f64],
    bias: Option<&Tensor>,
    act: Activation,
    y: &mut Tensor,
    pre: Option<&mut Tensor>,
) -> Result<()> {
    let batch = y.shape().columns();
    if let Some(bias) = bias {
        for (o, b) in backend.download(bias)?.into_iter().enumerate() {
            z[o * batch..(o + 1) * batch].iter_mut().for_each(|z| *z += b);
        }
    }
    if let Some(pre) = pre {
        backend.write(z, pre)?;
    }
    z.iter_mut().for_each(|z| *z = act.value(*z));
    backend.write(z, y)
}

/// `db = sum over the batch of dz`.
pub(super) fn bias_gradient<B: Elementwise + ?Sized>(
    backend: &B,
    dz: &[f64],
    out: usize,
    batch: usize,
    slot: Option<GradSlot<'_>>,
) -> Result<()> {
    let Some(slot) = slot else { return Ok(()) };
    let sums = (0..out).map(|o| dz[o * batch..(o + 1) * batch].iter().sum()).collect();
    accumulate(backend, sums, slot.tensor, slot.accum)
}

/// `[m, k] x [k, n]`, row-major.
fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for p in 0..k {
            for j in 0..n {
                c[i * n + j] += a[i * k + p] * b[p * n + j];
            }
        }
    }
    c
}

fn transpose(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|i| a[i % rows * columns + i / rows]).collect()
}
