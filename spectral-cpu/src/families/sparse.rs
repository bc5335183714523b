//! Products with stored entries.

use super::{expect, typed};
use crate::Cpu;
use crate::kernels::csr::{Csr, PADDING, Target, multiply, sampled};
use crate::kernels::math::Math;
use crate::kernels::pairs;
use crate::kernels::sliced::{self, SAMPLES, Slices};
use crate::kernels::sparse::panels::Panels;
use crate::kernels::sparse::tiles::Tiles;
use crate::kernels::sparse::{self, backward, forward, lanes, tile_inputs};
use spectral_core::{
    Accum, Activation, Error, Kernel, Packed, PackedLinear, Pattern, Result, RowSum, Shape, SparseGrads, SparseKernels,
    SparseLinear, Tensor,
};
use std::sync::Arc;

impl SparseKernels for Cpu {
    /// Measured on networks from 64-32-10 to 3072-1024-512-10 with Adam and momentum, in batches of 100, on one and two
    /// threads of an AVX-512 Xeon: steps on stored entries take as long as masked ones at about 50 %; here they are at
    /// least 1.3 times as fast.
    fn trains_stored_up_to(&self) -> f64 {
        0.3
    }

    fn sparse_linear(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        op.check("sparse_linear", y.shape())?;
        if let Some(pre) = &pre {
            expect("sparse_linear", y.shape(), pre.shape())?;
        }
        typed!(op.x, E => linear::<E>(self, op, y, pre))
    }

    fn pack(&self, kernel: Kernel, pattern: &Pattern, values: &Tensor) -> Result<Option<Box<dyn Packed>>> {
        expect("pack", Shape::vector(pattern.nonzeros()), values.shape())?;
        if kernel != Kernel::Sliced {
            return Ok(None);
        }
        typed!(values, E => {
            let slices = Slices::new::<E>(pattern, values.host()?, lanes::<E>(self))?;
            Ok(slices.map(|slices| Box::new(Sliced { cpu: self.clone(), slices }) as Box<dyn Packed>))
        })
    }

    fn sparse_linear_vjp(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        op.check("sparse_linear_vjp", dz.shape())?;
        for (slot, shape) in [
            (&grads.x, op.x.shape()),
            (&grads.values, op.values.shape()),
            (&grads.bias, Shape::vector(op.pattern.rows())),
        ] {
            if let Some(slot) = slot {
                expect("sparse_linear_vjp", shape, slot.tensor.shape())?;
            }
        }
        typed!(op.x, E => vjp::<E>(self, op, dz, grads))
    }
}

/// Weights in slices, with the threads that multiply with them.
#[derive(Debug)]
struct Sliced {
    cpu: Cpu,
    slices: Slices,
}

impl Packed for Sliced {
    fn most_samples(&self) -> usize {
        SAMPLES
    }

    fn bytes(&self) -> usize {
        self.slices.bytes()
    }

    fn linear(&self, op: &PackedLinear<'_>, y: &mut Tensor) -> Result<()> {
        op.check("packed linear", self.slices.shape(), y.shape())?;
        let samples = y.shape().columns();
        if samples > SAMPLES {
            return Err(Error::shape("packed linear", format!("at most {SAMPLES} samples"), samples));
        }
        if y.is_empty() {
            return Ok(());
        }
        typed!(op.x, E => {
            let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
            sliced::multiply::<E>(&self.cpu, &self.slices, op.x.host()?, samples, bias, op.activation, y.host_mut()?)
        })
    }
}

/// The tiles of the pattern of `op`, where they pay: from three samples on, unless rows are too thin.
fn tiles<E: Math>(cpu: &Cpu, op: &SparseLinear<'_>) -> Option<Arc<Tiles>> {
    let least = tile_inputs::<E>(lanes::<E>(cpu));
    let width = if op.x.shape().columns() > 2 { Tiles::worth(op.pattern, least)? } else { return None };
    Some(op.pattern.form(|t: &Tiles| t.least() == least, |pattern| Tiles::new(pattern, least, width)))
}

/// Tiles by groups of rows, `least` inputs wide or wider; none where rows are not in groups.
struct Grouped {
    least: usize,
    tiles: Option<Tiles>,
}

/// Columns of a pattern as 16-bit numbers, entry by entry, then [`PADDING`]; none where there are more columns than that.
struct Narrow(Option<Vec<u16>>);

impl Narrow {
    fn new(pattern: &Pattern) -> Self {
        let padding = std::iter::repeat_n(0, PADDING);
        let all = || pattern.indices().iter().map(|&column| column as u16).chain(padding).collect();
        Self((pattern.columns() <= 1 << 16).then(all))
    }
}

