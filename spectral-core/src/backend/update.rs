//! One step of an optimiser on one parameter, in one pass over memory.

use super::{Accum, DenseKernels, GradSlot, Linear, LinearGrads, SparseGrads, SparseKernels, SparseLinear, expect};
use crate::backend::{Activation, Constrain};
use crate::base::Result;
use crate::tensor::{Mask, Pattern, Shape, Tensor};
use serde::{Deserialize, Serialize};

/// Values and optimiser state closer to zero than this become zero, so that decaying weights never linger
/// as subnormals, which slow every later kernel down.
pub const SUBNORMAL_CUT: f64 = 1e-30;

/// The update rules that have a fused kernel. `g` is the gradient, `t` the step from 1, `lr` the rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `v = momentum v + g`; `w -= lr v`, or with Nesterov `w -= lr (g + momentum v)`. Without momentum
    /// there is no state. Sutskever et al. 2013, in PyTorch's form.
    Sgd {
        /// Share of the old velocity that is kept, in `0..1`.
        momentum: f64,
        /// Look ahead along the velocity.
        nesterov: bool,
    },
    /// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
    /// `w -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)`. Kingma & Ba 2015.
    Adam {
        /// Decay of the mean.
        beta1: f64,
        /// Decay of the mean square.
        beta2: f64,
        /// Added outside the root.
        epsilon: f64,
    },
    /// `m` as Adam, `u = max(beta2 u, |g|)`, `w -= lr / (1 - beta1^t) m / (u + epsilon)`. Kingma & Ba 2015.
    Adamax {
        /// Decay of the mean.
        beta1: f64,
        /// Decay of the largest.
        beta2: f64,
        /// Keeps the divisor above zero.
        epsilon: f64,
    },
    /// `v = rho v + (1 - rho) g^2`; `w -= lr g / (sqrt(v) + epsilon)`, or with `epsilon_inside`
    /// `w -= lr g / sqrt(v + epsilon)`. Tieleman & Hinton 2012; frameworks differ in where epsilon goes.
    RmsProp {
        /// Decay of the mean square.
        rho: f64,
        /// Keeps the divisor above zero.
        epsilon: f64,
        /// Add epsilon under the root.
        epsilon_inside: bool,
    },
}

impl Rule {
    /// Tensors of state per parameter.
    pub fn slots(&self) -> usize {
        match self {
            Self::Sgd { momentum, .. } => usize::from(*momentum != 0.0),
            Self::RmsProp { .. } => 1,
            Self::Adam { .. } | Self::Adamax { .. } => 2,
        }
    }
}

/// An update of one parameter.
///
/// In order: `g += 2 l2 w + l1 sign(w)`; `w -= lr decay w`; the rule; values and state below
/// [`SUBNORMAL_CUT`] become zero. Entries outside `trainable` keep value and state untouched. Entries in
/// `pruned` get value and state exactly zero.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The rule.
    pub rule: Rule,
    /// Learning rate of this step.
    pub rate: f64,
    /// Number of this step, from 1.
    pub step: u64,
    /// Factor on the gradient before anything else, for clipping by norm; usually 1.
    pub gradient_scale: f64,
    /// Weight of `sum |w|` in the loss.
    pub l1: f64,
    /// Weight of `sum w^2` in the loss (no 1/2).
    pub l2: f64,
    /// Decoupled weight decay (AdamW).
    pub decay: f64,
    /// Entries that are zero.
    pub pruned: Option<&'a Mask>,
    /// Entries that may move; all, if absent.
    pub trainable: Option<&'a Mask>,
}

/// The gradient `left right^T` of a weight `[out, in]`, not written down: the sum over the batch of the outer products
/// of two columns.
#[derive(Debug, Clone, Copy)]
pub struct OuterProduct<'a> {
    /// `[out, batch]`: the gradient with respect to what the weight gave.
    pub left: &'a Tensor,
    /// `[in, batch]`: what went into the weight.
    pub right: &'a Tensor,
    /// The entries that the weight stores, in whose order its values and their gradient are; `None` if it is a matrix.
    pub pattern: Option<&'a Pattern>,
}

impl<'a> OuterProduct<'a> {
    /// Writes down the gradient of `weight`.
    ///
    /// # Errors
    /// The shapes do not fit.
    pub fn write<B>(&self, backend: &B, weight: &Tensor, to: &mut Tensor) -> Result<()>
    where
        B: DenseKernels + SparseKernels + ?Sized,
    {
        let slot = Some(GradSlot { tensor: to, accum: Accum::Replace });
        match self.pattern {
            None => {
                let grads = LinearGrads { weight: slot, ..LinearGrads::default() };
                backend.linear_vjp(&self.of(weight), self.left, grads)
            }
            Some(pattern) => {
                let grads = SparseGrads { values: slot, ..SparseGrads::default() };
                backend.sparse_linear_vjp(&self.of_stored(pattern, weight), self.left, grads)
            }
        }
    }

    /// Checks the shapes.
    ///
    /// # Errors
    /// They are not those of a gradient of `weight`.
    pub fn check(&self, op: &'static str, weight: &Tensor) -> Result<()> {
        match self.pattern {
            None => self.of(weight).check(op, self.left.shape()),
            Some(pattern) => self.of_stored(pattern, weight).check(op, self.left.shape()),
        }
    }

    /// The product that has this gradient.
    pub(super) fn of<'b>(&self, weight: &'b Tensor) -> Linear<'b>
    where
        'a: 'b,
    {
        Linear { x: self.right, weight, bias: None, activation: Activation::Identity }
    }

    fn of_stored<'b>(&self, pattern: &'b Pattern, values: &'b Tensor) -> SparseLinear<'b>
    where
        'a: 'b,
    {
        SparseLinear { x: self.right, pattern, values, bias: None, activation: Activation::Identity }
    }
}

