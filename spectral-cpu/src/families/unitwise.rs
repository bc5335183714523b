//! Factors, constants and means for each unit.

use super::{row_grain, typed};
use crate::Cpu;
use crate::kernels::activation::Activate;
use crate::kernels::crew::Rows;
use crate::kernels::math::Math;
use crate::kernels::unitwise::{Bent, BentDots, RowDots, Scale, Standard, StandardVjp};
use crate::kernels::vector::Lanes;
use spectral_core::backend::{Diagonal, DiagonalGrads, Prelu, PreluGrads, Standardise, StandardiseVjp, Standardised};
use spectral_core::{Accum, Activation, Result, RowSum, Tensor, Unitwise};

impl Unitwise for Cpu {
    fn diagonal_kernel(&self, op: &Diagonal<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        typed!(op.x, E => diagonal::<E>(self, op, y, pre))
    }

    fn diagonal_vjp_kernel(&self, op: &Diagonal<'_>, dz: &Tensor, grads: DiagonalGrads<'_>) -> Result<()> {
        typed!(op.x, E => diagonal_vjp::<E>(self, op, dz, grads))
    }

    fn prelu_kernel(&self, op: &Prelu<'_>, y: &mut Tensor) -> Result<()> {
        typed!(op.x, E => prelu::<E>(self, op, y))
    }

    fn prelu_vjp_kernel(&self, op: &Prelu<'_>, dy: &Tensor, grads: PreluGrads<'_>) -> Result<()> {
        typed!(op.x, E => prelu_vjp::<E>(self, op, dy, grads))
    }

    fn standardise_kernel(&self, op: &Standardise<'_>, to: Standardised<'_>) -> Result<()> {
        typed!(op.x, E => standardise::<E>(self, op, to))
    }

    fn standardise_vjp_kernel(&self, op: &StandardiseVjp<'_>, dx: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(op.y, E => standardise_vjp::<E>(self, op, dx, accum))
    }
}

fn diagonal<E: Math>(cpu: &Cpu, op: &Diagonal<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
    let n = op.x.shape().columns();
    let (x, factor, y) = (op.x.host::<E>()?, op.scale.host::<E>()?, y.host_mut::<E>()?);
    let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
    let (z, activated) = match pre {
        Some(pre) => (pre.host_mut::<E>()?, Some(Rows { values: y, width: n })),
        None => (y, None),
    };
    let results = (Rows { values: z, width: n }, activated);
    cpu.crew().share(factor.len(), row_grain(n), results, |top, bottom, (z, activated)| {
        let (x, bias) = (&x[top * n..bottom * n], bias.map(|b| &b[top..bottom]));
        cpu.simd().run(Scale { x, factor: &factor[top..bottom], bias, to: z.values, accum: Accum::Replace });
        match activated {
            Some(y) => cpu.simd().run(Activate::new(op.activation, z.values, y.values)),
            None if op.activation == Activation::Identity => {}
            None => cpu.simd().run(Activate::in_place(op.activation, z.values)),
        }
    });
    Ok(())
}

fn diagonal_vjp<E: Lanes>(cpu: &Cpu, op: &Diagonal<'_>, dz: &Tensor, grads: DiagonalGrads<'_>) -> Result<()> {
    let n = op.x.shape().columns();
    let (x, factor, d) = (op.x.host::<E>()?, op.scale.host::<E>()?, dz.host::<E>()?);
    if let Some(slot) = grads.x {
        let (to, accum) = (Rows { values: slot.tensor.host_mut::<E>()?, width: n }, slot.accum);
        cpu.crew().share(factor.len(), row_grain(n), to, |top, bottom, to| {
            let (x, factor) = (&d[top * n..bottom * n], &factor[top..bottom]);
            cpu.simd().run(Scale { x, factor, bias: None, to: to.values, accum });
        });
    }
    if let Some(slot) = grads.scale {
        let (out, accum) = (slot.tensor.host_mut::<E>()?, slot.accum);
        cpu.crew().share(factor.len(), row_grain(n), out, |top, bottom, out| {
            let rows = top * n..bottom * n;
            cpu.simd().run(RowDots { a: &x[rows.clone()], b: &d[rows], columns: n, out, accum });
        });
    }
    match grads.bias {
        Some(slot) => super::reduce::row_sums::<E>(cpu, RowSum::Plain, dz, slot.tensor, slot.accum),
        None => Ok(()),
    }
}

