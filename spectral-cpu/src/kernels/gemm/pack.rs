//! Copies slivers of an operand into the order the tiles read them in.

use super::INNER;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector};
use std::mem::MaybeUninit;

/// Writes `to[s * stride + i] = from[s * step + i * lane]` for `s < steps`, `i < lanes`, and 0 for `i` from `lanes`
/// up to `stride`.
pub(super) struct Sliver<E> {
    pub(super) from: *const E,
    pub(super) step: usize,
    pub(super) lane: usize,
    pub(super) steps: usize,
    pub(super) lanes: usize,
    pub(super) to: *mut E,
    pub(super) stride: usize,
}

impl<E: Math> Kernel<E> for Sliver<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        // SAFETY: whoever made the sliver vouches for `from`, and for room of `steps * stride` at `to`.
        unsafe {
            if self.lane == 1 {
                self.rows::<V>();
            } else {
                self.transpose();
            }
        }
    }
}

impl<E: Math> Sliver<E> {
    /// Lanes are contiguous: copies rows.
    #[inline(always)]
    unsafe fn rows<V: Vector<Elem = E>>(&self) {
        for s in 0..self.steps {
            // SAFETY: see `run`; masked lanes are not touched.
            unsafe {
                let (from, to) = (self.from.add(s * self.step), self.to.add(s * self.stride));
                let mut i = 0;
                while i < self.stride {
                    let read = V::first(self.lanes.saturating_sub(i).min(V::LANES));
                    let write = V::first((self.stride - i).min(V::LANES));
                    V::load_masked(from.wrapping_add(i), read).store_masked(to.add(i), write);
                    i += V::LANES;
                }
            }
        }
    }

    /// Lanes are apart: blocks of 16 steps, so that every line that is read is used up.
    #[inline(always)]
    unsafe fn transpose(&self) {
        for block in (0..self.steps).step_by(16) {
            let end = self.steps.min(block + 16);
            for i in 0..self.stride {
                for s in block..end {
                    // SAFETY: see `run`.
                    unsafe {
                        let value =
                            if i < self.lanes { *self.from.add(s * self.step + i * self.lane) } else { E::of(0.0) };
                        *self.to.add(s * self.stride + i) = value;
                    }
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
