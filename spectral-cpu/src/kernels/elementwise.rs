//! Kernels that act on every element alone.

use super::vector::{Kernel, Lanes, Vector};
use spectral_core::{Accum, Dropout, hash64};

/// A function of two vectors, lane by lane.
pub(crate) trait Binary<E: Lanes>: Copy {
    /// The result.
    fn value<V: Vector<Elem = E>>(self, a: V, b: V) -> V;
}

/// `a * factor`.
#[derive(Clone, Copy)]
pub(crate) struct Scaled<E>(pub(crate) E);

/// `a * b`.
#[derive(Clone, Copy)]
pub(crate) struct Multiplied;

impl<E: Lanes> Binary<E> for Scaled<E> {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, a: V, _: V) -> V {
        a.mul(V::splat(self.0))
    }
}

impl<E: Lanes> Binary<E> for Multiplied {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, a: V, b: V) -> V {
        a.mul(b)
    }
}

/// `l1 sign(a) + l2 a`.
#[derive(Clone, Copy)]
pub(crate) struct PenaltySlope<E> {
    pub(crate) l1: E,
    pub(crate) l2: E,
}

impl<E: Lanes> Binary<E> for PenaltySlope<E> {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, a: V, _: V) -> V {
        let (up, zero) = (V::splat(self.l1), V::zero());
        let sign = V::select(a.gt(zero), up, V::select(zero.gt(a), zero.sub(up), zero));
        a.fma(V::splat(self.l2), sign)
    }
}

/// `y (+)= function(a, b)`; all slices are of the same length.
pub(crate) struct Zip<'a, E, F> {
    pub(crate) function: F,
    pub(crate) a: &'a [E],
    pub(crate) b: &'a [E],
    pub(crate) y: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes, F: Binary<E>> Kernel<E> for Zip<'_, E, F> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let len = self.y.len().min(self.a.len()).min(self.b.len());
        let (a, b, y) = (self.a.as_ptr(), self.b.as_ptr(), self.y.as_mut_ptr());
        let mut i = 0;
        // SAFETY: `i` and the flagged lanes stay below `len`.
        unsafe {
            while i + V::LANES <= len {
                let v = self.function.value(V::load(a.add(i)), V::load(b.add(i)));
                let v = if self.accum == Accum::Add { V::load(y.add(i)).add(v) } else { v };
                v.store(y.add(i));
                i += V::LANES;
            }
            if i < len {
                let rest = V::first(len - i);
                let v = self.function.value(V::load_masked(a.add(i), rest), V::load_masked(b.add(i), rest));
                let v = if self.accum == Accum::Add { V::load_masked(y.add(i), rest).add(v) } else { v };
                v.store_masked(y.add(i), rest);
            }
        }
    }
}

/// Brings every element into `-limit..=limit`.
pub(crate) struct Clamp<'a, E> {
    pub(crate) limit: E,
    pub(crate) y: &'a mut [E],
}

impl<E: Lanes> Kernel<E> for Clamp<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (len, y) = (self.y.len(), self.y.as_mut_ptr());
        let high = V::splat(self.limit);
        let low = V::zero().sub(high);
        let mut i = 0;
        while i < len {
            let lanes = V::first((len - i).min(V::LANES));
            // SAFETY: the flagged lanes stay below `len`.
            unsafe {
                // The element comes second, so that NaN stays.
                let v = low.max(high.min(V::load_masked(y.add(i), lanes)));
                v.store_masked(y.add(i), lanes);
            }
            i += V::LANES;
        }
    }
}

/// `y (+)= x` with dropout; `first` is the index of `x[0]` in the whole tensor.
pub(crate) struct Drop<'a, E> {
    pub(crate) op: Dropout,
    pub(crate) first: usize,
    pub(crate) x: &'a [E],
    pub(crate) y: &'a mut [E],
    pub(crate) accum: Accum,
}

/// Elements whose fate is drawn at once: a multiple of every number of lanes.
const DRAWN: usize = 64;

impl<E: Lanes> Kernel<E> for Drop<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (threshold, scale) = (self.op.threshold(), E::of(self.op.scale()));
        let len = self.y.len().min(self.x.len());
        let (x, y) = (self.x.as_ptr(), self.y.as_mut_ptr());
        let mut factors = [E::of(0.0); DRAWN];
        for block in (0..len).step_by(DRAWN) {
            // A plain loop that the compiler vectorises for the level.
            for (j, factor) in factors.iter_mut().enumerate() {
                let dropped = hash64(self.op.key, (self.first + block + j) as u64) < threshold;
                *factor = if dropped { E::of(0.0) } else { scale };
            }
            let end = len.min(block + DRAWN);
            let mut i = block;
            while i < end {
                let lanes = V::first((end - i).min(V::LANES));
                // SAFETY: the flagged lanes stay below `len`, and `DRAWN` is a multiple of `LANES`.
                unsafe {
                    let factor = V::load(factors.as_ptr().add(i - block));
                    // Selected, not multiplied: a dropped NaN is 0.
                    let kept = V::load_masked(x.add(i), lanes).mul(factor);
                    let v = V::select(factor.gt(V::zero()), kept, V::zero());
                    let v = if self.accum == Accum::Add { V::load_masked(y.add(i), lanes).add(v) } else { v };
                    v.store_masked(y.add(i), lanes);
                }
                i += V::LANES;
            }
        }
    }
}
