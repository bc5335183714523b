//! Kernels that act on every element alone, or move elements.

use super::{Accum, Memory, expect};
use crate::backend::{Activation, Penalty};
use crate::base::{Error, Result, hash64};
use crate::tensor::{Mask, Tensor};

/// A block of rows to copy from one `[features, batch]` tensor into another.
#[derive(Debug, Clone, Copy)]
pub struct RowCopy {
    /// First row read.
    pub from_row: usize,
    /// First row written.
    pub to_row: usize,
    /// Number of rows.
    pub rows: usize,
}

/// Inverted dropout: element `i` survives iff `hash64(key, i) >= rate * 2^64`, and is then scaled by
/// `1 / (1 - rate)`. The same key gives the same choice forward and backward, on every backend.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share of elements set to zero, in `0..1`.
    pub rate: f64,
    /// What the choice derives from, see [`Seed::key`](crate::base::Seed::key).
    pub key: u64,
}

impl Dropout {
    /// Elements whose hash is below this are dropped.
    pub fn threshold(&self) -> u64 {
        (self.rate * 2f64.powi(64)) as u64
    }

    /// What survivors are multiplied with.
    pub fn scale(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }
}

/// Element-wise kernels.
pub trait Elementwise: Memory {
    /// `y = act(x)`, softmax down the features of each sample included.
    ///
    /// # Errors
    /// Shapes differ.
    fn activate(&self, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
        expect("activate", x.shape(), y.shape())?;
        self.activate_kernel(act, x, y)
    }

