//! Copies slivers of an operand into the order the tiles read them in.

use crate::kernels::vector::{Kernel, Lanes, Vector};
use std::mem::MaybeUninit;

/// Writes `to[s * stride + i] = from[s * step + i * lane]` for `s < steps`, `i < lanes`.
///
/// What lies between `lanes` and `stride` gets some number. Steps are written in ascending order, the first vector of
/// each as a whole, so that up to [`SLACK`] elements behind the last step are overwritten.
pub(super) struct Sliver<E> {
    pub(super) from: *const E,
    pub(super) step: usize,
    pub(super) lane: usize,
    pub(super) steps: usize,
    pub(super) lanes: usize,
    pub(super) to: *mut E,
    pub(super) stride: usize,
}

/// Elements behind a sliver that packing may overwrite: one vector of any level.
pub(super) const SLACK: usize = 16;

impl<E: Lanes> Kernel<E> for Sliver<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        for first in (0..self.stride).step_by(V::LANES) {
            // SAFETY: whoever made the sliver vouches for `from`, and for room and slack at `to`.
            unsafe {
                if self.lane == 1 {
                    self.copy::<V>(first);
                } else {
                    self.transpose::<V>(first);
                }
            }
        }
    }
}

impl<E: Lanes> Sliver<E> {
    /// Lanes are contiguous.
    #[inline(always)]
    unsafe fn copy<V: Vector<Elem = E>>(&self, first: usize) {
        let count = self.lanes.saturating_sub(first).min(V::LANES);
        let lanes = V::first(count);
        let mut from = self.from.wrapping_add(first);
        for s in 0..self.steps {
            // SAFETY: see `run`; lanes that are not flagged are not read.
            unsafe {
                let v = if count == V::LANES { V::load(from) } else { V::load_masked(from, lanes) };
                self.put(v, s, first);
            }
            from = from.wrapping_add(self.step);
        }
    }

    /// Lanes are apart, and steps usually contiguous: four steps at a time through the registers.
    #[inline(always)]
    unsafe fn transpose<V: Vector<Elem = E>>(&self, first: usize) {
        // Lanes past the last are copies of it.
        let lane = |i: usize| (first + i).min(self.lanes - 1) * self.lane;
        let mut rows: [*const E; 16] = std::array::from_fn(|i| self.from.wrapping_add(lane(i)));
        let mut s = 0;
        // SAFETY: see `run`.
        unsafe {
            while self.step == 1 && s + 4 <= self.steps {
                for (k, v) in V::columns4(&rows).into_iter().enumerate() {
                    self.put(v, s + k, first);
                }
                for row in &mut rows {
                    *row = row.wrapping_add(4);
                }
                s += 4;
            }
            for s in s..self.steps {
                for i in 0..V::LANES.min(self.stride - first) {
                    *self.to.add(s * self.stride + first + i) = *self.from.add(s * self.step + lane(i));
                }
            }
        }
    }

    /// Writes the lanes from `first` on of step `s`.
    #[inline(always)]
    unsafe fn put<V: Vector<Elem = E>>(&self, v: V, s: usize, first: usize) {
        // SAFETY: there is room for every step; the first vector may reach into the next step, which is yet to be
        // written, or into the slack.
        unsafe {
            let to = self.to.add(s * self.stride + first);
            if first == 0 || first + V::LANES <= self.stride {
                v.store(to);
            } else {
                v.store_masked(to, V::first(self.stride - first));
            }
        }
    }
}

/// Bytes of [`Room`]: a good part of the smallest L2 cache.
const BYTES: usize = 96 * 1024;

/// Slivers of `A` on the stack: panels run on any thread and must not allocate.
#[repr(align(64))]
pub(super) struct Room(MaybeUninit<[u8; BYTES]>);

impl Room {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// How many slivers of `len` elements there is room for.
    pub(super) fn slivers<E>(len: usize) -> usize {
        (BYTES / size_of::<E>() / (len + SLACK)).max(1)
    }

    /// Where sliver `i` of `len` elements goes.
    pub(super) fn sliver<E>(&mut self, i: usize, len: usize) -> *mut E {
        let end = (i + 1) * (len + SLACK);
        assert!(end * size_of::<E>() <= BYTES);
        self.0.as_mut_ptr().cast::<E>().wrapping_add(end - len - SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Simd;

    #[test]
    fn slivers_hold_every_step_and_their_padding_is_finite() {
        let from: Vec<f64> = (0..4000).map(f64::from).collect();
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            for (lanes, stride) in [(1, 2), (3, 4), (6, 6), (5, 6), (4, 6), (1, 9), (9, 9), (8, 9), (17, 24), (24, 24)]
            {
                for steps in [0, 1, 3, 4, 7, 40] {
                    for (step, lane) in [(1, 60), (50, 1), (3, 90)] {
                        let mut to = vec![f64::NAN; steps * stride + SLACK];
                        let (from, to_start) = (from.as_ptr(), to.as_mut_ptr());
                        simd.run(Sliver { from, step, lane, steps, lanes, to: to_start, stride });
                        for s in 0..steps {
                            for i in 0..stride {
                                let got = to[s * stride + i];
                                let want = (s * step + i * lane) as f64;
                                let what = format!("{simd} {lanes} of {stride}, step {s}, lane {i}: {got}");
                                assert!(if i < lanes { got == want } else { got.is_finite() }, "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
}
