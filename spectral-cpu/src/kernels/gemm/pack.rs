//! Copies slivers of an operand into the order the tiles read them in.

use super::INNER;
use crate::kernels::vector::{Kernel, Lanes, Vector};
use std::mem::MaybeUninit;

/// Writes `to[s * stride + i] = from[s * step + i * lane]` for `s < steps`, `i < lanes`. What lies between `lanes` and
/// `stride` is left as it is; tiles do not read it.
pub(super) struct Sliver<E> {
    pub(super) from: *const E,
    pub(super) step: usize,
    pub(super) lane: usize,
    pub(super) steps: usize,
    pub(super) lanes: usize,
    pub(super) to: *mut E,
    pub(super) stride: usize,
}

impl<E: Lanes> Kernel<E> for Sliver<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        for first in (0..self.lanes).step_by(V::LANES) {
            let count = V::LANES.min(self.lanes - first);
            // SAFETY: whoever made the sliver vouches for `from`, and for room at `to`.
            unsafe {
                if self.lane == 1 {
                    self.copy::<V>(first, count);
                } else {
                    self.transpose::<V>(first, count);
                }
            }
        }
    }
}

impl<E: Lanes> Sliver<E> {
    /// Lanes are contiguous.
    #[inline(always)]
    unsafe fn copy<V: Vector<Elem = E>>(&self, first: usize, count: usize) {
        let lanes = V::first(count);
        for s in 0..self.steps {
            // SAFETY: see `run`; masked lanes are not touched.
            unsafe {
                let from = self.from.add(s * self.step + first);
                let to = self.to.add(s * self.stride + first);
                if count == V::LANES {
                    V::load(from).store(to);
                } else {
                    V::load_masked(from, lanes).store_masked(to, lanes);
                }
            }
        }
    }

    /// Lanes are apart, and steps usually contiguous: four steps at a time through the registers.
    #[inline(always)]
    unsafe fn transpose<V: Vector<Elem = E>>(&self, first: usize, count: usize) {
        let lanes = V::first(count);
        // Lanes past the last read it once more; they are not written.
        let mut rows: [*const E; 16] =
            std::array::from_fn(|i| self.from.wrapping_add((first + i.min(count - 1)) * self.lane));
        let mut s = 0;
        // SAFETY: see `run`.
        unsafe {
            while self.step == 1 && s + 4 <= self.steps {
                for (k, v) in V::columns4(&rows).into_iter().enumerate() {
                    v.store_masked(self.to.add((s + k) * self.stride + first), lanes);
                }
                for row in &mut rows {
                    *row = row.wrapping_add(4);
                }
                s += 4;
            }
            for s in s..self.steps {
                for i in first..first + count {
                    *self.to.add(s * self.stride + i) = *self.from.add(s * self.step + i * self.lane);
                }
            }
        }
    }
}

/// The largest tile's sliver of `A`, on the stack: panels run on any thread and must not allocate.
pub(super) struct Room<E>(MaybeUninit<[[E; 14]; INNER]>);

impl<E> Room<E> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Room for `len` elements.
    pub(super) fn room(&mut self, len: usize) -> *mut E {
        assert!(len <= 14 * INNER);
        self.0.as_mut_ptr().cast()
    }
}
