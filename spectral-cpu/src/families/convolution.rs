//! Convolutions as products: every window of the images is a column, and the batch is innermost in both, so that
//! columns are made of whole runs of memory. Groups are products of their own. Outputs that see one channel each
//! (depthwise) are sums of shifted images and need no columns.

use super::{row_grain, typed};
use crate::Cpu;
use crate::kernels::activation::Activate;
use crate::kernels::crew::Rows;
use crate::kernels::depthwise::{Shifted, ShiftedBack, ShiftedDot};
use crate::kernels::elementwise::{Scaled, Zip};
use crate::kernels::gemm::{Product, Strided, Target, gemm};
use crate::kernels::math::Math;
use crate::kernels::vector::Lanes;
use crate::kernels::windows::Grid;
use spectral_core::backend::{Conv2d, ConvGrads};
use spectral_core::{Accum, Activation, ConvKernels, GradSlot, Result, RowSum, Tensor};

impl ConvKernels for Cpu {
    fn conv2d_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        y: &mut Tensor,
        pre: Option<&mut Tensor>,
    ) -> Result<()> {
        typed!(op.x, E => conv2d::<E>(self, op, scratch, y, pre))
    }

    fn conv2d_vjp_kernel(
        &self,
        op: &Conv2d<'_>,
        scratch: &mut Tensor,
        dz: &Tensor,
        grads: ConvGrads<'_>,
    ) -> Result<()> {
        typed!(op.x, E => conv2d_vjp::<E>(self, op, scratch, dz, grads))
    }

    fn reshaped_kernel(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        typed!(x, E => {
            add(self, x.host::<E>()?, y.host_mut::<E>()?, accum);
            Ok(())
        })
    }
}

fn conv2d<E: Math>(
    cpu: &Cpu,
    op: &Conv2d<'_>,
    scratch: &mut Tensor,
    y: &mut Tensor,
    pre: Option<&mut Tensor>,
) -> Result<()> {
    let grid = Grid::new(op.window, op.x.shape(), y.shape());
    let (x, w, columns) = (op.x.host::<E>()?, op.weight.host::<E>()?, scratch.host_mut::<E>()?);
    let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
    let y = y.host_mut::<E>()?;
    let (c, activated) = match pre {
        Some(pre) => (pre.host_mut::<E>()?, Some(y)),
        None => (y, None),
    };
    if is_depthwise(op) {
        depthwise(cpu, op, grid, (x, w, bias), (c, activated));
        return Ok(());
    }
    let (inner, n) = (op.weight.shape().columns(), grid.places());
    let taps = grid.window.taps();
    let panels = Rows { values: &mut *columns, width: n };
    cpu.crew().share(op.groups * inner, row_grain(n), panels, |top, bottom, panel| {
        for (row, to) in (top..bottom).zip(panel.values.chunks_mut(n.max(1))) {
            let channel = row / taps;
            let image = &x[channel * grid.image()..(channel + 1) * grid.image()];
            let offset = grid.offset(row % taps);
            for i in 0..grid.rows {
                grid.runs(i, offset, |run| match run.from {
                    Some(from) => to[run.at..run.at + run.len].copy_from_slice(&image[from..from + run.len]),
                    None => to[run.at..run.at + run.len].fill(E::of(0.0)),
                });
            }
        }
    });
    let rows = op.weight.shape().rows() / op.groups;
    let mut activated = activated.map(|y| y.chunks_mut((rows * n).max(1)));
    for (group, c) in c.chunks_mut((rows * n).max(1)).enumerate() {
        let product = Product {
            rows,
            columns: n,
            inner,
            a: Strided { values: &w[group * rows * inner..(group + 1) * rows * inner], row: inner, column: 1 },
            b: Strided { values: &columns[group * inner * n..(group + 1) * inner * n], row: n, column: 1 },
        };
        let bias = bias.map(|b| &b[group * rows..(group + 1) * rows]);
        let activated = activated.as_mut().and_then(Iterator::next);
        gemm(cpu, product, Target { c, accum: Accum::Replace, bias, activation: op.activation, activated });
    }
    Ok(())
}

/// Whether every output channel sees one channel of the images, so that no matrix of windows is needed.
fn is_depthwise(op: &Conv2d<'_>) -> bool {
    op.groups > 1 && op.groups == op.x.shape().rows()
}

/// Images or weights and what comes out: what goes into the activation, and what comes out of it if both are wanted.
type Operands<'a, E> = (&'a [E], &'a [E], Option<&'a [E]>);
type Outputs<'a, E> = (&'a mut [E], Option<&'a mut [E]>);

fn depthwise<E: Math>(
    cpu: &Cpu,
    op: &Conv2d<'_>,
    grid: Grid,
    (x, w, bias): Operands<'_, E>,
    (z, activated): Outputs<'_, E>,
) {
    let (n, taps, out) = (grid.places(), grid.window.taps(), op.weight.shape().rows());
    let each = out / op.groups;
    let results = (Rows { values: z, width: n }, activated.map(|values| Rows { values, width: n }));
    cpu.crew().share(out, row_grain(n * taps), results, |top, bottom, (z, mut activated)| {
        for (k, o) in (top..bottom).enumerate() {
            let image = &x[o / each * grid.image()..(o / each + 1) * grid.image()];
            let (weight, bias) = (&w[o * taps..(o + 1) * taps], bias.map_or(E::of(0.0), |b| b[o]));
            let z = &mut z.values[k * n..(k + 1) * n];
            cpu.simd().run(Shifted { grid, x: image, weight, bias, z: &mut *z });
            match &mut activated {
                Some(y) => cpu.simd().run(Activate::new(op.activation, z, &mut y.values[k * n..(k + 1) * n])),
                None if op.activation == Activation::Identity => {}
                None => cpu.simd().run(Activate::in_place(op.activation, z)),
            }
        }
    });
}

