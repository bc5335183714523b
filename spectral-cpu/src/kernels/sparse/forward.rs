//! `y = act(W x + bias)`.

use super::grouped::Grouped;
use super::panels::{Panels, Unpack};
use super::tiles::Tiles;
use super::{by_vectors, spread};
use crate::Cpu;
use crate::kernels::SharedMut;
use crate::kernels::activation::Activate;
use crate::kernels::csr::Target;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector, prefetch};
use spectral_core::{Accum, Activation};

/// Bytes of a panel of inputs that stays in the second cache beside everything else.
const PANEL: usize = 256 * 1024;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Writes `act(W x + bias)` to `to`, `x` being `[columns, batch]` and `values` in the order of the pattern that
/// `tiles` were cut from.
pub(crate) fn multiply<E: Math>(cpu: &Cpu, tiles: &Tiles, values: &[E], x: &[E], batch: usize, to: Target<'_, E>) {
    let (rows, columns) = (tiles.rows(), tiles.columns());
    assert!(values.len() == tiles.entries() && x.len() == columns * batch && to.y.len() == rows * batch);
    assert!(to.bias.is_none_or(|b| b.len() == rows) && to.accum == Accum::Replace);
    assert!(to.activated.as_ref().is_none_or(|y| y.len() == to.y.len()));
    let panels = Panels::new::<E>(cpu, batch);
    let (y, bias) = (SharedMut(to.y.as_mut_ptr()), to.bias);
    let activated = to.activated.map(|y| SharedMut(y.as_mut_ptr()));
    // Sums of one block at a time, for each thread: they stay in its caches.
    let block = tiles.most_rows() * panels.most_width();
    cpu.scratch().with(panels.len(columns) + cpu.threads() * block, |scratch: &mut [E]| {
        let (packed, sums) = scratch.split_at_mut(panels.len(columns));
        panels.pack(cpu, x, packed);
        let (packed, sums) = (&*packed, SharedMut(sums.as_mut_ptr()));
        spread(cpu, tiles.blocks() * panels.count(), 2 * tiles.entries() * batch, |i, thread| {
            // Panel by panel, so that a thread reads what it has packed itself.
            let (p, b) = (i / tiles.blocks(), i % tiles.blocks());
            let rows = tiles.block(b);
            let len = rows.len() * panels.width(p);
            let at = rows.start * batch + panels.samples(p).start;
            // SAFETY: the rows of block `b` in panel `p` are this item's alone in both results, and so are, as long as
            // it runs, the sums of its thread.
            unsafe {
                let sums = sums.get().add(thread * block);
                let x = packed.as_ptr().add(panels.offset(p, columns));
                let product = Multiply { tiles, values, x, vectors: panels.vectors(p), b, bias, sums };
                match tiles.groups() {
                    Some(groups) => cpu.simd().run(Grouped { product, groups }),
                    None => cpu.simd().run(product),
                }
                let write = |y: *mut E| {
                    cpu.simd().run(Unpack::new(sums, rows.len(), panels, p, y.add(at), Accum::Replace));
                };
                if activated.is_some() {
                    write(y.get());
                }
                if to.activation != Activation::Identity {
                    cpu.simd().run(Activate::raw(to.activation, sums, sums, len));
                }
                write(activated.as_ref().unwrap_or(&y).get());
            }
        });
    });
}

/// One block of rows in one panel.
pub(super) struct Multiply<'a, E> {
    pub(super) tiles: &'a Tiles,
    pub(super) values: &'a [E],
    /// The panel, all columns.
    pub(super) x: *const E,
    pub(super) vectors: usize,
    pub(super) b: usize,
    bias: Option<&'a [E]>,
    /// The block's rows in the panel.
    pub(super) sums: *mut E,
}

/// Memory that will be read soon, a share with every segment.
pub(super) struct Coming<E> {
    at: *const E,
    step: usize,
}

