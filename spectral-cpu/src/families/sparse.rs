//! Products with stored entries.

use super::{GRAIN, typed};
use crate::Cpu;
use crate::kernels::crew::Split;
use crate::kernels::csr::{Csr, PADDING, Target, multiply, sampled, sampled_panels};
use crate::kernels::math::Math;
use crate::kernels::pairs;
use crate::kernels::sliced::{self, SAMPLES, Slices};
use crate::kernels::sparse::panels::Panels;
use crate::kernels::sparse::tiles::Tiles;
use crate::kernels::sparse::{self, backward, forward, lanes, tile_inputs};
use spectral_core::{
    Accum, Activation, Element, Error, GradSlot, Kernel, Packed, PackedLinear, Pattern, Result, RowSum, SparseGrads,
    SparseKernels, SparseLinear, Tensor,
};
use std::sync::Arc;

impl SparseKernels for Cpu {
    fn sparse_linear_kernel(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        typed!(op.x, E => linear::<E>(self, op, y, pre))
    }

    fn pack_kernel(&self, kernel: Kernel, pattern: &Pattern, values: &Tensor) -> Result<Option<Box<dyn Packed>>> {
        if kernel != Kernel::Sliced {
            return Ok(None);
        }
        typed!(values, E => {
            let slices = Slices::new::<E>(pattern, values.host()?, lanes::<E>(self))?;
            Ok(slices.map(|slices| Box::new(Sliced { cpu: self.clone(), slices }) as Box<dyn Packed>))
        })
    }

    fn sparse_linear_vjp_kernel(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
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

/// The tiles of a pattern, where they pay: from three samples on, unless rows are too thin.
fn tiles<E: Math>(cpu: &Cpu, pattern: &Pattern, batch: usize) -> Option<Arc<Tiles>> {
    let least = tile_inputs::<E>(lanes::<E>(cpu));
    let width = if batch > 2 { Tiles::worth(pattern, least)? } else { return None };
    Some(pattern.form(|t: &Tiles| t.least() == least, |pattern| Tiles::new(pattern, least, width)))
}

/// Tiles by groups of rows, `least` inputs wide or wider; none where rows are not in groups.
struct Grouped {
    least: usize,
    tiles: Option<Tiles>,
}

/// Columns of a pattern as 16-bit numbers, entry by entry, then [`PADDING`]; none where there are more columns than
/// that.
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
    if let Some(tiles) = tiles::<E>(cpu, op.pattern, batch) {
        forward::multiply(cpu, &tiles, values, x, batch, to);
        return Ok(());
    }
    by_row(op.pattern, values, batch, |by_row| multiply(cpu, by_row, x, batch, to));
    Ok(())
}

fn vjp<E: Math>(cpu: &Cpu, op: &SparseLinear<'_>, dz: &Tensor, mut grads: SparseGrads<'_>) -> Result<()> {
    if let Some(slot) = grads.bias.take() {
        super::reduce::row_sums::<E>(cpu, RowSum::Plain, dz, slot.tensor, slot.accum)?;
    }
    let (x, values, batch) = (op.x.host()?, op.values.host()?, op.x.shape().columns());
    Operands::<E> { pattern: op.pattern, batch, values, x, dz: dz.host()? }.gradients(
        cpu,
        written(grads.x)?,
        written(grads.values)?,
    );
    Ok(())
}

/// Where a gradient goes, and how.
type To<'a, E> = Option<(&'a mut [E], Accum)>;

