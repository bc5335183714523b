//! Products with stored entries row by row: for one sample, and for patterns too thin for [tiles](super::sparse).

use super::SharedMut;
use super::activation::Activate;
use super::crew::Split;
use super::math::Math;
use super::pairs;
use super::vector::{Kernel, Vector};
use crate::Cpu;
use spectral_core::{Accum, Activation};
use std::ops::Range;

/// Floating-point operations of one panel: some ten microseconds of what memory and gathers allow.
const PANEL_WORK: usize = 150_000;
/// Entries of a panel of [`sampled_panels`], in the mean: they stay in the first cache.
const PANEL_ENTRIES: usize = 4096;
/// Vectors of samples that one pass over a row accumulates.
const WIDE: usize = 4;

/// Narrow indices that may be read behind the last entry: a vector of any level.
pub(crate) const PADDING: usize = 16;

/// A sparse matrix by rows, or, with `positions`, the transpose of one.
#[derive(Clone, Copy)]
pub(crate) struct Csr<'a, E> {
    /// Entries of row `r` are `starts[r]..starts[r + 1]`.
    pub(crate) starts: &'a [u32],
    pub(crate) columns: usize,
    /// The column of each entry, below `columns` as `Pattern` guarantees.
    pub(crate) indices: &'a [u32],
    /// The same in half the memory, where columns are few enough; then [`PADDING`] zeros.
    pub(crate) narrow: Option<&'a [u16]>,
    /// Where the value of each entry is; in order, if absent.
    pub(crate) positions: Option<&'a [u32]>,
    pub(crate) values: &'a [E],
}

/// Where a product goes: `[rows, batch]`.
pub(crate) struct Target<'a, E> {
    pub(crate) y: &'a mut [E],
    pub(crate) accum: Accum,
    /// Only with [`Accum::Replace`].
    pub(crate) bias: Option<&'a [E]>,
    pub(crate) activation: Activation,
    /// Receives the activated rows, if `y` is to keep the others.
    pub(crate) activated: Option<&'a mut [E]>,
}

impl<E: Sync> Csr<'_, E> {
    pub(super) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Runs `panel` for ranges of rows with about equally many entries; where they end depends on the pattern alone.
    fn panels(&self, cpu: &Cpu, batch: usize, panel: impl Fn(Range<usize>) + Sync) {
        let entries = self.indices.len();
        let panels = (2 * entries * batch / PANEL_WORK).clamp(1, self.rows().max(1));
        cpu.crew().each(panels, |i| panel(self.part(i, panels)));
    }

    /// Part `i` of the rows, cut into `parts` with about equally many entries.
    pub(super) fn part(&self, i: usize, parts: usize) -> Range<usize> {
        let end = |i: usize| match i {
            0 => 0,
            i if i == parts => self.rows(),
            i => self.starts.partition_point(|&s| (s as usize) < self.indices.len() * i / parts).min(self.rows()),
        };
        end(i)..end(i + 1)
    }

    /// Panics where the arrays do not fit each other, and in debug builds where an index is outside.
    pub(super) fn check(&self) {
        assert!(self.starts.last().is_some_and(|&end| end as usize == self.indices.len()));
        assert!(self.narrow.is_none_or(|n| n.len() == self.indices.len() + PADDING));
        debug_assert!(self.indices.iter().all(|&i| (i as usize) < self.columns));
        debug_assert!(self.positions.is_none_or(|p| p.iter().all(|&p| (p as usize) < self.values.len())));
    }
}

