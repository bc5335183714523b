//! Optimiser steps.

use super::dense::Epilogue;
use crate::{Cuda, Device, Source};
use spectral_core::{Accum, Constrain, Constraint, OuterProduct, Result, Rows, Rule, Tensor, Update, UpdateKernels};

impl<D: Device> UpdateKernels for Cuda<D> {
    fn constrain_kernel(&self, op: &Constrain<'_>, value: &mut Tensor) -> Result<()> {
        let (kind, [least, most, share]) = match op.constraint {
            Constraint::None => return Ok(()),
            Constraint::NonNeg => (0, [0.0; 3]),
            Constraint::UnitNorm => (1, [0.0; 3]),
            Constraint::MaxNorm { max } => (2, [0.0, max, 1.0]),
            Constraint::MinMaxNorm { min, max, rate } => (3, [min, max, rate]),
        };
        let (rows, starts) = match op.rows {
            Rows::Equal(rows) => (rows, None),
            Rows::Starts(starts) => (starts.len() - 1, Some(self.pool().uploaded(starts)?)),
        };
        let trainable = self.mask(op.trainable)?;
        let call = self.call(Source::Update, "constrain", value.dtype()).tensor(value).buffer(starts.as_ref());
        let call = call.buffer(trainable.as_deref()).choice(kind).real(least).real(most).real(share);
        call.size(rows).size(value.len() / rows.max(1)).each(rows)
    }

    fn update_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        // The number of the rule in `kernels/update.cu`, its numbers in the order of its fields, and its switch.
        let (rule, [p, q, r], flag) = match op.rule {
            Rule::Sgd { momentum, nesterov } => (0, [momentum, 0.0, 0.0], nesterov),
            Rule::Adam { beta1, beta2, epsilon } => (1, [beta1, beta2, epsilon], false),
            Rule::Adamax { beta1, beta2, epsilon } => (2, [beta1, beta2, epsilon], false),
            Rule::RmsProp { rho, epsilon, epsilon_inside } => (3, [rho, epsilon, 0.0], epsilon_inside),
        };
        let (pruned, trainable) = (self.mask(op.pruned)?, self.mask(op.trainable)?);
        let call = self.call(Source::Update, "update", value.dtype()).tensor(value).tensor(gradient);
        let call = call.maybe(state.first()).maybe(state.get(1));
        let call = call.buffer(pruned.as_deref()).buffer(trainable.as_deref());
        let call = call.choice(rule).real(p).real(q).real(r).choice(i64::from(flag));
        let call = call.real(op.correction(p)).real(op.correction(q)).real(op.rate).real(op.gradient_scale);
        call.real(op.l1).real(op.l2).real(op.decay).over(value.len())
    }

    fn update_product_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: OuterProduct<'_>,
        state: &mut [Tensor],
    ) -> Result<()> {
        let shape = value.shape();
        let mut written = self.scratch(shape, value.dtype())?;
        if gradient.pattern.is_some() {
            gradient.write(self, value, &mut written)?;
            return self.update(op, value, &written, state);
        }
        let factors = [(gradient.left, false), (gradient.right, true)];
        let extents = [shape.rows(), shape.columns(), gradient.left.shape().columns()];
        self.product(factors, extents, (&mut written, Accum::Replace), Epilogue::default())?;
        self.update(op, value, &written, state)
    }
}