fn conv2d_vjp<E: Math>(
    cpu: &Cpu,
    op: &Conv2d<'_>,
    scratch: &mut Tensor,
    dz: &Tensor,
    grads: ConvGrads<'_>,
) -> Result<()> {
    let grid = Grid::new(op.window, op.x.shape(), dz.shape());
    let (w, d, columns) = (op.weight.host::<E>()?, dz.host::<E>()?, scratch.host_mut::<E>()?);
    let (out, inner, n) = (op.weight.shape().rows(), op.weight.shape().columns(), grid.places());
    if let Some(slot) = grads.bias {
        let bias = slot.tensor.host_mut::<E>()?;
        let sums =
            crate::kernels::reduce::RowSums { sum: RowSum::Plain, x: d, columns: n, sums: bias, accum: slot.accum };
        cpu.simd().run(sums);
    }
    if is_depthwise(op) {
        return depthwise_vjp::<E>(cpu, op, grid, d, grads.weight, grads.x);
    }
    let plain = |c, accum| Target { c, accum, bias: None, activation: Activation::Identity, activated: None };
    let rows = out / op.groups;
    if let Some(slot) = grads.weight {
        let dw = slot.tensor.host_mut::<E>()?;
        for (group, dw) in dw.chunks_mut((rows * inner).max(1)).enumerate() {
            let product = Product {
                rows,
                columns: inner,
                inner: n,
                a: Strided { values: &d[group * rows * n..(group + 1) * rows * n], row: n, column: 1 },
                b: Strided { values: &columns[group * inner * n..(group + 1) * inner * n], row: 1, column: n },
            };
            gemm(cpu, product, plain(dw, slot.accum));
        }
    }
    let Some(slot) = grads.x else { return Ok(()) };
    // The windows themselves are needed no more: their gradients take their place.
    for (group, columns) in columns.chunks_mut((inner * n).max(1)).enumerate() {
        let product = Product {
            rows: inner,
            columns: n,
            inner: rows,
            a: Strided { values: &w[group * rows * inner..(group + 1) * rows * inner], row: 1, column: inner },
            b: Strided { values: &d[group * rows * n..(group + 1) * rows * n], row: n, column: 1 },
        };
        gemm(cpu, product, plain(columns, Accum::Replace));
    }
    let (dx, accum, taps) = (slot.tensor.host_mut::<E>()?, slot.accum, grid.window.taps());
    let (channels, columns) = (op.x.shape().rows(), &*columns);
    let images = Rows { values: dx, width: grid.image() };
    cpu.crew().share(channels, row_grain(grid.image() * taps), images, |top, bottom, images| {
        for (channel, image) in (top..bottom).zip(images.values.chunks_mut(grid.image().max(1))) {
            if accum == Accum::Replace {
                image.fill(E::of(0.0));
            }
            for tap in 0..taps {
                let from = &columns[(channel * taps + tap) * n..(channel * taps + tap + 1) * n];
                for i in 0..grid.rows {
                    grid.seen(i, grid.offset(tap), |at, to, len| {
                        let (a, y) = (&from[at..at + len], &mut image[to..to + len]);
                        let function = Scaled(E::of(1.0));
                        cpu.simd().run(Zip { function, a, b: a, y, accum: Accum::Add });
                    });
                }
            }
        }
    });
    Ok(())
}

fn depthwise_vjp<E: Math>(
    cpu: &Cpu,
    op: &Conv2d<'_>,
    grid: Grid,
    dz: &[E],
    weight: Option<GradSlot<'_>>,
    x: Option<GradSlot<'_>>,
) -> Result<()> {
    let (n, taps, each) = (grid.places(), grid.window.taps(), op.weight.shape().rows() / op.groups);
    let outputs = |o: usize| &dz[o * n..(o + 1) * n];
    if let Some(slot) = weight {
        let (images, accum, dw) = (op.x.host::<E>()?, slot.accum, slot.tensor.host_mut::<E>()?);
        cpu.crew().share(dw.len(), row_grain(n), dw, |first, last, dw| {
            for (at, dw) in (first..last).zip(dw) {
                let o = at / taps;
                let x = &images[o / each * grid.image()..(o / each + 1) * grid.image()];
                let sum = cpu.simd().run(ShiftedDot { grid, x, dz: outputs(o), tap: at % taps });
                *dw = accum.apply(*dw, sum);
            }
        });
    }
    let Some(slot) = x else { return Ok(()) };
    let (w, accum) = (op.weight.host::<E>()?, slot.accum);
    let images = Rows { values: slot.tensor.host_mut::<E>()?, width: grid.image() };
    cpu.crew().share(op.groups, row_grain(grid.image() * taps * each), images, |top, bottom, images| {
        for (channel, dx) in (top..bottom).zip(images.values.chunks_mut(grid.image().max(1))) {
            if accum == Accum::Replace {
                dx.fill(E::of(0.0));
            }
            for o in channel * each..(channel + 1) * each {
                let weight = &w[o * taps..(o + 1) * taps];
                cpu.simd().run(ShiftedBack { grid, dz: outputs(o), weight, dx: &mut *dx });
            }
        }
    });
    Ok(())
}

/// `y (+)= x`.
fn add<E: Lanes>(cpu: &Cpu, x: &[E], y: &mut [E], accum: Accum) {
    match accum {
        Accum::Replace => y.copy_from_slice(x),
        Accum::Add => cpu.simd().run(Zip { function: Scaled(E::of(1.0)), a: x, b: x, y, accum }),
    }
}
