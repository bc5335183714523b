//! Optimiser steps.

use super::{GRAIN, typed};
use crate::Cpu;
use crate::families::dense::weight_gradient;
use crate::families::sparse::gradient_panels;
use crate::kernels;
use crate::kernels::gemm::gemm_panels;
use crate::kernels::math::Math;
use crate::kernels::vector::Lanes;
use spectral_core::{Constrain, OuterProduct, Result, Tensor, Update, UpdateKernels};

impl UpdateKernels for Cpu {
    fn update_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
    ) -> Result<()> {
        typed!(value, E => update::<E>(self, op, value, gradient, state))
    }

    fn update_product_kernel(
        &self,
        op: &Update<'_>,
        value: &mut Tensor,
        gradient: OuterProduct<'_>,
        state: &mut [Tensor],
    ) -> Result<()> {
        typed!(value, E => update_product::<E>(self, op, value, gradient, state))
    }

    fn constrain_kernel(&self, op: &Constrain<'_>, value: &mut Tensor) -> Result<()> {
        typed!(value, E => {
            op.apply(value.host_mut::<E>()?);
            Ok(())
        })
    }
}

fn update<E: Lanes>(
    cpu: &Cpu,
    op: &Update<'_>,
    value: &mut Tensor,
    gradient: &Tensor,
    state: &mut [Tensor],
) -> Result<()> {
    let gradient = gradient.host::<E>()?;
    cpu.crew().share(gradient.len(), GRAIN / 2, results(value, state)?, |first, to, results| {
        step(cpu, op, first, &gradient[first..to], results);
    });
    Ok(())
}

fn update_product<E: Math>(
    cpu: &Cpu,
    op: &Update<'_>,
    value: &mut Tensor,
    gradient: OuterProduct<'_>,
    state: &mut [Tensor],
) -> Result<()> {
    let (left, right) = (gradient.left, gradient.right);
    let work = |first: usize, gradient: &[E], results: Results<'_, E>| step(cpu, op, first, gradient, results);
    let Some(pattern) = gradient.pattern else {
        let (rows, columns, batch) = (value.shape().rows(), value.shape().columns(), left.shape().columns());
        let product = weight_gradient(left.host::<E>()?, right.host::<E>()?, rows, columns, batch);
        gemm_panels(cpu, product, results(value, state)?, work);
        return Ok(());
    };
    gradient_panels(cpu, pattern, (left, right), results(value, state)?, work)
}

/// What an update changes: the value and up to two tensors of state.
type Results<'a, E> = (&'a mut [E], (Option<&'a mut [E]>, Option<&'a mut [E]>));

fn results<'a, E: Lanes>(value: &'a mut Tensor, state: &'a mut [Tensor]) -> Result<Results<'a, E>> {
    let mut slots = state.iter_mut();
    let mut slot = || slots.next().map(|s| s.host_mut::<E>()).transpose();
    Ok((value.host_mut::<E>()?, (slot()?, slot()?)))
}

/// The step of the entries from `first` on.
fn step<E: Lanes>(cpu: &Cpu, op: &Update<'_>, first: usize, gradient: &[E], (value, (a, b)): Results<'_, E>) {
    cpu.simd().run(kernels::update::Update { op: *op, first, value, gradient, state: [a, b] });
}
