//! Forward products of rows in groups that store the same columns: an input is loaded once for all rows of a group.

use super::by_vectors;
use super::forward::Multiply;
use super::tiles::{HEIGHT, Segment};
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector, prefetch};

/// Vectors of samples at a time: with those of a group of rows the accumulators fit the registers of every level.
const PASS: usize = 2;

/// One block of groups in one panel.
pub(super) struct Grouped<'a, E> {
    pub(super) product: Multiply<'a, E>,
    /// Where the columns of each group begin, and the last one's end.
    pub(super) groups: &'a [u32],
}

impl<E: Math> Kernel<E> for Grouped<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        by_vectors!(self.product.vectors, self, V)
    }
}

impl<E: Math> Grouped<'_, E> {
    #[inline(always)]
    fn body<V: Vector<Elem = E>, const N: usize>(self) {
        let (tiles, b, width) = (self.product.tiles, self.product.b, N * V::LANES);
        self.product.begin::<V, N>();
        let first_group = tiles.block(b).start / HEIGHT;
        for t in 0..tiles.tiles() {
            let part = tiles.part(b, t);
            let x = self.product.x.wrapping_add(tiles.tile(t).start * width);
            let mut indices = part.indices.as_ptr();
            let mut coming = self.product.coming(t, width);
            for (s, ahead) in part.segments.iter().zip(part.ahead) {
                coming.fetch();
                let (far, apart) = self.values(first_group, ahead);
                for r in 0..HEIGHT {
                    prefetch::<true, E>(far.wrapping_add(r * apart));
                }
                let (values, apart) = self.values(first_group, s);
                let count = usize::from(s.count);
                // SAFETY: `Tiles` keeps groups inside the block, indices inside the tile and columns inside the group.
                unsafe {
                    let entries = Entries { values, apart, indices, count, x, width };
                    let sums = self.product.sums.add(usize::from(s.row) * HEIGHT * width);
                    let mut n = 0;
                    while n + PASS <= N {
                        entries.add::<V, PASS>(n * V::LANES, sums);
                        n += PASS;
                    }
                    if n < N {
                        entries.add::<V, 1>(n * V::LANES, sums);
                    }
                    indices = indices.add(count);
                }
            }
        }
    }
}

impl<E> Grouped<'_, E> {
    /// Where the values of a segment begin, and how far apart those of its rows are: they lie row by row, as many to a
    /// row as the group has columns.
    #[inline(always)]
    fn values(&self, first_group: usize, s: &Segment) -> (*const E, usize) {
        let group = first_group + usize::from(s.row);
        let (first, end) = (self.groups[group] as usize, self.groups[group + 1] as usize);
        (self.product.values.as_ptr().wrapping_add((HEIGHT - 1) * first + s.start as usize), end - first)
    }
}

/// The entries of one group in one tile.
struct Entries<E> {
    /// Those of the first row; those of the next lie `apart` further on.
    values: *const E,
    apart: usize,
    /// Columns within the tile.
    indices: *const u16,
    count: usize,
    /// The tile in the panel, `width` elements a column.
    x: *const E,
    width: usize,
}

impl<E: Math> Entries<E> {
    /// Adds the products of all rows with `M` vectors of samples, from sample `column` of the panel on.
    ///
    /// # Safety
    /// The entries are as described, and `sums` holds `HEIGHT` rows of `width` elements.
    #[inline(always)]
    unsafe fn add<V: Vector<Elem = E>, const M: usize>(&self, column: usize, sums: *mut E) {
        // SAFETY: as the caller vouches.
        unsafe {
            let sums = sums.add(column);
            let mut rows = [[V::zero(); M]; HEIGHT];
            for (r, row) in rows.iter_mut().enumerate() {
                for (m, sum) in row.iter_mut().enumerate() {
                    *sum = V::load(sums.add(r * self.width + m * V::LANES));
                }
            }
            for k in 0..self.count {
                let from = self.x.add(usize::from(*self.indices.add(k)) * self.width + column);
                let mut inputs = [V::zero(); M];
                for (m, input) in inputs.iter_mut().enumerate() {
                    *input = V::load(from.add(m * V::LANES));
                }
                for (r, row) in rows.iter_mut().enumerate() {
                    let value = V::splat(*self.values.add(r * self.apart + k));
                    for (sum, input) in row.iter_mut().zip(inputs) {
                        *sum = value.fma(input, *sum);
                    }
                }
            }
            for (r, row) in rows.into_iter().enumerate() {
                for (m, sum) in row.into_iter().enumerate() {
                    sum.store(sums.add(r * self.width + m * V::LANES));
                }
            }
        }
    }
}
