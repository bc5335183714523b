//! `dx (+)= W^T dz`, without the transpose.

use super::panels::{Panels, Unpack};
use super::tiles::Tiles;
use super::{by_vectors, spread};
use crate::Cpu;
use crate::kernels::SharedMut;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector};
use spectral_core::Accum;

/// Writes `W^T dz` to `dx`, `[columns, batch]`; `dz` comes as the panels of `[rows, batch]`.
///
/// A tile of columns in one panel is one thread's; it adds up the rows in order, each row's gradient in registers,
/// the tile in the first cache.
pub(crate) fn multiply_transposed<E: Math>(
    cpu: &Cpu,
    tiles: &Tiles,
    values: &[E],
    (panels, dz): (Panels, &[E]),
    dx: &mut [E],
    accum: Accum,
) {
    let (rows, columns, batch) = (tiles.rows(), tiles.columns(), panels.batch());
    assert!(values.len() == tiles.entries() && dz.len() >= panels.len(rows) && dx.len() == columns * batch);
    let dx = SharedMut(dx.as_mut_ptr());
    // Sums of one tile at a time, for each thread: they stay in its caches.
    let largest = tiles.tile(0).len() * panels.most_width();
    cpu.scratch().with(cpu.threads() * largest, |sums: &mut [E]| {
        let sums = SharedMut(sums.as_mut_ptr());
        spread(cpu, tiles.tiles() * panels.count(), 2 * tiles.entries() * batch, |i, thread| {
            let (p, t) = (i / tiles.tiles(), i % tiles.tiles());
            let tile = tiles.tile(t);
            // SAFETY: tile `t` in panel `p` is this item's alone in the result, and so are, as long as it runs, the
            // sums of its thread.
            unsafe {
                let sums = sums.get().add(thread * largest);
                let dz = dz.as_ptr().add(panels.offset(p, rows));
                cpu.simd().run(Transposed { tiles, values, dz, vectors: panels.vectors(p), t, sums });
                let to = dx.get().add(tile.start * batch + panels.samples(p).start);
                cpu.simd().run(Unpack::new(sums, tile.len(), panels, p, to, accum));
            }
        });
    });
}

/// One tile of columns in one panel.
struct Transposed<'a, E> {
    tiles: &'a Tiles,
    values: &'a [E],
    /// The panel, all rows.
    dz: *const E,
    vectors: usize,
    t: usize,
    /// The tile's columns in the panel.
    sums: *mut E,
}

impl<E: Math> Kernel<E> for Transposed<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        by_vectors!(self.vectors, self, V)
    }
}

impl<E: Math> Transposed<'_, E> {
    #[inline(always)]
    fn body<V: Vector<Elem = E>, const N: usize>(self) {
        let width = N * V::LANES;
        for i in 0..self.tiles.tile(self.t).len() * N {
            // SAFETY: the sums hold the tile's columns.
            unsafe { V::zero().store(self.sums.add(i * V::LANES)) };
        }
        for b in 0..self.tiles.blocks() {
            let part = self.tiles.part(b, self.t);
            let dz = self.dz.wrapping_add(self.tiles.block(b).start * width);
            let mut indices = part.indices.as_ptr();
            for s in part.segments {
                // SAFETY: `Tiles` keeps rows inside the block, indices inside the tile and entries inside the values,
                // as many of each as the counts of the segments say.
                unsafe {
                    let value = self.values.as_ptr().add(s.start as usize);
                    let dz = dz.add(usize::from(s.row) * width);
                    let dz: [V; N] = std::array::from_fn(|n| V::load(dz.add(n * V::LANES)));
                    for k in 0..usize::from(s.count) {
                        let v = V::splat(*value.add(k));
                        let sums = self.sums.add(usize::from(*indices.add(k)) * width);
                        for (n, dz) in dz.iter().enumerate() {
                            let to = sums.add(n * V::LANES);
                            v.fma(*dz, V::load(to)).store(to);
                        }
                    }
                    indices = indices.add(usize::from(s.count));
                }
            }
        }
    }
}
