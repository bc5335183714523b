//! Stored entries as `sprs` matrices, and back.
//!
//! Both sides are compressed rows with ascending columns, so the order is the same: entry `k` of a pattern is entry `k`
//! of the matrix. Values are copied bit for bit, and kept zeros stay stored.

use crate::{Error, Result};
use spectral_core::{Backend, Element, Param, Pattern, Shape, Tensor};
use sprs::{CsMatI, SpIndex};
use std::sync::Arc;

/// A column index of compressed rows: `u16` halves the memory of the indices of matrices up to 65,535 wide.
pub trait Index: SpIndex + sealed::Sealed {}

impl Index for u16 {}
impl Index for u32 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u16 {}
    impl Sealed for u32 {}
}

/// The entries of a matrix parameter: those on its pattern; without a pattern, those that are not pruned; if nothing is
/// pruned, those that are not zero.
///
/// # Errors
/// The parameter is no matrix, holds other values than `E`, or is too large for the index type.
pub fn to_csr<E: Element, I: Index>(backend: &dyn Backend, param: &Param) -> Result<CsMatI<E, I, u32>> {
    if let Some(pattern) = &param.pattern {
        return pattern_to_csr(backend, pattern, param.value());
    }
    let shape = param.value().shape();
    if shape.rank() != 2 {
        return Err(spectral_core::Error::shape("to_csr", "a matrix", shape).into());
    }
    let (rows, columns) = (shape.rows(), shape.columns());
    let all = download::<E>(backend, param.value())?;
    let pattern = Pattern::from_fn(rows, columns, |r, c| {
        let at = r * columns + c;
        param.pruned().map_or(all[at] != E::zero(), |mask| !mask.contains(at))
    })?;
    let values = pattern.iter().map(|(r, c)| all[r * columns + c]).collect();
    matrix(&pattern, values)
}

/// The entries `values` on `pattern`.
///
/// # Errors
/// There is not one value for each entry, they are not of type `E`, or the matrix is too large for the index
/// type.
pub fn pattern_to_csr<E: Element, I: Index>(
    backend: &dyn Backend,
    pattern: &Pattern,
    values: &Tensor,
) -> Result<CsMatI<E, I, u32>> {
    matrix(pattern, download(backend, values)?)
}

fn matrix<E: Element, I: Index>(pattern: &Pattern, values: Vec<E>) -> Result<CsMatI<E, I, u32>> {
    let (rows, columns) = (pattern.rows(), pattern.columns());
    let bad = |problem: String| Error::Matrix { rows, columns, problem };
    // `sprs` uses the index type for row numbers too.
    if I::try_from_usize(rows.max(columns)).is_none() {
        return Err(bad(format!("too large for {}-bit indices; use u32", 8 * size_of::<I>())));
    }
    let indices = pattern.indices().iter().map(|&c| I::from_usize_unchecked(c as usize)).collect();
    CsMatI::try_new((rows, columns), pattern.starts().to_vec(), indices, values)
        .map_err(|(_, _, _, problem)| bad(problem.to_string()))
}

/// A pattern and its values on `backend` from a matrix `[out, in]`. Compressed columns are reordered first.
///
/// # Errors
/// The matrix breaks a rule of compressed rows, has more than `u32::MAX` entries, or the device failed.
pub fn from_csr<E: Element, I: SpIndex, P: SpIndex>(
    backend: &dyn Backend,
    matrix: &CsMatI<E, I, P>,
) -> Result<(Arc<Pattern>, Tensor)> {
    let (rows, columns) = matrix.shape();
    let bad = |problem: String| Error::Matrix { rows, columns, problem };
    matrix.check_compressed_structure().map_err(|e| bad(e.to_string()))?;
    let narrow = |n: usize| u32::try_from(n).map_err(|_| bad("more than 2^32 - 1 rows, columns or entries".into()));
    narrow(rows.max(columns).max(matrix.nnz()))?;
    let mut entries: Vec<(usize, usize, E)> = Vec::with_capacity(matrix.nnz());
    let (starts, by_row) = (matrix.indptr(), matrix.is_csr());
    for (outer, range) in starts.iter_outer_sz().enumerate() {
        for (inner, value) in matrix.indices()[range.clone()].iter().zip(&matrix.data()[range]) {
            let inner = inner.index();
            entries.push(if by_row { (outer, inner, *value) } else { (inner, outer, *value) });
        }
    }
    if !by_row {
        entries.sort_by_key(|(r, c, _)| (*r, *c));
    }
    let mut row_starts = vec![0u32; rows + 1];
    entries.iter().for_each(|(r, _, _)| row_starts[r + 1] += 1);
    for r in 0..rows {
        row_starts[r + 1] += row_starts[r];
    }
    let pattern = Pattern::new(rows, columns, row_starts, entries.iter().map(|(_, c, _)| *c as u32).collect())?;
    let values: Vec<E> = entries.iter().map(|(_, _, v)| *v).collect();
    let mut tensor = backend.zeros(Shape::vector(values.len()), E::DTYPE)?;
    backend.upload(E::values(&values), &mut tensor)?;
    Ok((Arc::new(pattern), tensor))
}

