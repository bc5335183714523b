//! Products with stored entries.

use super::{expect, typed};
use crate::Cpu;
use crate::kernels::csr::{Csr, Target, multiply, sampled};
use crate::kernels::math::Math;
use spectral_core::{Accum, Activation, Result, RowSum, Shape, SparseGrads, SparseKernels, SparseLinear, Tensor};

impl SparseKernels for Cpu {
    fn sparse_linear(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        op.check("sparse_linear", y.shape())?;
        if let Some(pre) = &pre {
            expect("sparse_linear", y.shape(), pre.shape())?;
        }
        typed!(op.x, E => linear::<E>(self, op, y, pre))
    }

    fn sparse_linear_vjp(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        op.check("sparse_linear_vjp", dz.shape())?;
        for (slot, shape) in [
            (&grads.x, op.x.shape()),
            (&grads.values, op.values.shape()),
            (&grads.bias, Shape::vector(op.pattern.rows())),
        ] {
            if let Some(slot) = slot {
                expect("sparse_linear_vjp", shape, slot.tensor.shape())?;
            }
        }
        typed!(op.x, E => vjp::<E>(self, op, dz, grads))
    }
}

fn by_row<'a, E: Math>(op: &SparseLinear<'a>) -> Result<Csr<'a, E>> {
    let values = op.values.host::<E>()?;
    Ok(Csr { starts: op.pattern.starts(), indices: op.pattern.indices(), positions: None, values })
}

fn linear<E: Math>(cpu: &Cpu, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
    let (inputs, batch) = (op.pattern.columns(), op.x.shape().columns());
    let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
    let y = y.host_mut::<E>()?;
    let (y, activated) = match pre {
        Some(pre) => (pre.host_mut::<E>()?, Some(y)),
        None => (y, None),
    };
    let to = Target { y, accum: Accum::Replace, bias, activation: op.activation, activated };
    multiply(cpu, by_row::<E>(op)?, op.x.host::<E>()?, inputs, batch, to);
    Ok(())
}

fn vjp<E: Math>(cpu: &Cpu, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
    let batch = op.x.shape().columns();
    let (x, d) = (op.x.host::<E>()?, dz.host::<E>()?);
    if let Some(slot) = grads.x {
        let by_column = op.pattern.by_column();
        let transposed = Csr {
            starts: &by_column.starts,
            indices: &by_column.rows,
            positions: Some(&by_column.positions),
            values: op.values.host::<E>()?,
        };
        let y = slot.tensor.host_mut::<E>()?;
        let to = Target { y, accum: slot.accum, bias: None, activation: Activation::Identity, activated: None };
        multiply(cpu, transposed, d, op.pattern.rows(), batch, to);
    }
    if let Some(slot) = grads.values {
        let out = slot.tensor.host_mut::<E>()?;
        if batch > 0 {
            sampled(cpu, by_row::<E>(op)?, d, x, batch, out, slot.accum);
        } else if slot.accum == Accum::Replace {
            out.fill(E::of(0.0));
        }
    }
    if let Some(slot) = grads.bias {
        super::reduce::row_sums::<E>(cpu, RowSum::Plain, dz, slot.tensor, slot.accum)?;
    }
    Ok(())
}
