//! Products of stored entries with two samples, row by row: forward, input gradient, gradient of the entries.
//!
//! `[rows, 2]` is a list of pairs. A vector holds as many pairs as it has half lanes: the entries of a row are read in
//! order, each value doubled, and their inputs fetched pair by pair, a load each. The last vector of a row goes on into
//! the next one, whose part in it is left out: a loop over what is left would be foreseen wrongly for most rows.

use super::SharedMut;
use super::csr::Csr;
use super::math::Math;
use super::vector::{Index, Kernel, Vector};
use crate::Cpu;
use spectral_core::Accum;
use std::ops::Range;

/// Entries that are worth a part of their own in [`multiply_transposed`].
const PART: usize = 50_000;
/// The most such parts.
const PARTS: usize = 4;

/// `y[r] (+)= A[r, :] x + bias[r]` for some rows, `x` and `y` being pairs.
pub(crate) struct Multiply<'a, E> {
    pub(crate) a: Csr<'a, E>,
    pub(crate) x: *const E,
    pub(crate) y: *mut E,
    pub(crate) rows: Range<usize>,
    pub(crate) accum: Accum,
    pub(crate) bias: Option<&'a [E]>,
}

impl<E: Math> Kernel<E> for Multiply<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (narrow, wide) = (self.a.narrow, self.a.indices);
        match narrow {
            Some(narrow) => self.by::<V, u16>(narrow.as_ptr()),
            None => self.by::<V, u32>(wide.as_ptr()),
        }
    }
}

impl<E: Math> Multiply<'_, E> {
    #[inline(always)]
    fn by<V: Vector<Elem = E>, I: Index>(self, indices: *const I) {
        let values = self.a.values.as_ptr();
        let half = V::LANES / 2;
        for row in self.rows.clone() {
            let (mut k, end) = (self.a.starts[row] as usize, self.a.starts[row + 1] as usize);
            let mut sums = [V::zero(); 2];
            // SAFETY: whoever made the kernel vouches that indices name pairs of `x` and that the rows are its own.
            unsafe {
                while k + V::LANES <= end {
                    sums[0] = self.add(indices, k, sums[0]);
                    sums[1] = self.add(indices, k + half, sums[1]);
                    k += V::LANES;
                }
                if k + half <= end {
                    sums[0] = self.add(indices, k, sums[0]);
                    k += half;
                }
                if k < end && k + half <= self.a.indices.len() {
                    // Entries of the next rows too, and then forgotten.
                    sums[1] = V::select(V::first(2 * (end - k)), self.add(indices, k, sums[1]), sums[1]);
                    k = end;
                }
                let mut sum = sums[0].add(sums[1]).pair_sum();
                for k in k..end {
                    let (value, x) = (*values.add(k), self.x.add(2 * I::read(indices.add(k))));
                    sum = [sum[0] + value * *x, sum[1] + value * *x.add(1)];
                }
                let bias = self.bias.map_or(E::of(0.0), |b| b[row]);
                for (i, sum) in sum.into_iter().enumerate() {
                    let to = &mut *self.y.add(2 * row + i);
                    *to = self.accum.apply(*to, bias + sum);
                }
            }
        }
    }

    /// `sum` and the products of half a vector of entries with their pairs.
    #[inline(always)]
    unsafe fn add<V: Vector<Elem = E>, I: Index>(&self, indices: *const I, k: usize, sum: V) -> V {
        // SAFETY: the caller vouches for so many entries from `k` on.
        unsafe {
            let value = V::load_half(self.a.values.as_ptr().add(k)).doubled();
            value.fma(V::pairs(self.x, &V::places(indices.add(k))), sum)
        }
    }
}

/// `out[k] (+)= d[row_k] . x[column_k]` for the entries of some rows, `d` and `x` being pairs.
pub(crate) struct Sampled<'a, E> {
    pub(crate) a: Csr<'a, E>,
    pub(crate) d: &'a [E],
    pub(crate) x: *const E,
    /// Where the first entry of the rows goes; the others follow it.
    pub(crate) out: *mut E,
    pub(crate) rows: Range<usize>,
    pub(crate) accum: Accum,
}

impl<E: Math> Kernel<E> for Sampled<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (narrow, wide) = (self.a.narrow, self.a.indices);
        match narrow {
            Some(narrow) => self.by::<V, u16>(narrow.as_ptr()),
            None => self.by::<V, u32>(wide.as_ptr()),
        }
    }
}

