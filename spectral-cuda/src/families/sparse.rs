//! Products with weights of which only some entries are stored.

use super::dense::Epilogue;
use crate::device::pool::Buffer;
use crate::kernel::{LANES, WARPS};
use crate::{Cuda, Device, Source};
use spectral_core::{Accum, Result, RowSum, SparseGrads, SparseKernels, SparseLinear, Tensor};

/// Samples that a warp of `spmm` works on.
const SAMPLES: usize = 4 * LANES;

/// The entries of a matrix row by row, or column by column.
struct Entries<'a, D: Device> {
    starts: &'a Buffer<D>,
    others: &'a Buffer<D>,
    positions: Option<&'a Buffer<D>>,
}

impl<D: Device> SparseKernels for Cuda<D> {
    fn sparse_linear_kernel(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let arrays = self.pattern(op.pattern)?;
        let entries = Entries { starts: &arrays.starts, others: &arrays.columns, positions: None };
        let epilogue = Epilogue { bias: op.bias, activation: op.activation, before: pre };
        self.spmm(&entries, op.values, op.x, (y, Accum::Replace), epilogue)
    }

    fn sparse_linear_vjp_kernel(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        let rows = op.pattern.rows();
        let arrays = self.pattern(op.pattern)?;
        if let Some(slot) = grads.x {
            let positions = Some(&arrays.positions);
            let entries = Entries { starts: &arrays.column_starts, others: &arrays.rows, positions };
            self.spmm(&entries, op.values, dz, (slot.tensor, slot.accum), Epilogue::default())?;
        }
        if let Some(slot) = grads.values {
            let call = self.call(Source::Sparse, "sddmm", dz.dtype());
            let call = call.buffer(Some(&arrays.starts)).buffer(Some(&arrays.columns)).tensor(dz).tensor(op.x);
            call.tensor(slot.tensor).size(rows).size(op.x.shape().columns()).accum(slot.accum).each(rows)?;
        }
        match grads.bias {
            Some(slot) => self.sums_of_rows(RowSum::Plain, dz, slot),
            None => Ok(()),
        }
    }
}

impl<D: Device> Cuda<D> {
    fn spmm(
        &self,
        entries: &Entries<'_, D>,
        values: &Tensor,
        x: &Tensor,
        (y, accum): (&mut Tensor, Accum),
        epilogue: Epilogue<'_>,
    ) -> Result<()> {
        let (rows, batch) = (y.shape().rows(), y.shape().columns());
        let call = self.call(Source::Sparse, "spmm", y.dtype());
        let call = call.buffer(Some(entries.starts)).buffer(Some(entries.others)).buffer(entries.positions);
        let call = call.tensor(values).tensor(x).tensor(y).maybe(epilogue.before.as_deref()).maybe(epilogue.bias);
        let call = call.size(rows).size(batch).activation(epilogue.activation).accum(accum);
        call.run([rows.div_ceil(WARPS), batch.div_ceil(SAMPLES)])
    }
}
