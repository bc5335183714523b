//! Spectral weights and their gradients.

use super::{expect, row_grain, typed};
use crate::Cpu;
use crate::kernels::crew::Rows;
use crate::kernels::spectral::{OuterGradient, Scale, inner_gradient};
use crate::kernels::vector::Lanes;
use spectral_core::{Accum, Result, Shape, SpectralGrads, SpectralKernels, SpectralWeight, Tensor};

impl SpectralKernels for Cpu {
    fn spectral_weight(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        op.check("spectral_weight", weight.shape())?;
        typed!(op.basis, E => scale::<E>(self, op, op.basis, weight, Accum::Replace))
    }

    fn spectral_weight_vjp(&self, op: &SpectralWeight<'_>, dw: &Tensor, grads: SpectralGrads<'_>) -> Result<()> {
        op.check("spectral_weight_vjp", dw.shape())?;
        let (outer, inner) = (dw.shape().rows(), dw.shape().columns());
        for (slot, shape) in [
            (&grads.basis, dw.shape()),
            (&grads.lambda_in, Shape::vector(inner)),
            (&grads.lambda_out, Shape::vector(outer)),
        ] {
            if let Some(slot) = slot {
                expect("spectral_weight_vjp", shape, slot.tensor.shape())?;
            }
        }
        typed!(op.basis, E => vjp::<E>(self, op, dw, grads))
    }
}

/// `to (+)= from * (lambda_in - lambda_out)`.
fn scale<E: Lanes>(cpu: &Cpu, op: &SpectralWeight<'_>, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
    let (inner, outer) = (op.lambda_in.host::<E>()?, op.lambda_out.host::<E>()?);
    let (values, n) = (from.host::<E>()?, inner.len());
    let rows = Rows { values: to.host_mut::<E>()?, width: n };
    cpu.crew().share(outer.len(), row_grain(n), rows, |top, bottom, rows| {
        let from = &values[top * n..bottom * n];
        cpu.simd().run(Scale { from, inner, outer: &outer[top..bottom], to: rows.values, accum });
    });
    Ok(())
}

fn vjp<E: Lanes>(cpu: &Cpu, op: &SpectralWeight<'_>, dw: &Tensor, grads: SpectralGrads<'_>) -> Result<()> {
    let (a, b, columns) = (dw.host::<E>()?, op.basis.host::<E>()?, dw.shape().columns());
    if let Some(slot) = grads.basis {
        scale::<E>(cpu, op, dw, slot.tensor, slot.accum)?;
    }
    if let Some(slot) = grads.lambda_out {
        let (out, accum) = (slot.tensor.host_mut::<E>()?, slot.accum);
        cpu.crew().share(out.len(), row_grain(columns), out, |top, bottom, out| {
            let rows = top * columns..bottom * columns;
            cpu.simd().run(OuterGradient { a: &a[rows.clone()], b: &b[rows], columns, out, accum });
        });
    }
    if let Some(slot) = grads.lambda_in {
        inner_gradient(cpu, a, b, slot.tensor.host_mut::<E>()?, slot.accum);
    }
    Ok(())
}
