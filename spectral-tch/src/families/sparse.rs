//! Products with weights of which only some entries are stored, in libtorch's CSR tensors with 32-bit positions, which
//! its own product takes as they are.

use super::dense::{finish, results};
use super::{row_sums, store, wanted};
use crate::Torch;
use crate::storage::{Shared, column, count, flat, matrix};
use crate::torch::failed;
use spectral_core::backend::{SparseGrads, SparseKernels, SparseLinear};
use spectral_core::{Pattern, Result, Tensor};
use std::sync::Arc;
use tch::{Device, TchError};

impl SparseKernels for Torch {
    fn sparse_linear_kernel(&self, op: &SparseLinear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let form = Form::of(op.pattern, self.device())?;
        let (x, values, bias) = (matrix(op.x)?, flat(op.values)?, op.bias.map(column).transpose()?);
        let (mut y, pre) = results(y, pre)?;
        self.call(|| {
            match form.weight(&values)? {
                Some(weight) => y.f_copy_(&weight.f_mm(&x)?)?,
                None => drop(y.f_zero_()?),
            }
            finish(&mut y, bias.as_ref(), op.activation, pre)
        })
    }

    fn sparse_linear_vjp_kernel(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        let form = Form::of(op.pattern, self.device())?;
        let (x, values, d) = (matrix(op.x)?, flat(op.values)?, matrix(dz)?);
        let dx = wanted(grads.x, matrix)?;
        let dw = wanted(grads.values, flat)?;
        let db = wanted(grads.bias, flat)?;
        self.call(|| {
            if let Some((mut to, accum)) = dx {
                let product = match form.transposed(&values)? {
                    Some(weight) => weight.f_mm(&d)?,
                    None => to.f_zeros_like()?,
                };
                store(&product, &mut to, accum)?;
            }
            if let (Some((mut to, accum)), Some(none)) = (dw, form.weight(&values.f_zeros_like()?)?) {
                let sampled = none.f_sparse_sampled_addmm(&d, &x.f_tr()?)?;
                store(&sampled.f_values()?, &mut to, accum)?;
            }
            db.map_or(Ok(()), |(mut to, accum)| row_sums(&d, &mut to, accum))
        })
    }
}

/// A pattern on a device.
struct Form {
    device: Device,
    rows: i64,
    columns: i64,
    by_row: [Shared; 2],
    by_column: [Shared; 2],
    /// Where in row order the value of each entry in column order is.
    positions: Shared,
    entries: usize,
}

impl Form {
    fn of(pattern: &Pattern, device: Device) -> Result<Arc<Self>> {
        let (rows, columns) = (count(pattern.rows()), count(pattern.columns()));
        if i32::try_from(pattern.nonzeros()).is_err() {
            return Err(failed(device, "a sparse weight may have at most 2^31 - 1 stored entries; use smaller layers"));
        }
        Ok(pattern.form(
            |form: &Self| form.device == device,
            |pattern| {
                let by = pattern.by_column();
                let shared = |numbers: &[u32]| {
                    let numbers: Vec<i32> = numbers.iter().map(|&n| n as i32).collect();
                    Shared::new(tch::Tensor::from_slice(&numbers).to_device(device))
                };
                Self {
                    device,
                    rows,
                    columns,
                    by_row: [shared(pattern.starts()), shared(pattern.indices())],
                    by_column: [shared(&by.starts), shared(&by.rows)],
                    positions: shared(&by.positions),
                    entries: pattern.nonzeros(),
                }
            },
        ))
    }

    /// The weight with `values`; `None` where there is nothing to multiply.
    fn weight(&self, values: &tch::Tensor) -> Result<Option<tch::Tensor>, TchError> {
        if self.entries == 0 {
            return Ok(None);
        }
        self.csr(&self.by_row, values, [self.rows, self.columns])
    }

    /// Its transpose.
    fn transposed(&self, values: &tch::Tensor) -> Result<Option<tch::Tensor>, TchError> {
        if self.entries == 0 {
            return Ok(None);
        }
        self.csr(&self.by_column, &values.f_index_select(0, &self.positions.handle())?, [self.columns, self.rows])
    }

    fn csr(
        &self,
        [starts, indices]: &[Shared; 2],
        values: &tch::Tensor,
        size: [i64; 2],
    ) -> Result<Option<tch::Tensor>, TchError> {
        let options = (values.f_kind()?, self.device);
        // Unchecked, because a `Pattern` is checked when it is made.
        let (starts, indices) = (starts.handle(), indices.handle());
        tch::Tensor::f_internal_sparse_csr_tensor_unsafe(&starts, &indices, values, size, options).map(Some)
    }
}
