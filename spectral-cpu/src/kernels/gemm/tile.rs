//! The innermost loops: a tile of `C` in registers.

use crate::Simd;
use crate::kernels::math::Math;
use crate::kernels::vector::{Kernel, Lanes, Vector};

/// One tile of one of the sizes in [`Extents`]; what is outside of `C` is computed but not written.
#[derive(Clone, Copy)]
pub(super) struct Tile<E> {
    /// Rows that are computed.
    pub(super) height: usize,
    /// Inner extent.
    pub(super) depth: usize,
    /// `A`: first element, distance between rows, distance between inner steps; `height` rows are read.
    pub(super) a: *const E,
    pub(super) a_row: usize,
    pub(super) a_step: usize,
    /// `B`: first element and distance between inner steps; columns are contiguous, and whole vectors are read.
    pub(super) b: *const E,
    pub(super) b_step: usize,
    /// `C`: first element and distance between rows.
    pub(super) c: *mut E,
    pub(super) c_row: usize,
    /// Rows that are written.
    pub(super) rows: usize,
    /// Columns that are written.
    pub(super) columns: usize,
    /// Whether to add to what `C` holds.
    pub(super) add: bool,
    /// Added to each row, or null.
    pub(super) bias: *const E,
}

/// How large tiles are: up to `vectors` vectors wide, `tall` or `short` rows high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extents {
    /// Columns of one vector.
    pub(super) lanes: usize,
    /// The most vectors of columns.
    pub(super) vectors: usize,
    /// Rows of most tiles.
    pub(super) tall: usize,
    /// Rows of the last tiles where that wastes less.
    pub(super) short: usize,
}

struct Ask;
impl<E: Math> Kernel<E> for Ask {
    type Output = Extents;
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) -> Extents {
        let (tall, short, vectors) = V::TILE;
        Extents { lanes: V::LANES, vectors, tall, short }
    }
}

impl Extents {
    /// The tiles of a level.
    pub(super) fn of<E: Math>(simd: Simd) -> Self {
        simd.run::<E, _>(Ask)
    }

    /// Slivers of `rows` rows.
    pub(super) fn slivers(&self, rows: usize) -> usize {
        rows.div_ceil(self.tall)
    }

    /// Sliver `i` of `rows` rows: where it starts, how many rows it has, and of what height its tiles are.
    pub(super) fn sliver(&self, rows: usize, i: usize) -> (usize, usize, usize) {
        let (top, left) = (i * self.tall, rows - i * self.tall);
        let two_short = 2 * self.short;
        match left {
            // One row more than a tall tile: two short ones compute less than a tall and a short one.
            _ if left > self.tall && left <= two_short => (top, self.short, self.short),
            _ if left >= self.tall => (top, self.tall, self.tall),
            _ if i > 0 && left + self.tall <= two_short => {
                let top = top - self.tall + self.short;
                (top, rows - top, self.short)
            }
            _ if left <= self.short => (top, left, self.short),
            _ => (top, left, self.tall),
        }
    }
}

impl<E: Math> Kernel<E> for Tile<E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let vectors = self.columns.div_ceil(V::LANES);
        // Where there are half vectors, the last columns may need no more than one.
        let halved = V::Half::LANES < V::LANES && self.columns + V::Half::LANES <= vectors * V::LANES;
        macro_rules! sizes {
            ($($rows:literal x $vectors:literal)*) => {
                match (self.height, vectors) {
                    $(($rows, $vectors) if halved => self.sized::<V, $rows, { $vectors - 1 }, true>(),)*
                    $(($rows, $vectors) => self.sized::<V, $rows, $vectors, false>(),)*
                    (rows, vectors) => debug_assert!(false, "a tile of {rows} rows and {vectors} vectors"),
                }
            };
        }
        sizes!(2 x 1  4 x 1  4 x 2  5 x 1  5 x 2  5 x 3  6 x 1  6 x 2  9 x 1  9 x 2  9 x 3);
    }
}

