//! Optimiser steps.

use super::{GRAIN, typed};
use crate::Cpu;
use crate::kernels;
use crate::kernels::vector::Lanes;
use spectral_core::{Constrain, Result, Tensor, Update, UpdateKernels};

impl UpdateKernels for Cpu {
    fn update(&self, op: &Update<'_>, value: &mut Tensor, gradient: &Tensor, state: &mut [Tensor]) -> Result<()> {
        op.check(value, gradient, state)?;
        typed!(value, E => update::<E>(self, op, value, gradient, state))
    }

    fn constrain(&self, op: &Constrain<'_>, value: &mut Tensor) -> Result<()> {
        op.check(value)?;
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
    let (value, gradient) = (value.host_mut::<E>()?, gradient.host::<E>()?);
    let mut slots = state.iter_mut();
    let mut slot = || slots.next().map(|s| s.host_mut::<E>()).transpose();
    let results = (value, (slot()?, slot()?));
    // GRAIN is a multiple of 64, so panels start at whole words of the masks.
    cpu.crew().share(gradient.len(), GRAIN / 2, results, |first, to, (value, (a, b))| {
        let gradient = &gradient[first..to];
        cpu.simd().run(kernels::update::Update { op: *op, first, value, gradient, state: [a, b] });
    });
    Ok(())
}