impl<E: Math> Sampled<'_, E> {
    #[inline(always)]
    fn by<V: Vector<Elem = E>, I: Index>(self, indices: *const I) {
        let half = V::LANES / 2;
        let mut out = self.out;
        for row in self.rows {
            let (mut k, end) = (self.a.starts[row] as usize, self.a.starts[row + 1] as usize);
            let d = [self.d[2 * row], self.d[2 * row + 1]];
            let both = V::alternate(d);
            // SAFETY: whoever made the kernel vouches that indices name pairs of `x` and that there is room for the
            // entries.
            unsafe {
                while k < end && k + V::LANES <= self.a.indices.len() {
                    // Entries of the next rows too, which are not stored.
                    let first = both.mul(V::pairs(self.x, &V::places(indices.add(k))));
                    let second = both.mul(V::pairs(self.x, &V::places(indices.add(k + half))));
                    let sums = V::pair_sums([first, second]);
                    let count = V::LANES.min(end - k);
                    let lanes = V::first(count);
                    let sums = if self.accum == Accum::Add { V::load_masked(out, lanes).add(sums) } else { sums };
                    if count == V::LANES {
                        sums.store(out)
                    } else {
                        sums.store_masked(out, lanes)
                    }
                    (k, out) = (k + count, out.add(count));
                }
                for k in k..end {
                    let x = self.x.add(2 * I::read(indices.add(k)));
                    *out = self.accum.apply(*out, d[0] * *x + d[1] * *x.add(1));
                    out = out.add(1);
                }
            }
        }
    }
}

/// `dx (+)= A^T dz`, both being pairs, without the transpose: every row adds to the inputs it reads.
///
/// The rows are cut into a few parts by the pattern alone; the first adds to the result, each of the others to a buffer
/// of its own, and the buffers are added in order.
pub(crate) fn multiply_transposed<E: Math>(cpu: &Cpu, a: Csr<'_, E>, dz: &[E], dx: &mut [E], accum: Accum) {
    a.check();
    assert!(a.values.len() == a.indices.len() && dz.len() == 2 * a.rows() && dx.len() == 2 * a.columns);
    if accum == Accum::Replace {
        dx.fill(E::of(0.0));
    }
    let parts = (a.indices.len() / PART).clamp(1, PARTS);
    cpu.scratch().with((parts - 1) * dx.len(), |others: &mut [E]| {
        others.fill(E::of(0.0));
        let (len, first) = (dx.len(), SharedMut(dx.as_mut_ptr()));
        let all = SharedMut(others.as_mut_ptr());
        cpu.crew().each(parts, |i| {
            // SAFETY: the buffer is this part's alone, and has a pair for every column.
            let sums = if i == 0 { first.get() } else { unsafe { all.get().add((i - 1) * len) } };
            cpu.simd().run(Scatter { a, dz, sums, rows: a.part(i, parts) });
        });
        for part in others.chunks_exact(len.max(1)) {
            for (to, sum) in dx.iter_mut().zip(part) {
                *to = *to + *sum;
            }
        }
    });
}

struct Scatter<'a, E> {
    a: Csr<'a, E>,
    dz: &'a [E],
    sums: *mut E,
    rows: Range<usize>,
}

impl<E: Math> Kernel<E> for Scatter<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (narrow, wide) = (self.a.narrow, self.a.indices);
        match narrow {
            Some(narrow) => self.by::<V, u16>(narrow.as_ptr()),
            None => self.by::<V, u32>(wide.as_ptr()),
        }
    }
}

impl<E: Math> Scatter<'_, E> {
    #[inline(always)]
    fn by<V: Vector<Elem = E>, I: Index>(self, indices: *const I) {
        let values = self.a.values.as_ptr();
        for row in self.rows {
            let (mut k, end) = (self.a.starts[row] as usize, self.a.starts[row + 1] as usize);
            let dz = [self.dz[2 * row], self.dz[2 * row + 1]];
            let both = V::alternate(dz);
            // SAFETY: indices name pairs of the sums.
            unsafe {
                while k + 4 <= end {
                    for k in k..k + 4 {
                        V::add_pair(values.add(k), both, self.sums.add(2 * I::read(indices.add(k))));
                    }
                    k += 4;
                }
                for k in k..end {
                    V::add_pair(values.add(k), both, self.sums.add(2 * I::read(indices.add(k))));
                }
            }
        }
    }
}
