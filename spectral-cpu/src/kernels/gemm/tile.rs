//! The innermost loops: a tile of `C` in registers.

use crate::Simd;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Vector};

/// One tile: up to as many rows and columns as [`extents`] says.
#[derive(Clone, Copy)]
pub(super) struct Tile<E> {
    /// Inner extent.
    pub(super) depth: usize,
    /// `A`: first element, distance between rows, distance between inner steps.
    pub(super) a: *const E,
    pub(super) a_row: usize,
    pub(super) a_step: usize,
    /// `B`: first element and distance between inner steps; columns are contiguous.
    pub(super) b: *const E,
    pub(super) b_row: usize,
    /// `C`: first element and distance between rows.
    pub(super) c: *mut E,
    pub(super) c_row: usize,
    /// Columns of this tile.
    pub(super) columns: usize,
    /// Whether to add to what `C` holds.
    pub(super) add: bool,
    /// What the sum of each row starts with, or null.
    pub(super) bias: *const E,
}

/// How large tiles are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extents {
    /// Columns of one vector.
    pub(super) lanes: usize,
    /// The most rows.
    pub(super) rows: usize,
    /// The most vectors of columns.
    pub(super) vectors: usize,
}

struct Choose(usize);
impl<E: Math> Kernel<E> for Choose {
    type Output = Extents;
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) -> Extents {
        let vectors = match self.0.div_ceil(V::LANES) {
            // A tile of one vector loads as much as it multiplies: spread an odd vector over wider tiles instead.
            7 => 4,
            1 => 1,
            odd if odd % 2 == 1 => 3,
            _ => 2,
        };
        let vectors = vectors.min(V::TILE.1);
        // Beside the sums, a row of B and an element of A must fit.
        let rows = ((V::REGISTERS - 1) / vectors - 1).min(V::TILE.0);
        Extents { lanes: V::LANES, rows, vectors }
    }
}

/// The tiles for products of `columns` columns.
pub(super) fn extents<E: Math>(simd: Simd, columns: usize) -> Extents {
    simd.run::<E, _>(Choose(columns))
}

/// Evaluates a block for every `$r` below the constant `$n`. Loops would do, were they unrolled at this length.
macro_rules! rows {
    ($r:ident < $n:ident => $body:block) => {
        rows!(@ $r $n $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    (@ $r:ident $n:ident $body:block $($i:literal)*) => {
        $(if $i < $n {
            let $r = $i;
            $body
        })*
    };
}

/// Computes `tile` of `rows` rows.
pub(super) fn run<E: Math>(simd: Simd, rows: usize, tile: Tile<E>) {
    macro_rules! dispatch {
        ($($r:literal)*) => {
            match rows {
                $($r => simd.run(Rows::<E, $r>(tile)),)*
                _ => debug_assert!(false, "a tile of {rows} rows"),
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

struct Rows<E, const R: usize>(Tile<E>);

impl<E: Math, const R: usize> Kernel<E> for Rows<E, R> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        match self.0.columns.div_ceil(V::LANES) {
            1 => self.vectors::<V, 1>(),
            2 => self.vectors::<V, 2>(),
            3 => self.vectors::<V, 3>(),
            _ => self.vectors::<V, 4>(),
        }
    }
}

impl<E: Math, const R: usize> Rows<E, R> {
    #[inline(always)]
    fn vectors<V: Vector<Elem = E>, const N: usize>(&self) {
        // The others are never asked for, and this keeps them from being compiled.
        if R <= V::TILE.0 && N <= V::TILE.1 && (R + 1) * N < V::REGISTERS {
            let tile = &self.0;
            let last = tile.columns - (N - 1) * V::LANES;
            // SAFETY: whoever made the tile vouches for its pointers.
            unsafe {
                if last == V::LANES {
                    compute::<V, R, N, true>(tile, V::first(last));
                } else {
                    compute::<V, R, N, false>(tile, V::first(last));
                }
            }
        } else {
            debug_assert!(false, "a tile of {R} rows and {N} vectors");
        }
    }
}

/// `last` flags the columns of the last vector of a row.
#[inline(always)]
unsafe fn compute<V: Vector, const R: usize, const N: usize, const FULL: bool>(tile: &Tile<V::Elem>, last: V::Mask) {
    // SAFETY: rows 0..R and the tile's columns are inside all three matrices; masked lanes are not touched.
    unsafe {
        let mut sum = [[V::zero(); N]; R];
        if !tile.bias.is_null() {
            rows!(r < R => { sum[r] = [V::splat(*tile.bias.add(r)); N] });
        }
        // One pointer for three rows: more would not fit the registers for addresses.
        let mut a = [tile.a; 5];
        for (i, a) in a.iter_mut().enumerate() {
            *a = a.wrapping_add(3 * i * tile.a_row);
        }
        let (row, step, mut b) = (tile.a_row, tile.a_step, tile.b);
        for _ in 0..tile.depth {
            let mut right = [V::zero(); N];
            for (n, right) in right.iter_mut().enumerate() {
                let from = b.wrapping_add(n * V::LANES);
                *right = if FULL || n + 1 < N { V::load(from) } else { V::load_masked(from, last) };
            }
            rows!(r < R => {
                let left = V::splat(*a[r / 3].wrapping_add(r % 3 * row));
                for (sum, right) in sum[r].iter_mut().zip(right) {
                    *sum = left.fma(right, *sum);
                }
            });
            for a in &mut a {
                *a = a.wrapping_add(step);
            }
            b = b.wrapping_add(tile.b_row);
        }
        rows!(r < R => {
            for (n, sum) in sum[r].iter().enumerate() {
                let to = tile.c.add(r * tile.c_row + n * V::LANES);
                if FULL || n + 1 < N {
                    let old = if tile.add { V::load(to) } else { V::zero() };
                    V::store(old.add(*sum), to);
                } else {
                    let old = if tile.add { V::load_masked(to, last) } else { V::zero() };
                    V::store_masked(old.add(*sum), to, last);
                }
            }
        });
    }
}
