//! Means and variances of samples.

use super::typed;
use crate::Cpu;
use crate::kernels::samplewise::{Gradient, standardise, standardise_vjp};
use crate::kernels::vector::Lanes;
use spectral_core::backend::{SampleNorm, SampleNormVjp};
use spectral_core::{Element, GradSlot, Result, Samplewise, Tensor};

impl Samplewise for Cpu {
    fn normalise_samples_kernel(&self, op: &SampleNorm<'_>, y: &mut Tensor, variance: &mut Tensor) -> Result<()> {
        typed!(op.x, E => {
            let (x, epsilon) = (op.x.host::<E>()?, E::of(op.epsilon));
            standardise(self, x, epsilon, y.host_mut::<E>()?, variance.host_mut::<E>()?);
            Ok(())
        })
    }

    fn normalise_samples_vjp_kernel(&self, op: &SampleNormVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        typed!(op.y, E => vjp::<E>(self, op, dx))
    }
}

fn vjp<E: Lanes>(cpu: &Cpu, op: &SampleNormVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
    let of = Gradient {
        y: op.y.host::<E>()?,
        dy: op.dy.host::<E>()?,
        scale: op.scale.host::<E>()?,
        variance: op.variance.host::<E>()?,
        epsilon: E::of(op.epsilon),
    };
    standardise_vjp(cpu, of, dx.tensor.host_mut::<E>()?, dx.accum);
    Ok(())
}