fn linear<E: Math>(cpu: &Cpu, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
    let (x, values, batch) = (op.x.host::<E>()?, op.values.host::<E>()?, op.x.shape().columns());
    let bias = op.bias.map(|b| b.host::<E>()).transpose()?;
    let y = y.host_mut::<E>()?;
    let (y, activated) = match pre {
        Some(pre) => (pre.host_mut::<E>()?, Some(y)),
        None => (y, None),
    };
    let to = Target { y, accum: Accum::Replace, bias, activation: op.activation, activated };
    if batch > 2 {
        let least = tile_inputs::<E>(lanes::<E>(cpu));
        let build = |pattern: &Pattern| Grouped { least, tiles: Tiles::in_groups(pattern, least) };
        if let Some(tiles) = &op.pattern.form(|g: &Grouped| g.least == least, build).tiles {
            forward::multiply(cpu, tiles, values, x, batch, to);
            return Ok(());
        }
    }
    if let Some(tiles) = tiles::<E>(cpu, op) {
        forward::multiply(cpu, &tiles, values, x, batch, to);
        return Ok(());
    }
    let narrow = (batch == 1).then(|| op.pattern.form(|_: &Narrow| true, Narrow::new));
    let by_row = Csr {
        starts: op.pattern.starts(),
        indices: op.pattern.indices(),
        narrow: narrow.as_ref().and_then(|n| n.0.as_deref()),
        positions: None,
        values,
    };
    multiply(cpu, by_row, x, op.pattern.columns(), batch, to);
    Ok(())
}

fn vjp<E: Math>(cpu: &Cpu, op: &SparseLinear<'_>, dz: &Tensor, mut grads: SparseGrads<'_>) -> Result<()> {
    let operands = Operands { op, values: op.values.host::<E>()?, x: op.x.host::<E>()?, dz: dz.host::<E>()? };
    if let Some(slot) = grads.bias.take() {
        super::reduce::row_sums::<E>(cpu, RowSum::Plain, dz, slot.tensor, slot.accum)?;
    }
    match tiles::<E>(cpu, op) {
        Some(tiles) => operands.by_tiles(cpu, &tiles, grads),
        None => operands.by_rows(cpu, grads),
    }
}

struct Operands<'a, E> {
    op: &'a SparseLinear<'a>,
    values: &'a [E],
    x: &'a [E],
    dz: &'a [E],
}

impl<E: Math> Operands<'_, E> {
    fn by_tiles(&self, cpu: &Cpu, tiles: &Tiles, grads: SparseGrads<'_>) -> Result<()> {
        let panels = Panels::new::<E>(cpu, self.op.x.shape().columns());
        let (rows, columns) = (self.op.pattern.rows(), self.op.pattern.columns());
        let (dz_len, x_len) = (panels.len(rows), if grads.values.is_some() { panels.len(columns) } else { 0 });
        cpu.scratch().with(dz_len + x_len, |scratch: &mut [E]| {
            let (dz, x) = scratch.split_at_mut(dz_len);
            panels.pack(cpu, self.dz, dz);
            if let Some(slot) = grads.x {
                let dx = slot.tensor.host_mut::<E>()?;
                backward::multiply_transposed(cpu, tiles, self.values, (panels, dz), dx, slot.accum);
            }
            if let Some(slot) = grads.values {
                panels.pack(cpu, self.x, x);
                let out = slot.tensor.host_mut::<E>()?;
                sparse::sampled::sampled(cpu, tiles, panels, (dz, x), out, slot.accum);
            }
            Ok(())
        })
    }

    fn by_rows(&self, cpu: &Cpu, mut grads: SparseGrads<'_>) -> Result<()> {
        let (pattern, batch) = (self.op.pattern, self.op.x.shape().columns());
        let values = self.values;
        let by_row =
            Csr { starts: pattern.starts(), indices: pattern.indices(), narrow: None, positions: None, values };
        if let Some(slot) = grads.x.take_if(|_| batch == 2) {
            pairs::multiply_transposed(cpu, by_row, self.dz, slot.tensor.host_mut::<E>()?, slot.accum);
        }
        if let Some(slot) = grads.x {
            let by_column = pattern.by_column();
            let (starts, indices, positions) = (&*by_column.starts, &*by_column.rows, Some(&*by_column.positions));
            let transposed = Csr { starts, indices, narrow: None, positions, values };
            let y = slot.tensor.host_mut::<E>()?;
            let to = Target { y, accum: slot.accum, bias: None, activation: Activation::Identity, activated: None };
            multiply(cpu, transposed, self.dz, pattern.rows(), batch, to);
        }
        if let Some(slot) = grads.values {
            let out = slot.tensor.host_mut::<E>()?;
            if batch > 0 {
                sampled(cpu, by_row, self.dz, self.x, batch, out, slot.accum);
            } else if slot.accum == Accum::Replace {
                out.fill(E::of(0.0));
            }
        }
        Ok(())
    }
}