fn prelu<E: Lanes>(cpu: &Cpu, op: &Prelu<'_>, y: &mut Tensor) -> Result<()> {
    let n = op.x.shape().columns();
    let (x, slope, y) = (op.x.host::<E>()?, op.slope.host::<E>()?, Rows { values: y.host_mut::<E>()?, width: n });
    cpu.crew().share(slope.len(), row_grain(n), y, |top, bottom, y| {
        let (x, slope) = (&x[top * n..bottom * n], &slope[top..bottom]);
        cpu.simd().run(Bent { x, of: x, slope, to: y.values, accum: Accum::Replace });
    });
    Ok(())
}

fn prelu_vjp<E: Lanes>(cpu: &Cpu, op: &Prelu<'_>, dy: &Tensor, grads: PreluGrads<'_>) -> Result<()> {
    let n = op.x.shape().columns();
    let (x, slope, d) = (op.x.host::<E>()?, op.slope.host::<E>()?, dy.host::<E>()?);
    if let Some(slot) = grads.x {
        let (to, accum) = (Rows { values: slot.tensor.host_mut::<E>()?, width: n }, slot.accum);
        cpu.crew().share(slope.len(), row_grain(n), to, |top, bottom, to| {
            let rows = top * n..bottom * n;
            cpu.simd().run(Bent {
                x: &x[rows.clone()],
                of: &d[rows],
                slope: &slope[top..bottom],
                to: to.values,
                accum,
            });
        });
    }
    if let Some(slot) = grads.slope {
        let (out, accum) = (slot.tensor.host_mut::<E>()?, slot.accum);
        cpu.crew().share(slope.len(), row_grain(n), out, |top, bottom, out| {
            let rows = top * n..bottom * n;
            cpu.simd().run(BentDots { x: &x[rows.clone()], d: &d[rows], columns: n, out, accum });
        });
    }
    Ok(())
}

fn standardise<E: Lanes>(cpu: &Cpu, op: &Standardise<'_>, to: Standardised<'_>) -> Result<()> {
    let n = op.x.shape().columns();
    let (x, epsilon) = (op.x.host::<E>()?, E::of(op.epsilon));
    let (mean, variance) = (to.mean.host_mut::<E>()?, to.variance.host_mut::<E>()?);
    let (units, y) = (mean.len(), Rows { values: to.y.host_mut::<E>()?, width: n });
    cpu.crew().share(units, row_grain(n), (y, (mean, variance)), |top, bottom, (y, (mean, variance))| {
        cpu.simd().run(Standard { x: &x[top * n..bottom * n], columns: n, epsilon, y: y.values, mean, variance });
    });
    Ok(())
}

fn standardise_vjp<E: Lanes>(cpu: &Cpu, op: &StandardiseVjp<'_>, dx: &mut Tensor, accum: Accum) -> Result<()> {
    let n = dx.shape().columns();
    let (y, dy, variance, factor) =
        (op.y.host::<E>()?, op.dy.host::<E>()?, op.variance.host::<E>()?, op.scale.host::<E>()?);
    let (epsilon, dx) = (E::of(op.epsilon), Rows { values: dx.host_mut::<E>()?, width: n });
    cpu.crew().share(factor.len(), row_grain(n), dx, |top, bottom, dx| {
        let rows = top * n..bottom * n;
        let (variance, factor) = (&variance[top..bottom], &factor[top..bottom]);
        let (y, dy) = (&y[rows.clone()], &dy[rows]);
        cpu.simd().run(StandardVjp { y, dy, columns: n, variance, factor, epsilon, dx: dx.values, accum });
    });
    Ok(())
}
