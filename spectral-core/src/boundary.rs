//! Where `ndarray` views, `[batch, features]`, become tensors, `[features, batch]`, and back.
//!
//! The only module that knows both layouts.

use crate::{Element, Error, Result, Tensor};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// Rows of samples moved at a time, so that both sides of the transpose stay in cache.
const TILE: usize = 16;

/// Writes `[batch, features]` rows into a feature-major host slice `[features, batch]`.
///
/// Determinism: exact (a copy).
pub fn transpose_in<E: Element>(from: ArrayView2<'_, E>, to: &mut [E]) {
    let (batch, features) = from.dim();
    for start in (0..batch).step_by(TILE) {
        let end = (start + TILE).min(batch);
        for f in 0..features {
            for b in start..end {
                to[f * batch + b] = from[(b, f)];
            }
        }
    }
}

/// Writes a feature-major host slice `[features, batch]` into `[batch, features]` rows.
///
/// Determinism: exact (a copy).
pub fn transpose_out<E: Element>(from: &[E], mut to: ArrayViewMut2<'_, E>) {
    let (batch, features) = to.dim();
    for start in (0..batch).step_by(TILE) {
        let end = (start + TILE).min(batch);
        for f in 0..features {
            for b in start..end {
                to[(b, f)] = from[f * batch + b];
            }
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
        for (batch, features) in [(1, 1), (0, 3), (3, 0), (17, 5), (33, 31)] {
            let rows = Array2::from_shape_fn((batch, features), |(b, f)| (b * 100 + f) as f32);
            let mut major = vec![0.0; batch * features];
            transpose_in(rows.view(), &mut major);
            if batch > 2 && features > 1 {
                assert_eq!(major[batch + 2], 201.0);
            }
            let mut back = Array2::zeros((batch, features));
            transpose_out(&major, back.view_mut());
            assert_eq!(rows, back);
        }
    }
}