/// Optimiser steps.
pub trait UpdateKernels: DenseKernels + SparseKernels {
    /// Makes a parameter satisfy a constraint.
    ///
    /// # Errors
    /// The mask is over another number of entries.
    fn constrain(&self, op: &Constrain<'_>, value: &mut Tensor) -> Result<()> {
        op.check(value)?;
        self.constrain_kernel(op, value)
    }

    /// [`constrain`](Self::constrain) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn constrain_kernel(&self, op: &Constrain<'_>, value: &mut Tensor) -> Result<()> {
        let mut w = self.download(value)?;
        op.apply(&mut w);
        self.write(&w, value)
    }

    /// Applies `op` to a parameter's value and state ([`Rule::slots`] tensors of the value's shape).
    ///
    /// # Errors
    /// Shapes do not fit, or the number of state tensors is wrong.
    fn update(&self, op: &Update<'_>, value: &mut Tensor, gradient: &Tensor, state: &mut [Tensor]) -> Result<()> {
        op.check(value, gradient.shape(), state)?;
        self.update_kernel(op, value, gradient, state)
    }

    /// [`update`](Self::update) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn update_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        let mut w = self.download(value)?;
        let g = self.download(gradient)?;
        let mut s = state.iter().map(|s| self.download(s)).collect::<Result<Vec<_>>>()?;
        let cut = |x: f64| if x.abs() < SUBNORMAL_CUT { 0.0 } else { x };
        for i in 0..w.len() {
            if op.pruned.is_some_and(|m| m.contains(i)) {
                w[i] = 0.0;
                s.iter_mut().for_each(|s| s[i] = 0.0);
                continue;
            }
            if op.trainable.is_some_and(|m| !m.contains(i)) {
                continue;
            }
            let g = op.gradient_scale * g[i] + 2.0 * op.l2 * w[i] + op.l1 * sign(w[i]);
            let step = match op.rule {
                Rule::Sgd { momentum, nesterov } => match s.first_mut() {
                    None => g,
                    Some(v) => {
                        v[i] = momentum * v[i] + g;
                        if nesterov { g + momentum * v[i] } else { v[i] }
                    }
                },
                Rule::Adam { beta1, beta2, epsilon } => {
                    s[0][i] = beta1 * s[0][i] + (1.0 - beta1) * g;
                    s[1][i] = beta2 * s[1][i] + (1.0 - beta2) * g * g;
                    let (m, v) = (s[0][i] / op.correction(beta1), s[1][i] / op.correction(beta2));
                    m / (v.sqrt() + epsilon)
                }
                Rule::Adamax { beta1, beta2, epsilon } => {
                    s[0][i] = beta1 * s[0][i] + (1.0 - beta1) * g;
                    s[1][i] = (beta2 * s[1][i]).max(g.abs());
                    s[0][i] / op.correction(beta1) / (s[1][i] + epsilon)
                }
                Rule::RmsProp { rho, epsilon, epsilon_inside } => {
                    s[0][i] = rho * s[0][i] + (1.0 - rho) * g * g;
                    g / if epsilon_inside { (s[0][i] + epsilon).sqrt() } else { s[0][i].sqrt() + epsilon }
                }
            };
            w[i] = cut(w[i] - op.rate * op.decay * w[i] - op.rate * step);
            s.iter_mut().for_each(|s| s[i] = cut(s[i]));
        }
        self.write(&w, value)?;
        state.iter_mut().zip(&s).try_for_each(|(t, s)| self.write(s, t))
    }

    /// Applies `op` for a gradient that is a product: [`DenseKernels::linear_vjp`], or for stored entries
    /// [`SparseKernels::sparse_linear_vjp`], and [`update`](Self::update) to the bit. A kernel of its own need not
    /// write the gradient to memory.
    ///
    /// # Errors
    /// As [`update`](Self::update), or the factors do not fit.
    fn update_product(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: OuterProduct<'_>,
        state: &mut [Tensor],
    ) -> Result<()> {
        gradient.check("update_product", value)?;
        op.check(value, value.shape(), state)?;
        self.update_product_kernel(op, value, gradient, state)
    }

    /// [`update_product`](Self::update_product) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn update_product_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: OuterProduct<'_>,
        state: &mut [Tensor],
    ) -> Result<()> {
        let mut written = self.zeros(value.shape(), value.dtype())?;
        gradient.write(self, value, &mut written)?;
        self.update(op, value, &written, state)
    }
}

/// -1, 0 or 1.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

impl Update<'_> {
    /// `1 - beta^step`: what a decayed mean that started at zero must be divided by.
    pub fn correction(&self, beta: f64) -> f64 {
        1.0 - beta.powi(i32::try_from(self.step).unwrap_or(i32::MAX))
    }

    /// Checks all shapes.
    ///
    /// # Errors
    /// One does not fit, or the number of state tensors is wrong.
    pub fn check(&self, value: &Tensor, gradient: Shape, state: &[Tensor]) -> Result<()> {
        let bad_mask = |m: Option<&Mask>| m.is_some_and(|m| m.len() != value.len());
        if state.len() != self.rule.slots() || bad_mask(self.pruned) || bad_mask(self.trainable) {
            let expected = format!("{} state tensors and masks over {} entries", self.rule.slots(), value.len());
            return Err(crate::base::Error::shape(
                "update",
                expected,
                format!("{} state tensors, {:?}, {:?}", state.len(), self.pruned, self.trainable),
            ));
        }
        expect("update", value.shape(), gradient)?;
        state.iter().try_for_each(|s| expect("update", value.shape(), s.shape()))
    }
}