fn written<E: Element>(slot: Option<GradSlot<'_>>) -> Result<To<'_, E>> {
    slot.map(|slot| Ok((slot.tensor.host_mut::<E>()?, slot.accum))).transpose()
}

/// Calls `work` for parts of the gradient `dz x^T` at the stored entries, which need not be in memory as a whole: with
/// the index of the first entry of a part, the part, and the `results` that belong to it.
pub(super) fn gradient_panels<E: Math, S: Split>(
    cpu: &Cpu,
    pattern: &Pattern,
    (dz, x): (&Tensor, &Tensor),
    results: S,
    work: impl Fn(usize, &[E], S) + Sync,
) -> Result<()> {
    let batch = x.shape().columns();
    let operands = Operands::<E> { pattern, batch, values: &[], x: x.host()?, dz: dz.host()? };
    if batch > 0 && tiles::<E>(cpu, pattern, batch).is_none() {
        operands.by_row(|by_row| sampled_panels(cpu, by_row, (operands.dz, operands.x), batch, results, work));
        return Ok(());
    }
    // Tiles write a few entries of a row at a time.
    cpu.scratch().with(pattern.nonzeros(), |gradient: &mut [E]| {
        operands.gradients(cpu, None, Some((gradient, Accum::Replace)));
        let gradient = &*gradient;
        cpu.crew().share(gradient.len(), GRAIN, results, |from, to, part| work(from, &gradient[from..to], part));
    });
    Ok(())
}

struct Operands<'a, E> {
    pattern: &'a Pattern,
    batch: usize,
    /// None, where only the gradient of the values is wanted.
    values: &'a [E],
    x: &'a [E],
    dz: &'a [E],
}

impl<E: Math> Operands<'_, E> {
    fn gradients(&self, cpu: &Cpu, dx: To<'_, E>, values: To<'_, E>) {
        match tiles::<E>(cpu, self.pattern, self.batch) {
            Some(tiles) => self.by_tiles(cpu, &tiles, dx, values),
            None => self.by_rows(cpu, dx, values),
        }
    }

    fn by_tiles(&self, cpu: &Cpu, tiles: &Tiles, dx: To<'_, E>, values: To<'_, E>) {
        let panels = Panels::new::<E>(cpu, self.batch);
        let (rows, columns) = (self.pattern.rows(), self.pattern.columns());
        let (dz_len, x_len) = (panels.len(rows), if values.is_some() { panels.len(columns) } else { 0 });
        cpu.scratch().with(dz_len + x_len, |scratch: &mut [E]| {
            let (dz, x) = scratch.split_at_mut(dz_len);
            panels.pack(cpu, self.dz, dz);
            if let Some((dx, accum)) = dx {
                backward::multiply_transposed(cpu, tiles, self.values, (panels, dz), dx, accum);
            }
            if let Some((out, accum)) = values {
                panels.pack(cpu, self.x, x);
                sparse::sampled::sampled(cpu, tiles, panels, (dz, x), out, accum);
            }
        });
    }

    fn by_rows(&self, cpu: &Cpu, dx: To<'_, E>, values: To<'_, E>) {
        let (pattern, batch) = (self.pattern, self.batch);
        match dx {
            Some((dx, accum)) if batch == 2 => {
                self.by_row(|by_row| pairs::multiply_transposed(cpu, by_row, self.dz, dx, accum));
            }
            Some((y, accum)) => {
                let by_column = pattern.by_column();
                let (starts, indices, positions) = (&*by_column.starts, &*by_column.rows, Some(&*by_column.positions));
                let (columns, narrow, values) = (pattern.rows(), None, self.values);
                let transposed = Csr { starts, columns, indices, narrow, positions, values };
                let to = Target { y, accum, bias: None, activation: Activation::Identity, activated: None };
                multiply(cpu, transposed, self.dz, batch, to);
            }
            None => {}
        }
        match values {
            Some((out, accum)) if batch > 0 => {
                self.by_row(|by_row| sampled(cpu, by_row, self.dz, self.x, batch, out, accum));
            }
            Some((out, Accum::Replace)) => out.fill(E::of(0.0)),
            _ => {}
        }
    }

    /// Calls `work` with the entries row by row.
    fn by_row<R>(&self, work: impl FnOnce(Csr<'_, E>) -> R) -> R {
        by_row(self.pattern, self.values, self.batch, work)
    }
}

/// Calls `work` with the entries row by row, their columns as the kernels for so many samples read them fastest.
fn by_row<E: Math, R>(pattern: &Pattern, values: &[E], batch: usize, work: impl FnOnce(Csr<'_, E>) -> R) -> R {
    let narrow = (1..=2).contains(&batch).then(|| pattern.form(|_: &Narrow| true, Narrow::new));
    let narrow = narrow.as_ref().and_then(|n| n.0.as_deref());
    let (starts, columns, indices) = (pattern.starts(), pattern.columns(), pattern.indices());
    work(Csr { starts, columns, indices, narrow, positions: None, values })
}
