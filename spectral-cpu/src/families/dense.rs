//! Products with dense weights.

use super::typed;
use crate::Cpu;
use crate::kernels::gemm::{Product, Strided, Target, gemm};
use crate::kernels::gemv::{Gemv, SAMPLES, gemv, gemv_transposed};
use crate::kernels::math::Math;
use spectral_core::{Accum, Activation, DenseKernels, Linear, LinearGrads, Result, Tensor};

impl DenseKernels for Cpu {
    fn linear_kernel(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        typed!(op.x, E => linear::<E>(self, op, y, pre))
    }

    fn linear_vjp_kernel(&self, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
        typed!(op.x, E => linear_vjp::<E>(self, op, dz, grads))
    }
}

fn linear<E: Math>(cpu: &Cpu, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
    let (inner, columns) = (op.weight.shape().columns(), op.x.shape().columns());
    let (w, x) = (op.weight.host::<E>()?, op.x.host::<E>()?);
    let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
    let y = y.host_mut::<E>()?;
    let (c, activated) = match pre {
        Some(pre) => (pre.host_mut::<E>()?, Some(y)),
        None => (y, None),
    };
    if (1..=SAMPLES).contains(&columns) {
        let op = Gemv { w, x, inputs: inner, samples: columns, bias, activation: op.activation };
        gemv(cpu, &op, c, activated);
        return Ok(());
    }
    let product = Product {
        rows: op.weight.shape().rows(),
        columns,
        inner,
        a: Strided { values: w, row: inner, column: 1 },
        b: Strided { values: x, row: columns, column: 1 },
    };
    gemm(cpu, product, Target { c, accum: Accum::Replace, bias, activation: op.activation, activated });
    Ok(())
}

fn linear_vjp<E: Math>(cpu: &Cpu, op: &Linear<'_>, dz: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
    let (out, inputs, batch) = (op.weight.shape().rows(), op.weight.shape().columns(), op.x.shape().columns());
    let (x, weight, d) = (op.x.host::<E>()?, op.weight.host::<E>()?, dz.host::<E>()?);
    if let Some(slot) = grads.x {
        let dx = slot.tensor.host_mut::<E>()?;
        let product = Product {
            rows: inputs,
            columns: batch,
            inner: out,
            a: Strided { values: weight, row: 1, column: inputs },
            b: Strided { values: d, row: batch, column: 1 },
        };
        if batch == 1 {
            gemv_transposed(cpu, weight, d, dx, slot.accum);
        } else {
            gemm(cpu, product, plain(dx, slot.accum));
        }
    }
    if let Some(slot) = grads.weight {
        let product = weight_gradient(d, x, out, inputs, batch);
        gemm(cpu, product, plain(slot.tensor.host_mut::<E>()?, slot.accum));
    }
    if let Some(slot) = grads.bias {
        super::reduce::row_sums::<E>(cpu, spectral_core::RowSum::Plain, dz, slot.tensor, slot.accum)?;
    }
    Ok(())
}

/// `dz x^T` with `dz` `[out, batch]` and `x` `[inputs, batch]`.
pub(super) fn weight_gradient<'a, E>(
    dz: &'a [E],
    x: &'a [E],
    out: usize,
    inputs: usize,
    batch: usize,
) -> Product<'a, E> {
    Product {
        rows: out,
        columns: inputs,
        inner: batch,
        a: Strided { values: dz, row: batch, column: 1 },
        b: Strided { values: x, row: 1, column: batch },
    }
}

fn plain<E>(c: &mut [E], accum: Accum) -> Target<'_, E> {
    Target { c, accum, bias: None, activation: Activation::Identity, activated: None }
}
