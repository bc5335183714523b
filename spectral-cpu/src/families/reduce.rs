//! Sums over samples, losses, and checks.

use super::{GRAIN, row_grain, typed};
use crate::Cpu;
use crate::kernels::loss::{Loss, loss};
use crate::kernels::math::Math;
use crate::kernels::reduce::{Largest, RowSums};
use crate::kernels::vector::Lanes;
use spectral_core::{Accum, Element, GradSlot, LossKernel, Reduce, Result, RowSum, Tensor};
use std::sync::atomic::{AtomicU64, Ordering};

impl Reduce for Cpu {
    fn row_sums_kernel(&self, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(x, E => row_sums::<E>(self, sum, x, sums, accum))
    }

    fn loss_kernel(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        typed!(op.outputs, E => run_loss::<E>(self, op, totals, gradient))
    }

    fn largest(&self, x: &Tensor) -> Result<f64> {
        typed!(x, E => {
            let values = x.host::<E>()?;
            // Bits of numbers that are not negative are ordered as they are, with NaN above all.
            let most = AtomicU64::new(0);
            self.crew().each(values.len().div_ceil(GRAIN), |i| {
                let panel = &values[i * GRAIN..values.len().min((i + 1) * GRAIN)];
                let largest = self.simd().run(Largest(panel)).wide();
                most.fetch_max(largest.abs().to_bits(), Ordering::Relaxed);
            });
            Ok(f64::from_bits(most.into_inner()))
        })
    }
}

/// Row sums of a tensor whose shape was checked.
pub(super) fn row_sums<E: Lanes>(cpu: &Cpu, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
    let (columns, x, sums) = (x.shape().columns(), x.host::<E>()?, sums.host_mut::<E>()?);
    cpu.crew().share(sums.len(), row_grain(columns), sums, |from, to, sums| {
        cpu.simd().run(RowSums { sum, x: &x[from * columns..to * columns], columns, sums, accum });
    });
    Ok(())
}

fn run_loss<E: Math>(
    cpu: &Cpu,
    op: &LossKernel<'_>,
    totals: &mut Tensor,
    gradient: Option<GradSlot<'_>>,
) -> Result<()> {
    let totals = totals.host_mut::<f64>()?;
    let (accum, gradient) = match gradient {
        Some(slot) => (slot.accum, Some(slot.tensor.host_mut::<E>()?)),
        None => (Accum::Replace, None),
    };
    let op = Loss {
        kind: op.kind,
        outputs: op.outputs.host::<E>()?,
        targets: op.targets.host::<E>()?,
        columns: op.outputs.shape().columns(),
        scale: E::of(op.gradient_scale),
        accum,
    };
    let sums = loss(cpu, &op, gradient);
    totals.iter_mut().zip(sums).for_each(|(t, s)| *t += s);
    Ok(())
}
