//! Element-wise kernels, and softmax with them.

use super::{GRAIN, typed};
use crate::Cpu;
use crate::kernels::activation::{Activate, ActivateVjp};
use crate::kernels::elementwise::{Binary, Clamp, Drop, Multiplied, PenaltySlope, Scaled, Zip};
use crate::kernels::math::Math;
use crate::kernels::softmax::{softmax, softmax_vjp};
use crate::kernels::vector::Lanes;
use spectral_core::{Accum, Activation, Dropout, Element, Elementwise, Mask, Penalty, Result, RowCopy, Tensor};

impl Elementwise for Cpu {
    fn activate_kernel(&self, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
        typed!(x, E => activate::<E>(self, act, x, y))
    }

    fn activate_vjp_kernel(&self, act: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
        typed!(at, E => activate_vjp::<E>(self, act, at, dy))
    }

    fn scale_kernel(&self, alpha: f64, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(x, E => zip::<E, _>(self, Scaled(E::of(alpha)), x, x, y, accum))
    }

    fn multiply_kernel(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(a, E => zip::<E, _>(self, Multiplied, a, b, y, accum))
    }

    fn copy_rows_kernel(&self, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(from, E => copy_rows::<E>(self, op, from, to, accum))
    }

    fn dropout_kernel(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(x, E => dropout::<E>(self, op, x, y, accum))
    }

    fn penalty_vjp_kernel(&self, penalty: Penalty, factor: f64, x: &Tensor, dx: &mut Tensor) -> Result<()> {
        typed!(x, E => {
            let slope = PenaltySlope { l1: E::of(factor * penalty.l1), l2: E::of(2.0 * factor * penalty.l2) };
            zip::<E, _>(self, slope, x, x, dx, Accum::Add)
        })
    }

    fn clamp(&self, limit: f64, t: &mut Tensor) -> Result<()> {
        typed!(t, E => clamp(self, E::of(limit), t.host_mut::<E>()?));
        Ok(())
    }

    fn zero_where_kernel(&self, mask: &Mask, t: &mut Tensor) -> Result<()> {
        typed!(t, E => {
            zero_where(mask, t.host_mut::<E>()?);
            Ok(())
        })
    }
}

fn activate<E: Math>(cpu: &Cpu, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
    let columns = x.shape().columns();
    let (x, y) = (x.host::<E>()?, y.host_mut::<E>()?);
    if act.is_elementwise() {
        cpu.crew().share(y.len(), GRAIN, y, |from, to, y| cpu.simd().run(Activate::new(act, &x[from..to], y)));
    } else {
        softmax(cpu, x, y, columns);
    }
    Ok(())
}

fn activate_vjp<E: Math>(cpu: &Cpu, activation: Activation, at: &Tensor, dy: &mut Tensor) -> Result<()> {
    let columns = at.shape().columns();
    let (at, dy) = (at.host::<E>()?, dy.host_mut::<E>()?);
    if activation.is_elementwise() {
        cpu.crew().share(dy.len(), GRAIN, dy, |from, to, dy| {
            cpu.simd().run(ActivateVjp { activation, at: &at[from..to], dy });
        });
    } else {
        softmax_vjp(cpu, at, dy, columns);
    }
    Ok(())
}

fn zip<E: Lanes, F: Binary<E> + Sync>(
    cpu: &Cpu,
    function: F,
    a: &Tensor,
    b: &Tensor,
    y: &mut Tensor,
    accum: Accum,
) -> Result<()> {
    let (a, b, y) = (a.host::<E>()?, b.host::<E>()?, y.host_mut::<E>()?);
    zip_slices(cpu, function, a, b, y, accum);
    Ok(())
}

fn zip_slices<E: Lanes, F: Binary<E> + Sync>(cpu: &Cpu, function: F, a: &[E], b: &[E], y: &mut [E], accum: Accum) {
    cpu.crew().share(y.len(), GRAIN, y, |from, to, y| {
        cpu.simd().run(Zip { function, a: &a[from..to], b: &b[from..to], y, accum });
    });
}

fn copy_rows<E: Lanes>(cpu: &Cpu, op: RowCopy, from: &Tensor, to: &mut Tensor, accum: Accum) -> Result<()> {
    let n = from.shape().columns();
    let from = &from.host::<E>()?[op.from_row * n..(op.from_row + op.rows) * n];
    let to = &mut to.host_mut::<E>()?[op.to_row * n..(op.to_row + op.rows) * n];
    match accum {
        Accum::Replace => to.copy_from_slice(from),
        Accum::Add => zip_slices(cpu, Scaled(E::of(1.0)), from, from, to, accum),
    }
    Ok(())
}

fn dropout<E: Lanes>(cpu: &Cpu, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
    let (x, y) = (x.host::<E>()?, y.host_mut::<E>()?);
    cpu.crew().share(y.len(), GRAIN, y, |from, to, y| {
        cpu.simd().run(Drop { op, first: from, x: &x[from..to], y, accum });
    });
    Ok(())
}

fn clamp<E: Lanes>(cpu: &Cpu, limit: E, values: &mut [E]) {
    cpu.crew().share(values.len(), GRAIN, values, |_, _, y| cpu.simd().run(Clamp { limit, y }));
}

/// Few bits are set at either end of a pruning run, so whole words are told apart first.
fn zero_where<E: Element>(mask: &Mask, values: &mut [E]) {
    for (word, chunk) in mask.words().iter().zip(values.chunks_mut(64)) {
        match *word {
            0 => {}
            u64::MAX => chunk.fill(E::of(0.0)),
            word => {
                for (bit, value) in chunk.iter_mut().enumerate() {
                    *value = if word >> bit & 1 == 1 { E::of(0.0) } else { *value };
                }
            }
        }
    }
}
