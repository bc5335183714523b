//! Samples with a mean and a variance of their own: down the columns of `[values, batch]`, a vector of samples at a
//! time.

use super::vector::{Kernel, Lanes, Vector};
use super::{SharedMut, column_panels};
use crate::Cpu;
use spectral_core::Accum;
use std::ops::Range;

/// `y = (x - mean) / sqrt(variance + epsilon)` for each of the columns of `x`, whose number is that of variances.
pub(crate) fn standardise<E: Lanes>(cpu: &Cpu, x: &[E], epsilon: E, y: &mut [E], variance: &mut [E]) {
    let columns = variance.len();
    let rows = x.len().checked_div(columns).unwrap_or(0);
    assert!(x.len() == y.len() && x.len() == rows * columns);
    if columns == 1 {
        // One sample lies in one piece: its values make up vectors.
        let mut mean = [E::of(0.0)];
        return cpu.simd().run(super::unitwise::Standard { x, columns: rows, epsilon, y, mean: &mut mean, variance });
    }
    let (y, variance) = (SharedMut(y.as_mut_ptr()), SharedMut(variance.as_mut_ptr()));
    column_panels(cpu, rows, columns, |panel| {
        let (y, variance) = (y.get(), variance.get());
        cpu.simd().run(Standard { x: x.as_ptr(), epsilon, y, variance, rows, stride: columns, columns: panel });
    });
}

struct Standard<E> {
    x: *const E,
    epsilon: E,
    y: *mut E,
    variance: *mut E,
    rows: usize,
    stride: usize,
    columns: Range<usize>,
}

impl<E: Lanes> Kernel<E> for Standard<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let share = V::splat(E::of(1.0 / self.rows.max(1) as f64));
        let mut column = self.columns.start;
        while column < self.columns.end {
            let lanes = V::first((self.columns.end - column).min(V::LANES));
            // SAFETY: whoever made the kernel vouches for `rows * stride` elements behind `x` and `y`, `stride` behind
            // `variance`, and for these columns of the results; other lanes are not touched.
            unsafe {
                let x = |r: usize| V::load_masked(self.x.add(r * self.stride + column), lanes);
                let mean = sum::<V>(self.rows, x).mul(share);
                let square = |r: usize| {
                    let off = x(r).sub(mean);
                    off.mul(off)
                };
                let variance = sum::<V>(self.rows, square).mul(share);
                variance.store_masked(self.variance.add(column), lanes);
                let factor = V::splat(E::of(1.0)).div(variance.add(V::splat(self.epsilon)).sqrt());
                for r in 0..self.rows {
                    x(r).sub(mean).mul(factor).store_masked(self.y.add(r * self.stride + column), lanes);
                }
            }
            column += V::LANES;
        }
    }
}

/// What the way back reads.
#[derive(Clone, Copy)]
pub(crate) struct Gradient<'a, E> {
    pub(crate) y: &'a [E],
    pub(crate) dy: &'a [E],
    /// One factor for each unit, which has as many values as any other.
    pub(crate) scale: &'a [E],
    pub(crate) variance: &'a [E],
    pub(crate) epsilon: E,
}

/// `dx (+)= (g - mean(g) - y * mean(y * g)) / sqrt(variance + epsilon)` with `g = scale * dy`, for every column.
pub(crate) fn standardise_vjp<E: Lanes>(cpu: &Cpu, of: Gradient<'_, E>, dx: &mut [E], accum: Accum) {
    let columns = of.variance.len();
    let rows = dx.len().checked_div(columns).unwrap_or(0);
    let places = rows.checked_div(of.scale.len()).unwrap_or(0);
    assert!(of.y.len() == dx.len() && of.dy.len() == dx.len() && dx.len() == places * of.scale.len() * columns);
    let dx = SharedMut(dx.as_mut_ptr());
    column_panels(cpu, rows, columns, |panel| {
        cpu.simd().run(StandardVjp { of, dx: dx.get(), accum, places, columns: panel });
    });
}

struct StandardVjp<'a, E> {
    of: Gradient<'a, E>,
    dx: *mut E,
    accum: Accum,
    /// Values of a unit.
    places: usize,
    columns: Range<usize>,
}

impl<E: Lanes> Kernel<E> for StandardVjp<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (of, stride) = (self.of, self.of.variance.len());
        let rows = self.places * of.scale.len();
        let share = V::splat(E::of(1.0 / rows.max(1) as f64));
        let mut column = self.columns.start;
        while column < self.columns.end {
            let lanes = V::first((self.columns.end - column).min(V::LANES));
            // SAFETY: `standardise_vjp` has checked the lengths and vouches for these columns of `dx`; other lanes are
            // not touched.
            unsafe {
                let y = |r: usize| V::load_masked(of.y.as_ptr().add(r * stride + column), lanes);
                let g = |r: usize| {
                    let scale = V::splat(*of.scale.get_unchecked(r / self.places));
                    V::load_masked(of.dy.as_ptr().add(r * stride + column), lanes).mul(scale)
                };
                let mean = sum::<V>(rows, g).mul(share);
                let along = sum::<V>(rows, |r| y(r).mul(g(r))).mul(share);
                let spread = V::load_masked(of.variance.as_ptr().add(column), lanes).add(V::splat(of.epsilon)).sqrt();
                let factor = V::splat(E::of(1.0)).div(spread);
                for r in 0..rows {
                    let to = self.dx.add(r * stride + column);
                    let value = g(r).sub(mean).sub(y(r).mul(along)).mul(factor);
                    let value = if self.accum == Accum::Add { V::load_masked(to, lanes).add(value) } else { value };
                    value.store_masked(to, lanes);
                }
            }
            column += V::LANES;
        }
    }
}

/// The sum of `term(0)`, ... `term(count - 1)`, in four sums.
#[inline(always)]
fn sum<V: Vector>(count: usize, term: impl Fn(usize) -> V) -> V {
    let mut sums = [V::zero(); 4];
    let whole = count / 4 * 4;
    for r in (0..whole).step_by(4) {
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add(term(r + k));
        }
    }
    for r in whole..count {
        sums[0] = sums[0].add(term(r));
    }
    sums[0].add(sums[1]).add(sums[2].add(sums[3]))
}
