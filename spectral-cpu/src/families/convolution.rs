//! Convolutions as products: every window of the images is a column, and the batch is innermost in both, so that
//! columns are made of whole runs of memory.

use super::{expect, row_grain, typed};
use crate::Cpu;
use crate::kernels::crew::Rows;
use crate::kernels::elementwise::{Scaled, Zip};
use crate::kernels::gemm::{Product, Strided, Target, gemm};
use crate::kernels::math::Math;
use crate::kernels::vector::Lanes;
use spectral_core::backend::{Conv2d, ConvGrads, Window};
use spectral_core::{Accum, Activation, ConvKernels, Error, Result, RowSum, Shape, Tensor};

impl ConvKernels for Cpu {
    fn conv2d(&self, op: &Conv2d<'_>, scratch: &mut Tensor, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        expect("conv2d", op.output("conv2d")?, y.shape())?;
        expect("conv2d", op.columns("conv2d")?, scratch.shape())?;
        if let Some(pre) = &pre {
            expect("conv2d", y.shape(), pre.shape())?;
        }
        typed!(op.x, E => conv2d::<E>(self, op, scratch, y, pre))
    }

    fn conv2d_vjp(&self, op: &Conv2d<'_>, scratch: &mut Tensor, dz: &Tensor, grads: ConvGrads<'_>) -> Result<()> {
        expect("conv2d_vjp", op.output("conv2d_vjp")?, dz.shape())?;
        expect("conv2d_vjp", op.columns("conv2d_vjp")?, scratch.shape())?;
        grads.check("conv2d_vjp", op)?;
        typed!(op.x, E => conv2d_vjp::<E>(self, op, scratch, dz, grads))
    }

    fn reshaped(&self, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        if x.len() != y.len() {
            return Err(Error::shape("reshaped", x.shape(), y.shape()));
        }
        typed!(x, E => {
            add(self, x.host::<E>()?, y.host_mut::<E>()?, accum);
            Ok(())
        })
    }
}

/// Extents of images and places.
#[derive(Clone, Copy)]
struct Grid {
    window: Window,
    height: usize,
    width: usize,
    rows: usize,
    columns: usize,
    batch: usize,
}

impl Grid {
    fn of(op: &Conv2d<'_>, y: Shape) -> Self {
        let (x, y) = (op.x.shape(), y.extents());
        let [_, height, width, batch] = *x.extents() else {
            return Self { window: op.window, height: 0, width: 0, rows: 0, columns: 0, batch: 0 };
        };
        Self { window: op.window, height, width, rows: y[1], columns: y[2], batch }
    }

    /// Elements of a channel's images.
    fn image(&self) -> usize {
        self.height * self.width * self.batch
    }

    /// Elements of a row of the matrix of windows.
    fn row(&self) -> usize {
        self.rows * self.columns * self.batch
    }

    /// Calls `f` with the start in a row of the matrix and the start in a channel's images (`None` in the padding) of
    /// every run of `batch` values that lie at offset `(a, b)` of a window.
    fn runs(&self, (a, b): (usize, usize), mut f: impl FnMut(usize, Option<usize>)) {
        for i in 0..self.rows {
            let y = self.window.at(i, a, self.height);
            for j in 0..self.columns {
                let x = self.window.at(j, b, self.width);
                let from = y.zip(x).map(|(y, x)| (y * self.width + x) * self.batch);
                f((i * self.columns + j) * self.batch, from);
            }
        }
    }

    /// The channel and the offset in the window of a row of the matrix.
    fn tap(&self, row: usize) -> (usize, (usize, usize)) {
        let k = self.window.kernel;
        (row / (k * k), (row / k % k, row % k))
    }
}