impl<E: Math> Tile<E> {
    #[inline(always)]
    fn sized<V: Vector<Elem = E>, const R: usize, const N: usize, const HALF: bool>(&self) {
        // Known when compiled: a level gets the code of its own sizes only.
        if const {
            (R == V::TILE.0 || R == V::TILE.1) && N + HALF as usize <= V::TILE.2 && (!HALF || V::Half::LANES < V::LANES)
        } {
            debug_assert!(self.rows <= R);
            // SAFETY: whoever made the tile vouches for its pointers.
            unsafe { compute::<V, R, N, HALF>(self) }
        } else {
            debug_assert!(false, "a level without tiles of {R} rows and {N} vectors, and half of one: {HALF}");
        }
    }
}

/// Computes a tile of `R` rows and `N` vectors, and half a vector more if `HALF`.
///
/// # Safety
/// The tile's pointers are valid for what it says is read and written.
#[inline(always)]
unsafe fn compute<V: Vector, const R: usize, const N: usize, const HALF: bool>(tile: &Tile<V::Elem>) {
    // SAFETY: the caller vouches for `R` rows of `A`, the vectors of `B` and the written part of `C`.
    unsafe {
        let mut sum = [[V::zero(); N]; R];
        let mut half_sum = [V::Half::zero(); R];
        // One pointer for three rows: more would not fit the registers for addresses.
        let mut a = [tile.a, tile.a.wrapping_add(3 * tile.a_row), tile.a.wrapping_add(6 * tile.a_row)];
        let (row, step, mut b) = (tile.a_row, tile.a_step, tile.b);
        for _ in 0..tile.depth {
            let mut right = [V::zero(); N];
            for (n, right) in right.iter_mut().enumerate() {
                *right = V::load(b.wrapping_add(n * V::LANES));
            }
            let half = if HALF { V::Half::load(b.wrapping_add(N * V::LANES)) } else { V::Half::zero() };
            for r in 0..R {
                let left = *a[r / 3].wrapping_add(r % 3 * row);
                for n in 0..N {
                    sum[r][n] = V::splat(left).fma(right[n], sum[r][n]);
                }
                if HALF {
                    half_sum[r] = V::Half::splat(left).fma(half, half_sum[r]);
                }
            }
            for a in &mut a {
                *a = a.wrapping_add(step);
            }
            b = b.wrapping_add(tile.b_step);
        }
        for (r, sum) in sum.iter().enumerate() {
            if r < tile.rows {
                for (n, sum) in sum.iter().enumerate() {
                    tile.put(r, n * V::LANES, *sum);
                }
                if HALF {
                    tile.put(r, N * V::LANES, half_sum[r]);
                }
            }
        }
    }
}