/// `y (+)= act(A x + bias)`, `x` being `[columns, batch]`.
pub(crate) fn multiply<E: Math>(cpu: &Cpu, a: Csr<'_, E>, x: &[E], batch: usize, to: Target<'_, E>) {
    a.check();
    assert!(a.values.len() == a.indices.len() && x.len() == a.columns * batch && to.y.len() == a.rows() * batch);
    assert!(to.bias.is_none_or(|b| b.len() == a.rows() && to.accum == Accum::Replace));
    assert!(to.activated.as_ref().is_none_or(|y| y.len() == to.y.len()));
    let y = SharedMut(to.y.as_mut_ptr());
    let activated = to.activated.map(|y| SharedMut(y.as_mut_ptr()));
    a.panels(cpu, batch, |rows| {
        let (from, len) = (rows.start * batch, rows.len() * batch);
        let (to_y, accum, bias) = (y.get(), to.accum, to.bias);
        match batch {
            2 if a.positions.is_none() => {
                cpu.simd().run(pairs::Multiply { a, x: x.as_ptr(), y: to_y, rows, accum, bias });
            }
            _ => cpu.simd().run(Multiply { a, x, batch, y: to_y, rows, accum, bias }),
        }
        // SAFETY: these rows are this panel's part of both results.
        unsafe {
            let from_y = y.get().add(from);
            match &activated {
                Some(to_y) => cpu.simd().run(Activate::raw(to.activation, from_y, to_y.get().add(from), len)),
                None if to.activation == Activation::Identity => {}
                None => cpu.simd().run(Activate::raw(to.activation, from_y, from_y, len)),
            }
        }
    });
}

struct Multiply<'a, E> {
    a: Csr<'a, E>,
    x: &'a [E],
    batch: usize,
    y: *mut E,
    rows: Range<usize>,
    accum: Accum,
    bias: Option<&'a [E]>,
}

impl<E: Math> Kernel<E> for Multiply<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        // SAFETY: `multiply` has checked the extents; rows are this panel's.
        unsafe {
            // Gathers take signed 32-bit offsets.
            let reach = self.x.len().max(self.a.values.len()) <= i32::MAX as usize;
            match (self.batch, self.a.positions) {
                (1, None) if reach || self.a.narrow.is_some() => self.one_sample::<V, false>(),
                (1, Some(_)) if reach => self.one_sample::<V, true>(),
                (_, None) => self.samples::<V, false>(),
                (_, Some(_)) => self.samples::<V, true>(),
            }
        }
    }
}

