//! Convolutions whose outputs see one channel each: a sum of shifted images, without a matrix of windows.

use super::math::Math;
use super::vector::{Kernel, Vector};
use super::windows::Grid;

/// `z = bias + sum over the window of weight * x` for the images of one output channel.
pub(crate) struct Shifted<'a, E> {
    pub(crate) grid: Grid,
    /// The channel it sees.
    pub(crate) x: &'a [E],
    /// One weight for each value of the window.
    pub(crate) weight: &'a [E],
    pub(crate) bias: E,
    pub(crate) z: &'a mut [E],
}

impl<E: Math> Kernel<E> for Shifted<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let grid = self.grid;
        for i in 0..grid.rows {
            self.z[i * grid.line()..(i + 1) * grid.line()].fill(self.bias);
            for (tap, &weight) in self.weight.iter().enumerate() {
                grid.seen(i, grid.offset(tap), |at, from, len| {
                    add_scaled::<V>(weight, &self.x[from..from + len], &mut self.z[at..at + len]);
                });
            }
        }
    }
}

/// `dx += sum over the window of weight * dz`, the way back.
pub(crate) struct ShiftedBack<'a, E> {
    pub(crate) grid: Grid,
    pub(crate) dz: &'a [E],
    pub(crate) weight: &'a [E],
    pub(crate) dx: &'a mut [E],
}

impl<E: Math> Kernel<E> for ShiftedBack<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let grid = self.grid;
        for i in 0..grid.rows {
            for (tap, &weight) in self.weight.iter().enumerate() {
                grid.seen(i, grid.offset(tap), |at, from, len| {
                    add_scaled::<V>(weight, &self.dz[at..at + len], &mut self.dx[from..from + len]);
                });
            }
        }
    }
}

/// The sum over all places of `dz * x` at one offset of the window.
pub(crate) struct ShiftedDot<'a, E> {
    pub(crate) grid: Grid,
    pub(crate) x: &'a [E],
    pub(crate) dz: &'a [E],
    pub(crate) tap: usize,
}

impl<E: Math> Kernel<E> for ShiftedDot<'_, E> {
    type Output = E;
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) -> E {
        let grid = self.grid;
        let mut sum = V::zero();
        for i in 0..grid.rows {
            grid.seen(i, grid.offset(self.tap), |at, from, len| {
                sum = dot::<V>(&self.x[from..from + len], &self.dz[at..at + len], sum);
            });
        }
        sum.sum()
    }
}

/// `to += factor * from`; the slices are of the same length.
#[inline(always)]
fn add_scaled<V: Vector>(factor: V::Elem, from: &[V::Elem], to: &mut [V::Elem]) {
    let len = to.len().min(from.len());
    let factor = V::splat(factor);
    let mut i = 0;
    while i < len {
        let lanes = V::first((len - i).min(V::LANES));
        // SAFETY: the flagged lanes stay below `len`.
        unsafe {
            let to = to.as_mut_ptr().add(i);
            factor.fma(V::load_masked(from.as_ptr().add(i), lanes), V::load_masked(to, lanes)).store_masked(to, lanes);
        }
        i += V::LANES;
    }
}

/// `sum` and the products of both slices, which are of the same length.
#[inline(always)]
fn dot<V: Vector>(a: &[V::Elem], b: &[V::Elem], mut sum: V) -> V {
    let len = a.len().min(b.len());
    let mut i = 0;
    while i < len {
        let lanes = V::first((len - i).min(V::LANES));
        // SAFETY: the flagged lanes stay below `len`; the others add 0 times 0.
        sum = unsafe { V::load_masked(a.as_ptr().add(i), lanes).fma(V::load_masked(b.as_ptr().add(i), lanes), sum) };
        i += V::LANES;
    }
    sum
}
