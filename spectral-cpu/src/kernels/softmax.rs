//! Softmax down the columns of `[features, batch]`, a vector of samples at a time.

use super::math::Math;
use super::vector::{Kernel, Vector};
use super::{SharedMut, column_panels};
use crate::Cpu;
use std::ops::Range;

/// `y = softmax(x)` down each of `columns` columns of two row-major matrices.
pub(crate) fn softmax<E: Math>(cpu: &Cpu, x: &[E], y: &mut [E], columns: usize) {
    assert_eq!(x.len(), y.len());
    let rows = x.len() / columns.max(1);
    let y = SharedMut(y.as_mut_ptr());
    column_panels(cpu, rows, columns, |panel| {
        cpu.simd().run(Softmax { x: x.as_ptr(), y: y.get(), rows, stride: columns, columns: panel });
    });
}

/// `dy = y * (dy - sum_j y_j dy_j)` in place down each column.
pub(crate) fn softmax_vjp<E: Math>(cpu: &Cpu, y: &[E], dy: &mut [E], columns: usize) {
    assert_eq!(y.len(), dy.len());
    let rows = y.len() / columns.max(1);
    let dy = SharedMut(dy.as_mut_ptr());
    column_panels(cpu, rows, columns, |panel| {
        cpu.simd().run(SoftmaxVjp { y: y.as_ptr(), dy: dy.get(), rows, stride: columns, columns: panel });
    });
}

/// `y = softmax(x)` for some columns of a matrix of `rows` rows of `stride` elements.
struct Softmax<E> {
    x: *const E,
    y: *mut E,
    rows: usize,
    stride: usize,
    columns: Range<usize>,
}

impl<E: Math> Kernel<E> for Softmax<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let mut column = self.columns.start;
        while column < self.columns.end {
            let lanes = V::first((self.columns.end - column).min(V::LANES));
            // SAFETY: whoever made the kernel vouches for `rows * stride` elements behind both pointers, and for these
            // columns of `y`; other lanes are not touched.
            unsafe {
                let x = |r: usize| self.x.wrapping_add(r * self.stride + column);
                let mut top = V::splat(E::neg_infinity());
                for r in 0..self.rows {
                    top = V::load_masked(x(r), lanes).max(top);
                }
                let mut sum = V::zero();
                for r in 0..self.rows {
                    let e = E::exp_lanes(V::load_masked(x(r), lanes).sub(top));
                    sum = sum.add(e);
                    e.store_masked(self.y.add(r * self.stride + column), lanes);
                }
                for r in 0..self.rows {
                    let y = self.y.add(r * self.stride + column);
                    V::load_masked(y, lanes).div(sum).store_masked(y, lanes);
                }
            }
            column += V::LANES;
        }
    }
}

/// `dy = y * (dy - sum_j y_j dy_j)` in place for some columns, as [`Softmax`].
struct SoftmaxVjp<E> {
    y: *const E,
    dy: *mut E,
    rows: usize,
    stride: usize,
    columns: Range<usize>,
}

impl<E: Math> Kernel<E> for SoftmaxVjp<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let mut column = self.columns.start;
        while column < self.columns.end {
            let lanes = V::first((self.columns.end - column).min(V::LANES));
            // SAFETY: as for `Softmax`.
            unsafe {
                let mut dot = V::zero();
                for r in 0..self.rows {
                    let at = r * self.stride + column;
                    let y = V::load_masked(self.y.add(at), lanes);
                    dot = y.fma(V::load_masked(self.dy.add(at), lanes), dot);
                }
                for r in 0..self.rows {
                    let at = r * self.stride + column;
                    let (y, d) = (V::load_masked(self.y.add(at), lanes), V::load_masked(self.dy.add(at), lanes));
                    y.mul(d.sub(dot)).store_masked(self.dy.add(at), lanes);
                }
            }
            column += V::LANES;
        }
    }
}