impl<E: Math> Multiply<'_, E> {
    #[inline(always)]
    fn entries(&self, row: usize) -> Range<usize> {
        self.a.starts[row] as usize..self.a.starts[row + 1] as usize
    }

    #[inline(always)]
    fn bias(&self, row: usize) -> E {
        self.bias.map_or(E::of(0.0), |b| b[row])
    }

    /// Panels of samples as wide as the accumulators, then the rest by masked vectors.
    #[inline(always)]
    unsafe fn samples<V: Vector<Elem = E>, const INDIRECT: bool>(&self) {
        let wide = WIDE * V::LANES;
        let mut column = 0;
        // SAFETY: the columns stay below `batch`.
        unsafe {
            while column + wide <= self.batch {
                self.columns::<V, WIDE, INDIRECT>(column, V::first(V::LANES));
                column += wide;
            }
            let rest = self.batch - column;
            if rest > 0 {
                let vectors = rest.div_ceil(V::LANES);
                let last = V::first(rest - (vectors - 1) * V::LANES);
                match vectors {
                    1 => self.columns::<V, 1, INDIRECT>(column, last),
                    2 => self.columns::<V, 2, INDIRECT>(column, last),
                    3 => self.columns::<V, 3, INDIRECT>(column, last),
                    _ => self.columns::<V, 4, INDIRECT>(column, last),
                }
            }
        }
    }

    /// `N` vectors of samples from `column` on, of the last one the lanes `last`.
    #[inline(always)]
    unsafe fn columns<V: Vector<Elem = E>, const N: usize, const INDIRECT: bool>(&self, column: usize, last: V::Mask) {
        let (x, values) = (self.x.as_ptr().wrapping_add(column), self.a.values.as_ptr());
        let positions = self.a.positions.unwrap_or_default().as_ptr();
        for row in self.rows.clone() {
            let mut sums = [V::splat(self.bias(row)); N];
            // SAFETY: indices name rows of `x`, positions name values, and masked lanes are not touched.
            unsafe {
                for k in self.entries(row) {
                    let at = if INDIRECT { *positions.add(k) as usize } else { k };
                    let value = V::splat(*values.add(at));
                    let from = x.wrapping_add(*self.a.indices.get_unchecked(k) as usize * self.batch);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        let from = from.wrapping_add(n * V::LANES);
                        let x = if n + 1 < N { V::load(from) } else { V::load_masked(from, last) };
                        *sum = value.fma(x, *sum);
                    }
                }
                for (n, sum) in sums.into_iter().enumerate() {
                    let to = self.y.add(row * self.batch + column + n * V::LANES);
                    let lanes = if n + 1 < N { V::first(V::LANES) } else { last };
                    let sum = if self.accum == Accum::Add { V::load_masked(to, lanes).add(sum) } else { sum };
                    sum.store_masked(to, lanes);
                }
            }
        }
    }

    /// One sample: a vector of entries of a row at a time, their inputs gathered.
    #[inline(always)]
    unsafe fn one_sample<V: Vector<Elem = E>, const INDIRECT: bool>(&self) {
        for row in self.rows.clone() {
            let Range { start: mut k, end } = self.entries(row);
            let mut sums = [V::zero(); 2];
            // SAFETY: as for `columns`; only whole vectors of entries are gathered.
            unsafe {
                while k + 2 * V::LANES <= end {
                    sums[0] = self.gathered::<V, INDIRECT>(k, sums[0]);
                    sums[1] = self.gathered::<V, INDIRECT>(k + V::LANES, sums[1]);
                    k += 2 * V::LANES;
                }
                if k + V::LANES <= end {
                    sums[0] = self.gathered::<V, INDIRECT>(k, sums[0]);
                    k += V::LANES;
                }
                if self.a.narrow.is_some() && k < end {
                    // Others than this row's are gathered too, and then forgotten.
                    let lanes = V::first(end - k);
                    let value = V::load_masked(self.a.values.as_ptr().add(k), lanes);
                    let x = V::select(lanes, self.inputs::<V>(k), V::zero());
                    sums[1] = value.fma(x, sums[1]);
                    k = end;
                }
                let mut sum = self.bias(row) + sums[0].add(sums[1]).sum();
                for k in k..end {
                    let at = if INDIRECT { self.a.positions.unwrap_or_default()[k] as usize } else { k };
                    let x = self.x.get_unchecked(*self.a.indices.get_unchecked(k) as usize);
                    sum = sum + *self.a.values.get_unchecked(at) * *x;
                }
                let to = &mut *self.y.add(row);
                *to = self.accum.apply(*to, sum);
            }
        }
    }

    /// `sum` and the products of the vector of entries from `k` on with their inputs.
    #[inline(always)]
    unsafe fn gathered<V: Vector<Elem = E>, const INDIRECT: bool>(&self, k: usize, sum: V) -> V {
        let values = self.a.values.as_ptr();
        // SAFETY: the caller vouches for `LANES` entries; their indices name inputs, their positions values.
        unsafe {
            let value = match self.a.positions {
                Some(positions) if INDIRECT => V::gather(values, positions.as_ptr().add(k)),
                _ => V::load(values.add(k)),
            };
            value.fma(self.inputs(k), sum)
        }
    }

    /// The inputs of the vector of entries from `k` on.
    #[inline(always)]
    unsafe fn inputs<V: Vector<Elem = E>>(&self, k: usize) -> V {
        // SAFETY: the caller vouches for `LANES` entries, or as many narrow indices; they name inputs.
        unsafe {
            match self.a.narrow {
                Some(indices) => V::gather16(self.x.as_ptr(), indices.as_ptr().add(k)),
                None => V::gather(self.x.as_ptr(), self.a.indices.as_ptr().add(k)),
            }
        }
    }
}

/// `out[k] (+)= sum over the batch of d[row_k, :] * x[column_k, :]` for every stored entry of `a`, whose values are
/// not read.
pub(crate) fn sampled<E: Math>(cpu: &Cpu, a: Csr<'_, E>, d: &[E], x: &[E], batch: usize, out: &mut [E], accum: Accum) {
    assert!(out.len() == a.indices.len());
    let rows = SampledRows::new(a, d, x, batch);
    let out = SharedMut(out.as_mut_ptr());
    a.panels(cpu, batch, |range| {
        // SAFETY: the entries of these rows are this panel's part of the result.
        unsafe { rows.write(cpu, range.clone(), out.get().add(a.starts[range.start] as usize), accum) };
    });
}

