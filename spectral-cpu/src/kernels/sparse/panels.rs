//! `[rows, batch]` matrices copied panel by panel, each panel contiguous.

use super::{WIDE, by_vectors, lanes, spread};
use crate::Cpu;
use crate::kernels::SharedMut;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector};
use spectral_core::Accum;
use std::ops::Range;

/// How a batch is cut: panels of [`WIDE`] vectors, then one of as many as are needed.
///
/// Rows of a panel are whole vectors; what no sample fills is 0 in operands and nothing in results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panels {
    batch: usize,
    lanes: usize,
}

impl Panels {
    pub(crate) fn new<E: Math>(cpu: &Cpu, batch: usize) -> Self {
        Self { batch, lanes: lanes::<E>(cpu) }
    }

    /// Samples in all.
    pub(crate) fn batch(self) -> usize {
        self.batch
    }

    /// Number of panels.
    pub(crate) fn count(self) -> usize {
        self.batch.div_ceil(WIDE * self.lanes)
    }

    /// Samples of panel `p`.
    pub(crate) fn samples(self, p: usize) -> Range<usize> {
        let width = WIDE * self.lanes;
        p * width..self.batch.min((p + 1) * width)
    }

    /// Vectors in a row of panel `p`.
    pub(crate) fn vectors(self, p: usize) -> usize {
        self.samples(p).len().div_ceil(self.lanes)
    }

    /// Elements in a row of panel `p`.
    pub(crate) fn width(self, p: usize) -> usize {
        self.vectors(p) * self.lanes
    }

    /// Elements in a row of the widest panel.
    pub(crate) fn most_width(self) -> usize {
        if self.count() == 0 { 0 } else { self.width(0) }
    }

    /// Where panel `p` of a matrix of `rows` rows begins.
    pub(crate) fn offset(self, p: usize, rows: usize) -> usize {
        p * WIDE * self.lanes * rows
    }

    /// Elements of a matrix of `rows` rows.
    pub(crate) fn len(self, rows: usize) -> usize {
        match self.count() {
            0 => 0,
            n => self.offset(n - 1, rows) + self.width(n - 1) * rows,
        }
    }

    /// Copies `x`, `[rows, batch]`, into panels.
    pub(crate) fn pack<E: Math>(self, cpu: &Cpu, x: &[E], to: &mut [E]) {
        let rows = x.len() / self.batch.max(1);
        assert!(x.len() == rows * self.batch && to.len() >= self.len(rows));
        let to = SharedMut(to.as_mut_ptr());
        // A copy takes as long as some ten operations.
        spread(cpu, self.count(), 10 * x.len(), |p, _| {
            let (samples, vectors) = (self.samples(p), self.vectors(p));
            let from = x.as_ptr().wrapping_add(samples.start);
            // SAFETY: panel `p` of `to` is this item's alone.
            let to = unsafe { to.get().add(self.offset(p, rows)) };
            cpu.simd().run(Pack { from, rows, batch: self.batch, vectors, samples: samples.len(), to });
        });
    }
}

struct Pack<E> {
    from: *const E,
    rows: usize,
    batch: usize,
    vectors: usize,
    samples: usize,
    to: *mut E,
}

impl<E: Math> Kernel<E> for Pack<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        by_vectors!(self.vectors, self, V)
    }
}

impl<E: Math> Pack<E> {
    #[inline(always)]
    fn body<V: Vector<Elem = E>, const N: usize>(self) {
        let last = V::first(self.samples - (N - 1) * V::LANES);
        for row in 0..self.rows {
            // SAFETY: `pack` has checked the extents; masked lanes are not read.
            unsafe {
                let (from, to) = (self.from.add(row * self.batch), self.to.add(row * N * V::LANES));
                for n in 0..N - 1 {
                    V::load(from.add(n * V::LANES)).store(to.add(n * V::LANES));
                }
                let n = (N - 1) * V::LANES;
                V::load_masked(from.add(n), last).store(to.add(n));
            }
        }
    }
}

/// Writes `rows` rows of a panel back to `[rows, batch]`, of which `to` is the first row at the panel's first sample.
pub(crate) struct Unpack<E> {
    pub(crate) from: *const E,
    pub(crate) rows: usize,
    pub(crate) batch: usize,
    pub(crate) vectors: usize,
    pub(crate) samples: usize,
    pub(crate) to: *mut E,
    pub(crate) accum: Accum,
}

impl<E: Math> Unpack<E> {
    /// # Safety
    /// `from` is valid for reads of `rows` rows of `vectors` vectors, and `to` for reads and writes of `samples`
    /// elements every `batch` elements, `rows` times, `samples` being more than `vectors - 1` and at most `vectors`
    /// vectors.
    pub(crate) unsafe fn new(from: *const E, rows: usize, panels: Panels, p: usize, to: *mut E, accum: Accum) -> Self {
        let (vectors, samples) = (panels.vectors(p), panels.samples(p).len());
        Self { from, rows, batch: panels.batch, vectors, samples, to, accum }
    }
}

impl<E: Math> Kernel<E> for Unpack<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        by_vectors!(self.vectors, self, V)
    }
}

impl<E: Math> Unpack<E> {
    #[inline(always)]
    fn body<V: Vector<Elem = E>, const N: usize>(self) {
        let last = V::first(self.samples - (N - 1) * V::LANES);
        for row in 0..self.rows {
            // SAFETY: whoever made the kernel vouches for the memory; masked lanes are not touched.
            unsafe {
                let (from, to) = (self.from.add(row * N * V::LANES), self.to.add(row * self.batch));
                for n in 0..N - 1 {
                    let (v, to) = (V::load(from.add(n * V::LANES)), to.add(n * V::LANES));
                    let v = if self.accum == Accum::Add { V::load(to).add(v) } else { v };
                    v.store(to);
                }
                let (v, to) = (V::load(from.add((N - 1) * V::LANES)), to.add((N - 1) * V::LANES));
                let v = if self.accum == Accum::Add { V::load_masked(to, last).add(v) } else { v };
                v.store_masked(to, last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CpuOptions, Simd};

    #[test]
    fn panels_hold_every_element_and_zeros() {
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let cpu = Cpu::with_options(CpuOptions { threads: Some(2), simd: Some(simd) }).unwrap();
            for batch in [0, 1, 7, 8, 9, 31, 32, 33, 64, 100, 130] {
                let (rows, panels) = (3, Panels::new::<f32>(&cpu, batch));
                let x: Vec<f32> = (1..=rows * batch).map(|i| i as f32).collect();
                let mut packed = vec![f32::NAN; panels.len(rows)];
                panels.pack(&cpu, &x, &mut packed);
                assert_eq!(packed.iter().filter(|v| **v == 0.0).count(), packed.len() - x.len());
                let mut back = vec![1.0; x.len()];
                for p in 0..panels.count() {
                    let samples = panels.samples(p);
                    let from = packed[panels.offset(p, rows)..].as_ptr();
                    let to = back[samples.start..].as_mut_ptr();
                    // SAFETY: both hold `rows` rows.
                    cpu.simd().run(unsafe { Unpack::new(from, rows, panels, p, to, Accum::Add) });
                }
                assert!(back.iter().zip(&x).all(|(b, x)| *b == x + 1.0), "{simd} batch {batch}");
            }
        }
    }
}