impl<E: Lanes> Tile<E> {
    /// Writes the part of a vector that is inside of `C`, whose first lane is at `row` and `column` of the tile.
    ///
    /// # Safety
    /// The tile's pointers are valid for what it says is read and written.
    #[inline(always)]
    unsafe fn put<V: Vector<Elem = E>>(&self, row: usize, column: usize, sum: V) {
        // SAFETY: lanes past the last column are masked off.
        unsafe {
            let to = self.c.add(row * self.c_row + column);
            let old = if self.bias.is_null() { V::zero() } else { V::splat(*self.bias.add(row)) };
            if column + V::LANES <= self.columns {
                let old = if self.add { V::load(to) } else { old };
                old.add(sum).store(to);
            } else {
                let lanes = V::first(self.columns - column);
                let old = if self.add { V::load_masked(to, lanes) } else { old };
                old.add(sum).store_masked(to, lanes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tiles of every level, whether this machine has it or not.
    const LEVELS: [Extents; 3] = [
        Extents { lanes: 16, vectors: 3, tall: 9, short: 5 },
        Extents { lanes: 8, vectors: 2, tall: 6, short: 4 },
        Extents { lanes: 8, vectors: 1, tall: 4, short: 2 },
    ];

    #[test]
    fn slivers_follow_each_other_and_fit_their_tiles() {
        for extents in LEVELS {
            for rows in 1..100 {
                let mut next = 0;
                for i in 0..extents.slivers(rows) {
                    let (top, count, height) = extents.sliver(rows, i);
                    assert_eq!(top, next, "{extents:?} {rows} {i}");
                    assert!(count > 0 && count <= height && [extents.tall, extents.short].contains(&height));
                    next += count;
                }
                assert_eq!(next, rows, "{extents:?}");
            }
        }
    }

    /// A tile of any size on the vectors of any level.
    struct AnySize<const R: usize, const N: usize, const HALF: bool>(Tile<f64>);
    impl<const R: usize, const N: usize, const HALF: bool> Kernel<f64> for AnySize<R, N, HALF> {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector<Elem = f64>>(self) {
            // SAFETY: the operands of `check` are as large as the largest tile.
            unsafe { compute::<V, R, N, HALF>(&self.0) }
        }
    }

    /// Lanes of half a vector, where there is one.
    struct HalfLanes;
    impl Kernel<f64> for HalfLanes {
        type Output = Option<usize>;
        #[inline(always)]
        fn run<V: Vector<Elem = f64>>(self) -> Option<usize> {
            (V::Half::LANES < V::LANES).then_some(V::Half::LANES)
        }
    }

    fn check<const R: usize, const N: usize, const HALF: bool>() {
        const DEPTH: usize = 7;
        let a: Vec<f64> = (0..R * DEPTH).map(|i| (i * 37 % 19) as f64 - 9.0).collect();
        let b: Vec<f64> = (0..DEPTH * 64).map(|i| (i * 23 % 17) as f64 - 8.0).collect();
        let bias: Vec<f64> = (0..R).map(|r| r as f64).collect();
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let (lanes, half) = (Extents::of::<f64>(simd).lanes, simd.run(HalfLanes));
            // The lanes of the last vector.
            let last = match (HALF, half) {
                (false, _) => lanes,
                (true, Some(half)) => half,
                (true, None) => continue,
            };
            for (rows, missing, add) in [(R, 0, false), (R - 1, 1, true), (1, last - 1, false), (R, last - 1, true)] {
                let full = if HALF { N * lanes + last } else { N * lanes };
                let (columns, width) = (full - missing, full + 1);
                let mut c = vec![0.5; R * width];
                let tile = Tile {
                    height: R,
                    depth: DEPTH,
                    a: a.as_ptr(),
                    a_row: DEPTH,
                    a_step: 1,
                    b: b.as_ptr(),
                    b_step: 64,
                    c: c.as_mut_ptr(),
                    c_row: width,
                    rows,
                    columns,
                    add,
                    bias: if add { std::ptr::null() } else { bias.as_ptr() },
                };
                simd.run(AnySize::<R, N, HALF>(tile));
                for (i, got) in c.iter().enumerate() {
                    let (row, column) = (i / width, i % width);
                    let dot: f64 = (0..DEPTH).map(|k| a[row * DEPTH + k] * b[k * 64 + column]).sum();
                    let want = match (row < rows && column < columns, add) {
                        (false, _) => 0.5,
                        (true, true) => 0.5 + dot,
                        (true, false) => bias[row] + dot,
                    };
                    assert_eq!(*got, want, "{simd}, a tile of {R} rows and {N} vectors, row {row}, column {column}");
                }
            }
        }
    }

    #[test]
    fn tiles_of_every_size_write_what_they_should_and_nothing_else() {
        check::<2, 1, false>();
        check::<4, 1, false>();
        check::<4, 2, false>();
        check::<5, 0, true>();
        check::<5, 1, false>();
        check::<5, 1, true>();
        check::<5, 2, false>();
        check::<5, 2, true>();
        check::<5, 3, false>();
        check::<6, 1, false>();
        check::<6, 2, false>();
        check::<9, 0, true>();
        check::<9, 1, false>();
        check::<9, 1, true>();
        check::<9, 2, false>();
        check::<9, 2, true>();
        check::<9, 3, false>();
    }
}