/// Computes what [`sampled`] does, bit for bit, a few rows at a time, and calls `work(first, panel, part)` for each:
/// the index of the first entry, all of the rows, and the part of `results` that belongs to them, an item an entry.
pub(crate) fn sampled_panels<E: Math, S: Split>(
    cpu: &Cpu,
    a: Csr<'_, E>,
    (d, x): (&[E], &[E]),
    batch: usize,
    results: S,
    work: impl Fn(usize, &[E], S) + Sync,
) {
    let rows = SampledRows::new(a, d, x, batch);
    let height = (a.rows() * PANEL_ENTRIES).div_ceil(a.indices.len().max(1));
    let count = a.rows().div_ceil(height.max(1));
    let row = |i: usize| a.rows().min(i * height);
    let end = |i: usize| a.starts[row(i)] as usize;
    let most = (0..count).map(|i| end(i + 1) - end(i)).max().unwrap_or(0);
    cpu.scratch().with(cpu.threads() * most, |panels: &mut [E]| {
        let panels = SharedMut(panels.as_mut_ptr());
        cpu.crew().cut_at(count, end, results, |i, (from, to), part, thread| {
            // SAFETY: there are `most` elements for each thread, and a thread starts no other panel before this one
            // ends.
            let panel = unsafe { std::slice::from_raw_parts_mut(panels.get().add(thread * most), to - from) };
            // SAFETY: the panel has an element for each entry of the rows.
            unsafe { rows.write(cpu, row(i)..row(i + 1), panel.as_mut_ptr(), Accum::Replace) };
            work(from, panel, part);
        });
    });
}

/// Operands of [`sampled`], checked.
struct SampledRows<'a, E> {
    a: Csr<'a, E>,
    d: &'a [E],
    x: &'a [E],
    batch: usize,
}

impl<'a, E: Math> SampledRows<'a, E> {
    fn new(a: Csr<'a, E>, d: &'a [E], x: &'a [E], batch: usize) -> Self {
        a.check();
        assert!(batch > 0 && d.len() == a.rows() * batch && x.len() == a.columns * batch);
        Self { a, d, x, batch }
    }

    /// Writes the entries of some rows to `out` and behind it.
    ///
    /// # Safety
    /// `out` is valid for writes of as many elements as the rows have entries, and for reads to be added to.
    unsafe fn write(&self, cpu: &Cpu, rows: Range<usize>, out: *mut E, accum: Accum) {
        let &Self { a, d, x, batch } = self;
        match batch {
            2 => cpu.simd().run(pairs::Sampled { a, d, x: x.as_ptr(), out, rows, accum }),
            _ => cpu.simd().run(Sampled { a, d, x, batch, out, rows, accum }),
        }
    }
}

struct Sampled<'a, E> {
    a: Csr<'a, E>,
    d: &'a [E],
    x: &'a [E],
    batch: usize,
    /// Where the first entry of the rows goes; the others follow it.
    out: *mut E,
    rows: Range<usize>,
    accum: Accum,
}

impl<E: Math> Kernel<E> for Sampled<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let whole = self.batch / V::LANES * V::LANES;
        let last = V::first(self.batch - whole);
        let first = self.a.starts[self.rows.start] as usize;
        for row in self.rows.clone() {
            let d = self.d.as_ptr().wrapping_add(row * self.batch);
            for k in self.a.starts[row] as usize..self.a.starts[row + 1] as usize {
                // SAFETY: indices name rows of `x`, `row` one of `d`; masked lanes are not touched.
                unsafe {
                    let x = self.x.as_ptr().add(*self.a.indices.get_unchecked(k) as usize * self.batch);
                    let mut sums = [V::zero(); 2];
                    let mut i = 0;
                    while i + 2 * V::LANES <= whole {
                        sums[0] = V::load(d.add(i)).fma(V::load(x.add(i)), sums[0]);
                        sums[1] = V::load(d.add(i + V::LANES)).fma(V::load(x.add(i + V::LANES)), sums[1]);
                        i += 2 * V::LANES;
                    }
                    if i < whole {
                        sums[0] = V::load(d.add(i)).fma(V::load(x.add(i)), sums[0]);
                        i += V::LANES;
                    }
                    let rest = V::load_masked(x.wrapping_add(i), last);
                    sums[1] = V::load_masked(d.wrapping_add(i), last).fma(rest, sums[1]);
                    let to = &mut *self.out.add(k - first);
                    *to = self.accum.apply(*to, sums[0].add(sums[1]).sum());
                }
            }
        }
    }
}
