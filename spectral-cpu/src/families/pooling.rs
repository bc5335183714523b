//! Pooling, channel by channel.

use super::{row_grain, typed};
use crate::Cpu;
use crate::kernels::crew::Rows;
use crate::kernels::math::Math;
use crate::kernels::pooling::{Largest, LargestBack, Mean, MeanBack};
use crate::kernels::windows::Grid;
use spectral_core::backend::{Pool2d, Pool2dVjp};
use spectral_core::{Accum, GradSlot, PoolKernels, Pooling, Result, Tensor};

impl PoolKernels for Cpu {
    fn pool2d_kernel(&self, op: &Pool2d<'_>, y: &mut Tensor) -> Result<()> {
        typed!(op.x, E => pool2d::<E>(self, op, y))
    }

    fn pool2d_vjp_kernel(&self, op: &Pool2dVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        typed!(op.y, E => pool2d_vjp::<E>(self, op, dx))
    }
}

fn pool2d<E: Math>(cpu: &Cpu, op: &Pool2d<'_>, y: &mut Tensor) -> Result<()> {
    let (grid, channels) = (Grid::new(op.window, op.x.shape(), y.shape()), y.shape().rows());
    let (x, n) = (op.x.host::<E>()?, grid.places());
    let to = Rows { values: y.host_mut::<E>()?, width: n };
    cpu.crew().share(channels, row_grain(n * grid.window.taps()), to, |top, bottom, to| {
        for (channel, y) in (top..bottom).zip(to.values.chunks_mut(n.max(1))) {
            let x = &x[channel * grid.image()..(channel + 1) * grid.image()];
            match op.pooling {
                Pooling::Max => cpu.simd().run(Largest { grid, x, y }),
                Pooling::Average { padding } => cpu.simd().run(Mean { grid, padding, x, y }),
            }
        }
    });
    Ok(())
}

fn pool2d_vjp<E: Math>(cpu: &Cpu, op: &Pool2dVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
    let (grid, channels) = (Grid::new(op.of.window, op.of.x.shape(), op.y.shape()), op.y.shape().rows());
    let (x, y, dy, accum) = (op.of.x.host::<E>()?, op.y.host::<E>()?, op.dy.host::<E>()?, dx.accum);
    let (n, image) = (grid.places(), grid.image());
    let to = Rows { values: dx.tensor.host_mut::<E>()?, width: image };
    cpu.crew().share(channels, row_grain(n * grid.window.taps()), to, |top, bottom, to| {
        for (channel, dx) in (top..bottom).zip(to.values.chunks_mut(image.max(1))) {
            if accum == Accum::Replace {
                dx.fill(E::of(0.0));
            }
            let (places, dy) = (channel * n..(channel + 1) * n, &dy[channel * n..(channel + 1) * n]);
            match op.of.pooling {
                Pooling::Max => {
                    let x = &x[channel * image..(channel + 1) * image];
                    cpu.simd().run(LargestBack { grid, x, y: &y[places], dy, dx });
                }
                Pooling::Average { padding } => cpu.simd().run(MeanBack { grid, padding, dy, dx }),
            }
        }
    });
    Ok(())
}
