//! Sums over samples, losses, and checks.

use crate::kernel::{LANES, THREADS, WARPS};
use crate::{Cuda, Device, Source};
use spectral_core::{Accum, DType, GradSlot, LossKernel, LossKind, Memory, Reduce, Result, RowSum, Shape, Tensor};

/// Values of a row that one warp adds up; longer rows are shared among several.
const SHARE: usize = 4096;

/// Blocks that look for the largest value.
const LOOKERS: usize = 256;

/// What is summed along rows.
pub(super) enum Sum<'a> {
    /// A function of the values.
    Of(RowSum),
    /// Products with the values of another tensor of the same shape.
    Product(&'a Tensor),
}

impl<D: Device> Reduce for Cuda<D> {
    fn row_sums_kernel(&self, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
        self.sums_of_rows(sum, x, GradSlot { tensor: sums, accum })
    }

    fn loss_kernel(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        let shape = op.outputs.shape();
        let accum = gradient.as_ref().map_or(Accum::Replace, |slot| slot.accum);
        let (rows, batch) = (shape.rows(), shape.columns());
        let blocks = if rows == 0 { 0 } else { batch.div_ceil(LANES) };
        let parts = self.scratch(Shape::matrix(blocks, 2), DType::F64)?;
        let call = self.call(Source::Reduce, "loss", op.outputs.dtype()).tensor(op.outputs).tensor(op.targets);
        let call = call.maybe(gradient.as_ref().map(|slot| &*slot.tensor)).tensor_of(DType::F64, &parts);
        let call = call.choice(i64::from(op.kind == LossKind::SoftmaxCrossEntropy)).real(op.gradient_scale);
        call.accum(accum).size(rows).size(batch).run([blocks, 1])?;
        let call = self.call(Source::Reduce, "loss_totals", op.outputs.dtype());
        call.tensor_of(DType::F64, &parts).tensor_of(DType::F64, totals).size(blocks).run([1, 1])
    }

    fn largest(&self, x: &Tensor) -> Result<f64> {
        let mut largest = 0.0;
        self.each_largest(&mut std::iter::once(x), &mut |found| largest = found)?;
        Ok(largest)
    }

    fn each_largest(&self, tensors: &mut dyn Iterator<Item = &Tensor>, found: &mut dyn FnMut(f64)) -> Result<()> {
        let blocks = |x: &Tensor| x.len().div_ceil(THREADS).min(LOOKERS);
        let tensors: Vec<&Tensor> = tensors.collect();
        let parts = self.scratch(Shape::vector(tensors.iter().map(|x| blocks(x)).sum()), DType::F64)?;
        let mut first = 0;
        for &x in &tensors {
            let call = self.call(Source::Reduce, "largest", x.dtype()).tensor(x).tensor_of(DType::F64, &parts);
            call.size(first).size(x.len()).run([blocks(x), 1])?;
            first += blocks(x);
        }
        let parts = self.download(&parts)?;
        let mut rest = &parts[..];
        for x in tensors {
            let (own, others) = rest.split_at(blocks(x));
            let finite = own.iter().all(|v| v.is_finite());
            found(if finite { own.iter().copied().fold(0.0, f64::max) } else { f64::NAN });
            rest = others;
        }
        Ok(())
    }
}

impl<D: Device> Cuda<D> {
    /// Sums along the rows of `x`, which has one for each entry of the slot.
    pub(super) fn sums_of_rows(&self, sum: RowSum, x: &Tensor, slot: GradSlot<'_>) -> Result<()> {
        self.sums_along(Sum::Of(sum), x, slot)
    }

    /// As [`sums_of_rows`](Self::sums_of_rows), of anything.
    pub(super) fn sums_along(&self, sum: Sum<'_>, x: &Tensor, slot: GradSlot<'_>) -> Result<()> {
        let (rows, columns) = (x.shape().rows(), x.shape().columns());
        let shares = columns.div_ceil(SHARE).max(1);
        let (what, other) = match sum {
            Sum::Of(RowSum::Plain) => (0, None),
            Sum::Of(RowSum::Absolute) => (1, None),
            Sum::Of(RowSum::Square) => (2, None),
            Sum::Product(other) => (3, Some(other)),
        };
        let summed = |to: &Tensor, accum| {
            let call = self.call(Source::Reduce, "row_sums", x.dtype()).tensor(x).maybe(other).tensor(to);
            let call = call.choice(what).size(rows).size(columns).size(columns.div_ceil(shares)).accum(accum);
            call.run([rows.div_ceil(WARPS), shares])
        };
        if shares == 1 {
            return summed(slot.tensor, slot.accum);
        }
        let parts = self.scratch(Shape::matrix(rows, shares), x.dtype())?;
        summed(&parts, Accum::Replace)?;
        self.fold(&parts, [shares, shares, 1], 1.0, slot)
    }

    /// Adds up parts: entry `i` of the slot is `factor` times the sum of `count` parts, from part `i * item` on, `step`
    /// apart.
    pub(super) fn fold(
        &self,
        parts: &Tensor,
        [count, item, step]: [usize; 3],
        factor: f64,
        slot: GradSlot<'_>,
    ) -> Result<()> {
        let call = self.call(Source::Reduce, "fold", parts.dtype()).tensor(parts).tensor(slot.tensor);
        call.size(count).size(item).size(step).real(factor).accum(slot.accum).over(slot.tensor.len())
    }

    /// Sets every element to 0.
    pub(super) fn zero(&self, t: &mut Tensor) -> Result<()> {
        let bytes = t.len() * t.dtype().bytes();
        self.pool().memory_mut(t)?.zero(bytes)
    }
}
