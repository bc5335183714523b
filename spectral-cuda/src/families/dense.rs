//! Products with dense weights.

use crate::device::Multiplied;
use crate::device::call::{Factor, multiply};
use crate::{Cuda, Device, Source};
use spectral_core::{Accum, Activation, DenseKernels, Linear, LinearGrads, Result, RowSum, Tensor};

/// Results of a block of the own kernel along each side.
const TILE: usize = 64;

/// What happens to a product before it is stored.
#[derive(Default)]
pub(super) struct Epilogue<'a> {
    /// One value for each row.
    pub(super) bias: Option<&'a Tensor>,
    /// Element-wise.
    pub(super) activation: Activation,
    /// Takes what goes into the activation.
    pub(super) before: Option<&'a mut Tensor>,
}

impl<D: Device> DenseKernels for Cuda<D> {
    fn linear_kernel(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let extents = [op.weight.shape().rows(), op.x.shape().columns(), op.weight.shape().columns()];
        let epilogue = Epilogue { bias: op.bias, activation: op.activation, before: pre };
        self.product([(op.weight, false), (op.x, false)], extents, (y, Accum::Replace), epilogue)
    }

    fn linear_vjp_kernel(&self, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
        let (out, inputs, batch) = (op.weight.shape().rows(), op.weight.shape().columns(), op.x.shape().columns());
        if let Some(slot) = grads.x {
            let factors = [(op.weight, true), (dz, false)];
            self.product(factors, [inputs, batch, out], (slot.tensor, slot.accum), Epilogue::default())?;
        }
        if let Some(slot) = grads.weight {
            let factors = [(dz, false), (op.x, true)];
            self.product(factors, [out, inputs, batch], (slot.tensor, slot.accum), Epilogue::default())?;
        }
        match grads.bias {
            Some(slot) => self.sums_of_rows(RowSum::Plain, dz, slot),
            None => Ok(()),
        }
    }
}

impl<D: Device> Cuda<D> {
    /// `c (+)= a b` with `a` `[m, k]` and `b` `[k, n]`; with an epilogue `c = act(a b + bias)`.
    pub(super) fn product(
        &self,
        factors: [Factor<'_>; 2],
        extents: [usize; 3],
        (c, accum): (&mut Tensor, Accum),
        mut epilogue: Epilogue<'_>,
    ) -> Result<()> {
        let [m, n, k] = extents;
        let Epilogue { bias, activation, .. } = epilogue;
        let relu = activation == Activation::Relu && epilogue.before.is_none();
        let done = if m * n * k == 0 {
            Multiplied::Nothing
        } else {
            let target = epilogue.before.as_deref().unwrap_or(c);
            multiply(self.pool(), factors, extents, (target, accum), (bias, relu))?
        };
        let plain = bias.is_none() && activation == Activation::Identity && epilogue.before.is_none();
        let whole = epilogue.before.is_none() && (relu || activation == Activation::Identity);
        match done {
            Multiplied::Nothing => self.own_product(factors, extents, (c, accum), epilogue),
            Multiplied::Product if !plain => self.finish(bias, activation, epilogue.before.take(), c),
            Multiplied::All if !whole => self.finish(None, activation, epilogue.before.take(), c),
            Multiplied::Product | Multiplied::All => Ok(()),
        }
    }

    /// `y = act(z + bias)`, where `z` is what `before` or else `y` holds.
    fn finish(
        &self,
        bias: Option<&Tensor>,
        activation: Activation,
        before: Option<&mut Tensor>,
        y: &mut Tensor,
    ) -> Result<()> {
        let call = self.call(Source::Dense, "finish", y.dtype());
        let call = call.tensor(before.as_deref().unwrap_or(y)).tensor(y).maybe(before.as_deref()).maybe(bias);
        call.size(y.shape().columns()).activation(activation).over(y.len())
    }

    fn own_product(
        &self,
        [(a, a_transposed), (b, b_transposed)]: [Factor<'_>; 2],
        [m, n, k]: [usize; 3],
        (c, accum): (&mut Tensor, Accum),
        epilogue: Epilogue<'_>,
    ) -> Result<()> {
        let [a_down, a_across] = if a_transposed { [1, m] } else { [k, 1] };
        let [b_down, b_across] = if b_transposed { [1, k] } else { [n, 1] };
        let call = self.call(Source::Dense, "gemm", c.dtype()).tensor(a).tensor(b).tensor(c);
        let call = call.maybe(epilogue.before.as_deref()).maybe(epilogue.bias).size(m).size(n).size(k);
        let call = call.size(a_down).size(a_across).size(b_down).size(b_across);
        call.activation(epilogue.activation).accum(accum).run([n.div_ceil(TILE), m.div_ceil(TILE)])
    }
}
