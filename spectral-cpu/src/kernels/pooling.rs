//! The largest value and the mean of windows over images, channel by channel.

use super::math::Math;
use super::vector::{Kernel, Vector};
use super::windows::Grid;

/// Samples that are looked at together on the way back through the largest value.
const SAMPLES: usize = 64;

/// The largest value of every window over the images of one channel; NaN where there is one.
pub(crate) struct Largest<'a, E> {
    pub(crate) grid: Grid,
    pub(crate) x: &'a [E],
    pub(crate) y: &'a mut [E],
}

impl<E: Math> Kernel<E> for Largest<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let grid = self.grid;
        for i in 0..grid.rows {
            self.y[i * grid.line()..(i + 1) * grid.line()].fill(E::neg_infinity());
            for tap in 0..grid.window.taps() {
                grid.seen(i, grid.offset(tap), |at, from, len| {
                    larger::<V>(&self.x[from..from + len], &mut self.y[at..at + len]);
                });
            }
        }
    }
}

/// `y = max(x, y)`, and NaN where either is; the slices are of the same length.
#[inline(always)]
fn larger<V: Vector>(x: &[V::Elem], y: &mut [V::Elem]) {
    let len = x.len().min(y.len());
    let mut i = 0;
    while i < len {
        let lanes = V::first((len - i).min(V::LANES));
        // SAFETY: the flagged lanes stay below `len`.
        unsafe {
            let to = y.as_mut_ptr().add(i);
            let (x, y) = (V::load_masked(x.as_ptr().add(i), lanes), V::load_masked(to, lanes));
            // The second of two operands is what a NaN leaves: this one is kept in `x`, that one in `y`.
            V::select(y.le(y), y.max(x), y).store_masked(to, lanes);
        }
        i += V::LANES;
    }
}

/// `dx += dy` at the first value of every window that is not below its largest.
pub(crate) struct LargestBack<'a, E> {
    pub(crate) grid: Grid,
    pub(crate) x: &'a [E],
    pub(crate) y: &'a [E],
    pub(crate) dy: &'a [E],
    pub(crate) dx: &'a mut [E],
}

impl<E: Math> Kernel<E> for LargestBack<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (grid, batch) = (self.grid, self.grid.batch);
        let [down, across] = grid.window.axes();
        let mut rest = [E::of(0.0); SAMPLES];
        for place in 0..grid.rows * grid.columns {
            let (i, j) = (place / grid.columns, place % grid.columns);
            for first in (0..batch).step_by(SAMPLES) {
                let len = SAMPLES.min(batch - first);
                let at = place * batch + first;
                let y = &self.y[at..at + len];
                // What no value has received yet.
                rest[..len].copy_from_slice(&self.dy[at..at + len]);
                for tap in 0..grid.window.taps() {
                    let (a, b) = grid.offset(tap);
                    let (Some(row), Some(column)) = (down.at(i, a, grid.height), across.at(j, b, grid.width)) else {
                        continue;
                    };
                    let from = (row * grid.width + column) * batch + first;
                    hand_over::<V>(&self.x[from..from + len], y, &mut rest[..len], &mut self.dx[from..from + len]);
                }
            }
        }
    }
}

/// Moves `rest` to `dx` where `x` is not below `y`; the slices are of the same length.
#[inline(always)]
fn hand_over<V: Vector>(x: &[V::Elem], y: &[V::Elem], rest: &mut [V::Elem], dx: &mut [V::Elem]) {
    let len = x.len().min(y.len()).min(rest.len()).min(dx.len());
    let mut i = 0;
    while i < len {
        let lanes = V::first((len - i).min(V::LANES));
        // SAFETY: the flagged lanes stay below `len`.
        unsafe {
            let (rest, dx) = (rest.as_mut_ptr().add(i), dx.as_mut_ptr().add(i));
            let below = V::load_masked(y.as_ptr().add(i), lanes).gt(V::load_masked(x.as_ptr().add(i), lanes));
            let left = V::load_masked(rest, lanes);
            V::load_masked(dx, lanes).add(V::select(below, V::zero(), left)).store_masked(dx, lanes);
            V::select(below, left, V::zero()).store_masked(rest, lanes);
        }
        i += V::LANES;
    }
}

/// The mean of every window over the images of one channel.
pub(crate) struct Mean<'a, E> {
    pub(crate) grid: Grid,
    /// Whether zeros of the padding count.
    pub(crate) padding: bool,
    pub(crate) x: &'a [E],
    pub(crate) y: &'a mut [E],
}

impl<E: Math> Kernel<E> for Mean<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let grid = self.grid;
        for i in 0..grid.rows {
            self.y[i * grid.line()..(i + 1) * grid.line()].fill(E::of(0.0));
            for tap in 0..grid.window.taps() {
                grid.seen(i, grid.offset(tap), |at, from, len| {
                    for (y, x) in self.y[at..at + len].iter_mut().zip(&self.x[from..from + len]) {
                        *y = *y + *x;
                    }
                });
            }
            for j in 0..grid.columns {
                let (at, share) = ((i * grid.columns + j) * grid.batch, share::<E>(&grid, self.padding, i, j));
                self.y[at..at + grid.batch].iter_mut().for_each(|y| *y = *y * share);
            }
        }
    }
}

/// `dx +=` the share that each value has in the gradients `dy` of the means it is in.
pub(crate) struct MeanBack<'a, E> {
    pub(crate) grid: Grid,
    pub(crate) padding: bool,
    pub(crate) dy: &'a [E],
    pub(crate) dx: &'a mut [E],
}

impl<E: Math> Kernel<E> for MeanBack<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let grid = self.grid;
        let [down, across] = grid.window.axes();
        for i in 0..grid.rows {
            for j in 0..grid.columns {
                let (at, share) = ((i * grid.columns + j) * grid.batch, share::<E>(&grid, self.padding, i, j));
                for tap in 0..grid.window.taps() {
                    let (a, b) = grid.offset(tap);
                    let (Some(row), Some(column)) = (down.at(i, a, grid.height), across.at(j, b, grid.width)) else {
                        continue;
                    };
                    let to = (row * grid.width + column) * grid.batch;
                    for (dx, dy) in self.dx[to..to + grid.batch].iter_mut().zip(&self.dy[at..at + grid.batch]) {
                        *dx = *dx + *dy * share;
                    }
                }
            }
        }
    }
}

/// One over the number of values whose mean the window at `(i, j)` takes.
#[inline(always)]
fn share<E: Math>(grid: &Grid, padding: bool, i: usize, j: usize) -> E {
    let count = if padding { grid.window.taps() } else { grid.window.values_at([i, j], [grid.height, grid.width]) };
    E::of(1.0 / count.max(1) as f64)
}
