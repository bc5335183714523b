//! `out[k] (+)= dz[row_k, :] . x[column_k, :]`, for the stored entries only.

use super::panels::Panels;
use super::tiles::Tiles;
use super::{by_vectors, spread};
use crate::Cpu;
use crate::kernels::SharedMut;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector};
use spectral_core::Accum;

/// Writes the products of gradient and input to `out`, in the order of the pattern; both operands come as panels, of
/// `[rows, batch]` and `[columns, batch]`, of a batch of at least one sample.
///
/// The entries of a block in a tile are one thread's, which adds up the panels in order.
pub(crate) fn sampled<E: Math>(
    cpu: &Cpu,
    tiles: &Tiles,
    panels: Panels,
    (dz, x): (&[E], &[E]),
    out: &mut [E],
    accum: Accum,
) {
    let (rows, columns, batch) = (tiles.rows(), tiles.columns(), panels.batch());
    assert!(batch > 0 && out.len() == tiles.entries());
    assert!(dz.len() >= panels.len(rows) && x.len() >= panels.len(columns));
    let out = SharedMut(out.as_mut_ptr());
    spread(cpu, tiles.blocks() * tiles.tiles(), 2 * tiles.entries() * batch, |i, _| {
        let (b, t) = (i / tiles.tiles(), i % tiles.tiles());
        for p in 0..panels.count() {
            let (dz, x) = (&dz[panels.offset(p, rows)..], &x[panels.offset(p, columns)..]);
            let accum = if p == 0 { accum } else { Accum::Add };
            let out = out.get();
            cpu.simd().run(Sampled { tiles, dz, x, vectors: panels.vectors(p), at: (b, t), out, accum });
        }
    });
}

/// One tile of one block in one panel.
struct Sampled<'a, E> {
    tiles: &'a Tiles,
    /// The panel, all rows.
    dz: &'a [E],
    /// The panel, all columns.
    x: &'a [E],
    vectors: usize,
    at: (usize, usize),
    /// All entries, of which this part's are written.
    out: *mut E,
    accum: Accum,
}

impl<E: Math> Kernel<E> for Sampled<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        by_vectors!(self.vectors, self, V)
    }
}

impl<E: Math> Sampled<'_, E> {
    #[inline(always)]
    fn body<V: Vector<Elem = E>, const N: usize>(self) {
        let width = N * V::LANES;
        let (b, t) = self.at;
        let part = self.tiles.part(b, t);
        let dz = self.dz.as_ptr().wrapping_add(self.tiles.block(b).start * width);
        let x = self.x.as_ptr().wrapping_add(self.tiles.tile(t).start * width);
        let mut indices = part.indices.as_ptr();
        for s in part.segments {
            // SAFETY: `Tiles` keeps rows inside the block, indices inside the tile and entries inside the result, as
            // many of each as the counts of the segments say; operands hold the panel's rows.
            unsafe {
                let out = self.out.add(s.start as usize);
                let dz = dz.add(usize::from(s.row) * width);
                let dz: [V; N] = std::array::from_fn(|n| V::load(dz.add(n * V::LANES)));
                let product = |k: usize| {
                    let x = x.add(usize::from(*indices.add(k)) * width);
                    let mut sum = dz[0].mul(V::load(x));
                    for (n, dz) in dz.iter().enumerate().skip(1) {
                        sum = dz.fma(V::load(x.add(n * V::LANES)), sum);
                    }
                    sum
                };
                let count = usize::from(s.count);
                let mut k = 0;
                while k + 4 <= count {
                    let sums = V::sums4([product(k), product(k + 1), product(k + 2), product(k + 3)]);
                    for (j, sum) in sums.into_iter().enumerate() {
                        let to = &mut *out.add(k + j);
                        *to = self.accum.apply(*to, sum);
                    }
                    k += 4;
                }
                while k < count {
                    let to = &mut *out.add(k);
                    *to = self.accum.apply(*to, product(k).sum());
                    k += 1;
                }
                indices = indices.add(count);
            }
        }
    }
}