fn conv2d<E: Math>(
    cpu: &Cpu,
    op: &Conv2d<'_>,
    scratch: &mut Tensor,
    y: &mut Tensor,
    pre: Option<&mut Tensor>,
) -> Result<()> {
    let grid = Grid::of(op, y.shape());
    let (x, w, columns) = (op.x.host::<E>()?, op.weight.host::<E>()?, scratch.host_mut::<E>()?);
    let (rows, inner) = (op.weight.shape().rows(), op.weight.shape().columns());
    let n = grid.row();
    let panels = Rows { values: &mut *columns, width: n };
    cpu.crew().share(inner, row_grain(n), panels, |top, bottom, panel| {
        for (row, to) in (top..bottom).zip(panel.values.chunks_mut(n.max(1))) {
            let (channel, offset) = grid.tap(row);
            let image = &x[channel * grid.image()..(channel + 1) * grid.image()];
            grid.runs(offset, |at, from| match from {
                Some(from) => to[at..at + grid.batch].copy_from_slice(&image[from..from + grid.batch]),
                None => to[at..at + grid.batch].fill(E::of(0.0)),
            });
        }
    });
    let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
    let y = y.host_mut::<E>()?;
    let (c, activated) = match pre {
        Some(pre) => (pre.host_mut::<E>()?, Some(y)),
        None => (y, None),
    };
    let product = Product {
        rows,
        columns: n,
        inner,
        a: Strided { values: w, row: inner, column: 1 },
        b: Strided { values: columns, row: n, column: 1 },
    };
    gemm(cpu, product, Target { c, accum: Accum::Replace, bias, activation: op.activation, activated });
    Ok(())
}

fn conv2d_vjp<E: Math>(
    cpu: &Cpu,
    op: &Conv2d<'_>,
    scratch: &mut Tensor,
    dz: &Tensor,
    grads: ConvGrads<'_>,
) -> Result<()> {
    let grid = Grid::of(op, dz.shape());
    let (w, d, columns) = (op.weight.host::<E>()?, dz.host::<E>()?, scratch.host_mut::<E>()?);
    let (out, inner, n) = (op.weight.shape().rows(), op.weight.shape().columns(), grid.row());
    let plain = |c, accum| Target { c, accum, bias: None, activation: Activation::Identity, activated: None };
    if let Some(slot) = grads.weight {
        let product = Product {
            rows: out,
            columns: inner,
            inner: n,
            a: Strided { values: d, row: n, column: 1 },
            b: Strided { values: columns, row: 1, column: n },
        };
        gemm(cpu, product, plain(slot.tensor.host_mut::<E>()?, slot.accum));
    }
    if let Some(slot) = grads.bias {
        let bias = slot.tensor.host_mut::<E>()?;
        let sums =
            crate::kernels::reduce::RowSums { sum: RowSum::Plain, x: d, columns: n, sums: bias, accum: slot.accum };
        cpu.simd().run(sums);
    }
    let Some(slot) = grads.x else { return Ok(()) };
    // The windows themselves are needed no more: their gradients take their place.
    let product = Product {
        rows: inner,
        columns: n,
        inner: out,
        a: Strided { values: w, row: 1, column: inner },
        b: Strided { values: d, row: n, column: 1 },
    };
    gemm(cpu, product, plain(columns, Accum::Replace));
    let (dx, accum, taps) = (slot.tensor.host_mut::<E>()?, slot.accum, grid.window.kernel.pow(2));
    let (channels, columns) = (inner / taps.max(1), &*columns);
    let images = Rows { values: dx, width: grid.image() };
    cpu.crew().share(channels, row_grain(grid.image() * taps), images, |top, bottom, images| {
        for (channel, image) in (top..bottom).zip(images.values.chunks_mut(grid.image().max(1))) {
            if accum == Accum::Replace {
                image.fill(E::of(0.0));
            }
            for row in channel * taps..(channel + 1) * taps {
                let from = &columns[row * n..(row + 1) * n];
                grid.runs(grid.tap(row).1, |at, to| {
                    if let Some(to) = to {
                        let (a, y) = (&from[at..at + grid.batch], &mut image[to..to + grid.batch]);
                        let function = Scaled(E::of(1.0));
                        cpu.simd().run(Zip { function, a, b: a, y, accum: Accum::Add });
                    }
                });
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