fn download<E: Element>(backend: &dyn Backend, tensor: &Tensor) -> Result<Vec<E>> {
    if tensor.dtype() != E::DTYPE {
        let error = spectral_core::Error::DType { op: "to_csr", expected: E::DTYPE, got: tensor.dtype() };
        return Err(error.into());
    }
    Ok(backend.download(tensor)?.into_iter().map(E::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::{DType, Mask, Memory, Params, Reference, Role, UnitAxis};

    const AXES: &[UnitAxis] = &[UnitAxis::Out, UnitAxis::In];

    fn param(values: &[f64]) -> (Params, spectral_core::ParamId) {
        let mut tensor = Tensor::host_zeros(Shape::matrix(2, 3), DType::F32);
        Reference.write(values, &mut tensor).unwrap();
        let mut params = Params::default();
        let id = params.push(Param::new("w", Role::Weight, AXES, tensor));
        (params, id)
    }

    fn round_trip<I: Index>(param: &Param, starts: &[u32], columns: &[usize], values: &[f32]) {
        let csr = to_csr::<f32, I>(&Reference, param).unwrap();
        assert_eq!(csr.indptr().raw_storage(), starts);
        assert_eq!(csr.indices().iter().map(|i| i.index()).collect::<Vec<_>>(), columns);
        assert_eq!(csr.data(), values);
        let (pattern, tensor) = from_csr(&Reference, &csr).unwrap();
        assert_eq!((pattern.rows(), pattern.columns(), pattern.starts()), (2, 3, starts));
        assert_eq!(tensor.host::<f32>().unwrap(), values);
        let (from_columns, reordered) = from_csr(&Reference, &csr.to_csc()).unwrap();
        assert_eq!(from_columns, pattern);
        assert_eq!(reordered.host::<f32>().unwrap(), values);
    }

    #[test]
    fn entries_survive_both_widths_and_both_orders() {
        let (params, id) = param(&[0.0, 1.5, 0.0, -2.0, 0.0, 3.0]);
        round_trip::<u16>(params.get(id), &[0, 1, 3], &[1, 0, 2], &[1.5, -2.0, 3.0]);
        round_trip::<u32>(params.get(id), &[0, 1, 3], &[1, 0, 2], &[1.5, -2.0, 3.0]);
    }

    #[test]
    fn a_mask_decides_what_is_stored_kept_zeros_included() {
        let (mut params, id) = param(&[0.0, 1.5, 7.0, 0.0, 0.0, 3.0]);
        params.prune(&Reference, id, &Mask::from_fn(6, |i| i == 2 || i == 4)).unwrap();
        round_trip::<u16>(params.get(id), &[0, 2, 4], &[0, 1, 0, 2], &[0.0, 1.5, 0.0, 3.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wide = Pattern::from_fn(1, 70_000, |_, c| c == 69_999).unwrap();
        let value = Tensor::host_zeros(Shape::vector(1), DType::F32);
        assert!(pattern_to_csr::<f32, u32>(&Reference, &wide, &value).is_ok());
        let error = pattern_to_csr::<f32, u16>(&Reference, &wide, &value).unwrap_err().to_string();
        assert!(error.contains("use u32"), "{error}");
        let error = pattern_to_csr::<f64, u32>(&Reference, &wide, &value).unwrap_err().to_string();
        assert!(error.contains("f64"), "{error}");
        let two = Tensor::host_zeros(Shape::vector(2), DType::F32);
        assert!(pattern_to_csr::<f32, u32>(&Reference, &wide, &two).is_err());
    }
}