    /// [`activate`](Self::activate) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn activate_kernel(&self, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let mut v = self.download(x)?;
        if act.is_elementwise() {
            v.iter_mut().for_each(|v| *v = act.value(*v));
        } else {
            softmax_columns(&mut v, x.shape().columns());
        }
        self.write(&v, y)
    }

    /// `dy = dy * act'(at)` in place: the gradient with respect to the input of an activation.
    ///
    /// `at` is the activation's input where [`Activation::slope_needs_input`], its output elsewhere. For
    /// softmax `dx = y * (dy - sum_j y_j dy_j)` over the features of a sample.
    ///
    /// # Errors
    /// Shapes differ.
    fn activate_vjp(&self, act: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
        expect("activate_vjp", at.shape(), dy.shape())?;
        self.activate_vjp_kernel(act, at, dy)
    }

    /// [`activate_vjp`](Self::activate_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn activate_vjp_kernel(&self, act: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
        let (at, mut d) = (self.download(at)?, self.download(dy)?);
        if act.is_elementwise() {
            for (d, at) in d.iter_mut().zip(at) {
                *d *= act.slope(at);
            }
        } else {
            let batch = dy.shape().columns();
            for b in 0..batch {
                let dot: f64 = (b..d.len()).step_by(batch).map(|i| at[i] * d[i]).sum();
                for i in (b..d.len()).step_by(batch) {
                    d[i] = at[i] * (d[i] - dot);
                }
            }
        }
        self.write(&d, dy)
    }

    /// `y (+)= alpha * x`.
    ///
    /// # Errors
    /// Shapes differ.
    fn scale(&self, alpha: f64, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        expect("scale", x.shape(), y.shape())?;
        self.scale_kernel(alpha, x, y, accum)
    }

    /// [`scale`](Self::scale) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn scale_kernel(&self, alpha: f64, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let mut v = self.download(x)?;
        v.iter_mut().for_each(|v| *v *= alpha);
        accumulate(self, v, y, accum)
    }

    /// `y (+)= a * b`, element by element.
    ///
    /// # Errors
    /// Shapes differ.
    fn multiply(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        expect("multiply", a.shape(), b.shape())?;
        expect("multiply", a.shape(), y.shape())?;
        self.multiply_kernel(a, b, y, accum)
    }

    /// [`multiply`](Self::multiply) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn multiply_kernel(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let mut v = self.download(a)?;
        for (v, b) in v.iter_mut().zip(self.download(b)?) {
            *v *= b;
        }
        accumulate(self, v, y, accum)
    }

    /// `to[to_row + r, :] (+)= from[from_row + r, :]` for `r` in `0..rows`.
    ///
    /// # Errors
    /// The batches differ or a row is out of range.
    fn copy_rows(&self, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
        op.check(from, to)?;
        self.copy_rows_kernel(op, from, to, accum)
    }

    /// [`copy_rows`](Self::copy_rows) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn copy_rows_kernel(&self, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
        let n = from.shape().columns();
        let (source, mut target) = (self.download(from)?, self.download(to)?);
        for i in 0..op.rows * n {
            let t = &mut target[op.to_row * n + i];
            *t = accum.apply(*t, source[op.from_row * n + i]);
        }
        self.write(&target, to)
    }

    /// `y (+)= x` with dropout, see [`Dropout`].
    ///
    /// # Errors
    /// Shapes differ.
    fn dropout(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        expect("dropout", x.shape(), y.shape())?;
        self.dropout_kernel(op, x, y, accum)
    }

    /// [`dropout`](Self::dropout) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn dropout_kernel(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let mut v = self.download(x)?;
        for (i, v) in v.iter_mut().enumerate() {
            *v = if hash64(op.key, i as u64) < op.threshold() { 0.0 } else { *v * op.scale() };
        }
        accumulate(self, v, y, accum)
    }

    /// `dx += factor * (l1 sign(x) + 2 l2 x)`: the gradient of a penalty on values.
    ///
    /// # Errors
    /// Shapes differ.
    fn penalty_vjp(&self, penalty: Penalty, factor: f64, x: &Tensor, dx: &mut Tensor) -> Result<()> {
        expect("penalty_vjp", x.shape(), dx.shape())?;
        self.penalty_vjp_kernel(penalty, factor, x, dx)
    }

    /// [`penalty_vjp`](Self::penalty_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn penalty_vjp_kernel(&self, penalty: Penalty, factor: f64, x: &Tensor, dx: &mut Tensor) -> Result<()> {
        let mut v = self.download(x)?;
        v.iter_mut().for_each(|v| {
            let sign = if *v == 0.0 { 0.0 } else { v.signum() };
            *v = factor * (penalty.l1 * sign + 2.0 * penalty.l2 * *v);
        });
        accumulate(self, v, dx, Accum::Add)
    }

    /// Brings every element into `-limit..=limit`; NaN stays NaN.
    ///
    /// # Errors
    /// The device failed.
    fn clamp(&self, limit: f64, t: &mut Tensor) -> Result<()> {
        let mut v = self.download(t)?;
        v.iter_mut().for_each(|v| *v = v.clamp(-limit, limit));
        self.write(&v, t)
    }

    /// Sets the entries in `mask` to exactly `+0.0`, whatever they held.
    ///
    /// # Errors
    /// The mask is over another number of entries.
    fn zero_where(&self, mask: &Mask, t: &mut Tensor) -> Result<()> {
        if mask.len() != t.len() {
            return Err(Error::shape("zero_where", t.shape(), format!("a mask over {} entries", mask.len())));
        }
        self.zero_where_kernel(mask, t)
    }

    /// [`zero_where`](Self::zero_where) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn zero_where_kernel(&self, mask: &Mask, t: &mut Tensor) -> Result<()> {
        let mut v = self.download(t)?;
        mask.iter().for_each(|i| v[i] = 0.0);
        self.write(&v, t)
    }
}

impl RowCopy {
    /// Checks the rows against the two tensors.
    ///
    /// # Errors
    /// The batches differ or a row is out of range.
    pub fn check(&self, from: &Tensor, to: &Tensor) -> Result<()> {
        let (f, t) = (from.shape(), to.shape());
        let fits =
            f.columns() == t.columns() && self.from_row + self.rows <= f.rows() && self.to_row + self.rows <= t.rows();
        if fits {
            Ok(())
        } else {
            Err(Error::shape("copy_rows", format!("{self:?} inside both"), format!("{f} and {t}")))
        }
    }
}

/// Adds or assigns host values to a device tensor.
pub(super) fn accumulate<B: Memory + ?Sized>(
    backend: &B,
    mut values: Vec<f64>,
    y: &mut Tensor,
    accum: Accum,
) -> Result<()> {
    if accum == Accum::Add {
        for (v, old) in values.iter_mut().zip(backend.download(y)?) {
            *v += old;
        }
    }
    backend.write(&values, y)
}

/// Softmax down each column of a row-major matrix of `batch` columns.
pub(super) fn softmax_columns(v: &mut [f64], batch: usize) {
    for b in 0..batch.min(v.len()) {
        let top = v[b..].iter().step_by(batch).copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for x in v[b..].iter_mut().step_by(batch) {
            *x = (*x - top).exp();
            sum += *x;
        }
        v[b..].iter_mut().step_by(batch).for_each(|x| *x /= sum);
    }
}