impl<E> Coming<E> {
    #[inline(always)]
    pub(super) fn fetch(&mut self) {
        let end = self.at.wrapping_add(self.step);
        while self.at < end {
            prefetch::<false, E>(self.at);
            self.at = self.at.wrapping_add(LINE / size_of::<E>());
        }
    }
}

impl<E: Math> Kernel<E> for Multiply<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        by_vectors!(self.vectors, self, V)
    }
}

impl<E: Math> Multiply<'_, E> {
    /// Sets the sums to the bias, or 0.
    #[inline(always)]
    pub(super) fn begin<V: Vector<Elem = E>, const N: usize>(&self) {
        for (i, row) in self.tiles.block(self.b).enumerate() {
            let first = V::splat(self.bias.map_or(E::of(0.0), |b| b[row]));
            for n in 0..N {
                // SAFETY: the sums hold the block's rows.
                unsafe { first.store(self.sums.add((i * N + n) * V::LANES)) };
            }
        }
    }

    /// The inputs of the tile after `t`, where a panel does not stay in the second cache: they come while `t` is worked
    /// on.
    #[inline(always)]
    pub(super) fn coming(&self, t: usize, width: usize) -> Coming<E> {
        let at = self.x.wrapping_add(self.tiles.tile(t).end * width);
        let far = self.tiles.columns() * width * size_of::<E>() > PANEL;
        let segments = self.tiles.part(self.b, t).segments.len().max(1);
        Coming { at, step: if far { self.tiles.tile(t).len() * width / segments } else { 0 } }
    }

    #[inline(always)]
    fn body<V: Vector<Elem = E>, const N: usize>(self) {
        let width = N * V::LANES;
        self.begin::<V, N>();
        for t in 0..self.tiles.tiles() {
            let part = self.tiles.part(self.b, t);
            let x = self.x.wrapping_add(self.tiles.tile(t).start * width);
            let mut indices = part.indices.as_ptr();
            let mut coming = self.coming(t, width);
            for (s, ahead) in part.segments.iter().zip(part.ahead) {
                coming.fetch();
                // Values of neighbouring segments are a row apart, which no cache foresees.
                prefetch::<true, E>(self.values.as_ptr().wrapping_add(ahead.start as usize));
                // SAFETY: `Tiles` keeps rows inside the block, indices inside the tile and entries inside the values,
                // as many of each as the counts of the segments say.
                unsafe {
                    let value = self.values.as_ptr().add(s.start as usize);
                    let sums = self.sums.add(usize::from(s.row) * width);
                    // Two entries at a time on accumulators of their own, so that one does not wait for the other.
                    let mut even: [V; N] = std::array::from_fn(|n| V::load(sums.add(n * V::LANES)));
                    let mut odd = [V::zero(); N];
                    let count = usize::from(s.count);
                    let mut k = 0;
                    while k + 2 <= count {
                        let (v, w) = (V::splat(*value.add(k)), V::splat(*value.add(k + 1)));
                        let from = x.add(usize::from(*indices.add(k)) * width);
                        let next = x.add(usize::from(*indices.add(k + 1)) * width);
                        for (n, sum) in even.iter_mut().enumerate() {
                            *sum = v.fma(V::load(from.add(n * V::LANES)), *sum);
                        }
                        for (n, sum) in odd.iter_mut().enumerate() {
                            *sum = w.fma(V::load(next.add(n * V::LANES)), *sum);
                        }
                        k += 2;
                    }
                    if k < count {
                        let v = V::splat(*value.add(k));
                        let from = x.add(usize::from(*indices.add(k)) * width);
                        for (n, sum) in even.iter_mut().enumerate() {
                            *sum = v.fma(V::load(from.add(n * V::LANES)), *sum);
                        }
                    }
                    for n in 0..N {
                        even[n].add(odd[n]).store(sums.add(n * V::LANES));
                    }
                    indices = indices.add(count);
                }
            }
        }
    }
}
