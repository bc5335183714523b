//! Conversion between `ndarray` views, `[batch, features]`, and tensors, `[features, batch]`.
//!
//! Only this module, and backends that transpose samples themselves, know both layouts.

use crate::base::{Element, Error, Result, filled};
use crate::tensor::Tensor;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// A table of zeros, with an error if memory runs out: for sizes from files and settings.
///
/// # Errors
/// There is not enough memory for the part called `what`.
pub fn table<E: Element>(what: &str, rows: usize, columns: usize) -> Result<Array2<E>> {
    let values = filled(what, rows.saturating_mul(columns), E::zero())?;
    Array2::from_shape_vec((rows, columns), values).map_err(|e| Error::config(what, e.to_string()))
}

/// Rows and columns of the tiles that are moved. A row of 32-bit numbers is one cache line, read and written as a
/// whole.
const TILE: usize = 16;

/// Writes a feature-major host slice `[features, batch]` into `[batch, features]` rows.
///
/// Determinism: exact (a copy).
pub fn transpose_out<E: Element>(from: &[E], mut to: ArrayViewMut2<'_, E>) {
    let (batch, features) = to.dim();
    match to.as_slice_mut() {
        Some(to) => transpose(features, |f| &from[f * batch..(f + 1) * batch], |x| x, to),
        None => to.indexed_iter_mut().for_each(|((b, f), x)| *x = from[f * batch + b]),
    }
}

/// `to[c * count + r] = of(row(r)[c])` for the rows `0..count`, which have equal lengths.
pub(crate) fn transpose<'a, F: Copy + 'a, E: Copy>(
    count: usize,
    row: impl Fn(usize) -> &'a [F],
    of: impl Fn(F) -> E,
    to: &mut [E],
) {
    if count == 1 {
        to.iter_mut().zip(row(0)).for_each(|(to, from)| *to = of(*from));
        return;
    }
    let tiled = count - count % TILE;
    for first in (0..tiled).step_by(TILE) {
        // Between reading and writing, a square tile stays in registers and the first-level cache.
        let rows = std::array::from_fn::<_, TILE, _>(|i| row(first + i).as_chunks::<TILE>());
        let mut lines = to.chunks_exact_mut(count).map(|line| &mut line[first..first + TILE]);
        for chunk in 0..rows[0].0.len() {
            let tile = rows.map(|(whole, _)| whole[chunk]);
            for (c, line) in lines.by_ref().take(TILE).enumerate() {
                line.copy_from_slice(&std::array::from_fn::<E, TILE, _>(|r| of(tile[r][c])));
            }
        }
        for (c, line) in lines.enumerate() {
            line.copy_from_slice(&rows.map(|(_, rest)| of(rest[c])));
        }
    }
    for r in tiled..count {
        for (to, from) in to.iter_mut().skip(r).step_by(count).zip(row(r)) {
            *to = of(*from);
        }
    }
}

/// A host tensor viewed as a row-major matrix: `[rows, everything else]`.
///
/// # Errors
/// The tensor is on a device or holds another element type.
pub fn as_matrix<E: Element>(tensor: &Tensor) -> Result<ArrayView2<'_, E>> {
    let shape = tensor.shape();
    ArrayView2::from_shape((shape.rows(), shape.columns()), tensor.host::<E>()?)
        .map_err(|e| Error::shape("matrix view", shape, e))
}

/// A copy of a host tensor as a row-major matrix: `[rows, everything else]`.
///
/// # Errors
/// The tensor is on a device or holds another element type.
pub fn to_matrix<E: Element>(tensor: &Tensor) -> Result<Array2<E>> {
    Ok(as_matrix::<E>(tensor)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn transposes_are_inverse_at_odd_sizes() {
        for (batch, features) in [(1, 1), (1, 40), (0, 3), (3, 0), (20, 0), (17, 5), (33, 31), (16, 48), (100, 49)] {
            let rows = Array2::from_shape_fn((batch, features), |(b, f)| (b * 100 + f) as f32);
            let mut major = vec![0.0; batch * features];
            transpose(batch, |b| rows.row(b).to_slice().unwrap(), |x| x, &mut major);
            if batch > 2 && features > 1 {
                assert_eq!(major[batch + 2], 201.0);
            }
            let mut back = Array2::zeros((batch, features));
            transpose_out(&major, back.view_mut());
            assert_eq!(rows, back);
            // A view whose values are not contiguous.
            let mut wide = Array2::zeros((batch, 2 * features + 1));
            transpose_out(&major, wide.slice_mut(ndarray::s![.., 1..;2]));
            assert_eq!(wide.slice(ndarray::s![.., 1..;2]), rows);
        }
    }
}
