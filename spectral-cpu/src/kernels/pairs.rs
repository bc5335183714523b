//! Products of stored entries with two samples, row by row: forward, input gradient, gradient of the entries.
//!
//! `[rows, 2]` is a list of pairs. A vector holds as many pairs as it has half lanes: the entries of a row are read in
//! order, each value doubled, and their inputs fetched pair by pair, a load each.

use super::SharedMut;
use super::csr::Csr;
use super::math::Math;
use super::vector::{Kernel, Vector};
use crate::Cpu;
use spectral_core::Accum;
use std::ops::Range;

/// Entries that are worth a buffer of their own in [`multiply_transposed`].
const PART: usize = 65_536;
/// The most such buffers.
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
        let (values, indices) = (self.a.values.as_ptr(), self.a.indices.as_ptr());
        for row in self.rows {
            let (mut k, end) = (self.a.starts[row] as usize, self.a.starts[row + 1] as usize);
            let mut sums = [V::zero(); 2];
            // SAFETY: whoever made the kernel vouches that indices name pairs of `x` and that the rows are its own.
            unsafe {
                while k + V::LANES <= end {
                    let next = k + V::LANES / 2;
                    sums[0] = V::twice(values.add(k)).fma(V::pairs(self.x, indices.add(k)), sums[0]);
                    sums[1] = V::twice(values.add(next)).fma(V::pairs(self.x, indices.add(next)), sums[1]);
                    k += V::LANES;
                }
                if k + V::LANES / 2 <= end {
                    sums[0] = V::twice(values.add(k)).fma(V::pairs(self.x, indices.add(k)), sums[0]);
                    k += V::LANES / 2;
                }
                let mut sum = sums[0].add(sums[1]).pair_sum();
                for k in k..end {
                    let (value, x) = (*values.add(k), self.x.add(2 * *indices.add(k) as usize));
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
}

/// `out[k] (+)= d[row_k] . x[column_k]` for the entries of some rows, `d` and `x` being pairs.
pub(crate) struct Sampled<'a, E> {
    pub(crate) a: Csr<'a, E>,
    pub(crate) d: &'a [E],
    pub(crate) x: *const E,
    pub(crate) out: *mut E,
    pub(crate) rows: Range<usize>,
    pub(crate) accum: Accum,
}

impl<E: Math> Kernel<E> for Sampled<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let indices = self.a.indices.as_ptr();
        for row in self.rows {
            let (mut k, end) = (self.a.starts[row] as usize, self.a.starts[row + 1] as usize);
            let d = [self.d[2 * row], self.d[2 * row + 1]];
            let both = V::alternate(d);
            // SAFETY: whoever made the kernel vouches that indices name pairs of `x` and that the entries are its own.
            unsafe {
                while k + V::LANES / 2 <= end {
                    let mut sums = [E::of(0.0); 8];
                    both.mul(V::pairs(self.x, indices.add(k))).store_pair_sums(sums.as_mut_ptr());
                    for (i, sum) in sums[..V::LANES / 2].iter().enumerate() {
                        let to = &mut *self.out.add(k + i);
                        *to = self.accum.apply(*to, *sum);
                    }
                    k += V::LANES / 2;
                }
                for k in k..end {
                    let x = self.x.add(2 * *indices.add(k) as usize);
                    let to = &mut *self.out.add(k);
                    *to = self.accum.apply(*to, d[0] * *x + d[1] * *x.add(1));
                }
            }
        }
    }
}

/// `dx (+)= A^T dz`, both being pairs, without the transpose: every row adds to the inputs it reads.
///
/// The rows are cut into a few parts by the pattern alone; each adds up in a buffer of its own, and the buffers are
/// added in order.
pub(crate) fn multiply_transposed<E: Math>(cpu: &Cpu, a: Csr<'_, E>, dz: &[E], dx: &mut [E], accum: Accum) {
    a.check(dx.len() / 2);
    assert!(dz.len() == 2 * a.rows());
    let parts = (a.indices.len() / PART).clamp(1, PARTS);
    cpu.scratch().with(parts * dx.len(), |sums: &mut [E]| {
        sums.fill(E::of(0.0));
        let all = SharedMut(sums.as_mut_ptr());
        cpu.crew().each(parts, |i| {
            // SAFETY: buffer `i` is this part's alone, and has a pair for every column.
            let sums = unsafe { all.get().add(i * dx.len()) };
            cpu.simd().run(Scatter { a, dz, sums, rows: a.part(i, parts) });
        });
        for (at, to) in dx.iter_mut().enumerate() {
            let sum = (1..parts).fold(sums[at], |sum, i| sum + sums[i * (sums.len() / parts) + at]);
            *to = accum.apply(*to, sum);
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
        let (values, indices) = (self.a.values.as_ptr(), self.a.indices.as_ptr());
        for row in self.rows {
            let (mut k, end) = (self.a.starts[row] as usize, self.a.starts[row + 1] as usize);
            let dz = [self.dz[2 * row], self.dz[2 * row + 1]];
            let both = V::alternate(dz);
            // SAFETY: indices name pairs of the sums; those of one row differ, so that no pair is read before it is
            // written.
            unsafe {
                while k + V::LANES / 2 <= end {
                    let sums = V::pairs(self.sums, indices.add(k));
                    V::twice(values.add(k)).fma(both, sums).put_pairs(self.sums, indices.add(k));
                    k += V::LANES / 2;
                }
                for k in k..end {
                    let (value, to) = (*values.add(k), self.sums.add(2 * *indices.add(k) as usize));
                    *to = *to + value * dz[0];
                    *to.add(1) = *to.add(1) + value * dz[1];
                }
            }
        }
    }
}
