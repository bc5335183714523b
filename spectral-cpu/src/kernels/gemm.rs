//! Matrix products `C (+)= A B + bias`, with an activation while the rows are in cache.
//!
//! Structure: columns are cut into blocks of which `B` fits the L2 cache, the inner extent into blocks of which a
//! sliver of `A` fits the L1 cache. Within a block each sliver of `A` (as many rows as a tile has) meets every
//! sliver of `B` (as many columns), and a tile of `C` stays in registers for the whole inner block. Operands are
//! read in place where their layout allows it and packed where it does not. Cf. Van Zee & van de Geijn 2015.

mod pack;
mod tile;

use crate::kernels::SharedMut;
use crate::kernels::activation::Activate;
use crate::kernels::math::Math;
use crate::{Cpu, Simd};
use spectral_core::{Accum, Activation};
use tile::{Extents, Tile};

/// Longest inner block.
const INNER: usize = 400;
/// Elements of `B` in a block: half of a 1 MiB cache in f32.
const BLOCK: usize = 128 * 1024;
/// Floating-point operations that one panel should have, so that starting it costs nothing.
const PANEL_WORK: usize = 2_000_000;
/// Products with fewer operations than this stay on the calling thread.
const PARALLEL_WORK: usize = 1_000_000;

/// `A` is `[rows, inner]`, `B` is `[inner, columns]`, each with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, E> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    pub(crate) a: Strided<'a, E>,
    pub(crate) b: Strided<'a, E>,
}

/// A matrix whose element `(r, c)` is `values[r * row + c * column]`.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a, E> {
    pub(crate) values: &'a [E],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// Where the product goes: `[rows, columns]`, row-major.
pub(crate) struct Target<'a, E> {
    pub(crate) c: &'a mut [E],
    pub(crate) accum: Accum,
    /// Added to every element of a row; only with [`Accum::Replace`].
    pub(crate) bias: Option<&'a [E]>,
    /// Applied last.
    pub(crate) activation: Activation,
    /// Receives the activated rows, if `c` is to keep the others.
    pub(crate) activated: Option<&'a mut [E]>,
}

/// How a product is cut; a function of its shape and the SIMD level.
#[derive(Clone, Copy)]
struct Cut {
    tile: Extents,
    /// Slivers of rows; their sizes differ by one at most.
    slivers: usize,
    /// Columns of a block, whole vectors.
    block: usize,
    /// Inner blocks; their sizes differ by one at most.
    inner_blocks: usize,
}

/// Start and end of part `i` of `extent` cut into `parts` parts as even as possible.
pub(crate) fn part(extent: usize, parts: usize, i: usize) -> (usize, usize) {
    (extent * i / parts, extent * (i + 1) / parts)
}

impl Cut {
    fn new<E: Math>(simd: Simd, p: &Product<'_, E>) -> Self {
        let inner_blocks = p.inner.div_ceil(INNER).max(1);
        let block = (BLOCK / p.inner.div_ceil(inner_blocks).max(1) / 64 * 64).max(64);
        let tile = tile::extents::<E>(simd, p.columns.min(block));
        Self { tile, slivers: p.rows.div_ceil(tile.rows), block, inner_blocks }
    }

    /// Slivers of `columns` columns; their vectors differ by one at most.
    fn column_slivers(&self, columns: usize) -> usize {
        columns.div_ceil(self.tile.lanes).div_ceil(self.tile.vectors)
    }

    /// The columns of sliver `i` of `columns`.
    fn column_sliver(&self, columns: usize, i: usize) -> (usize, usize) {
        let lanes = self.tile.lanes;
        let (from, to) = part(columns.div_ceil(lanes), self.column_slivers(columns), i);
        (from * lanes, columns.min(to * lanes))
    }
}

/// Pointers into the operands of a product whose panels write disjoint parts of `C`.
struct Job<'a, E> {
    simd: Simd,
    product: Product<'a, E>,
    cut: Cut,
    c: *mut E,
    activated: *mut E,
    bias: Option<&'a [E]>,
    activation: Activation,
    accum: Accum,
    pack_a: bool,
}

// SAFETY: panels read shared operands and write disjoint rows or columns of `c` and `activated`.
unsafe impl<E: Math> Sync for Job<'_, E> {}

/// A block of columns and of the inner extent.
#[derive(Clone, Copy)]
struct Block<E> {
    columns: (usize, usize),
    inner: (usize, usize),
    first: bool,
    last: bool,
    /// `B` of this block: packed sliver behind sliver, or in place with this distance between rows.
    b: *const E,
    in_place: Option<usize>,
}

// SAFETY: `b` is only read while the operand or scratch memory it points into is borrowed by `gemm`.
unsafe impl<E: Math> Sync for Block<E> {}

/// Computes `product` into `target`. All slices must hold what shapes and strides say; callers have checked.
pub(crate) fn gemm<E: Math>(cpu: &Cpu, product: Product<'_, E>, target: Target<'_, E>) {
    let Product { rows, columns, inner, a, b } = product;
    if rows == 0 || columns == 0 {
        return;
    }
    let holds = |s: &Strided<'_, E>, r: usize, c: usize| {
        r == 0 || c == 0 || (r - 1) * s.row + (c - 1) * s.column < s.values.len()
    };
    assert!(holds(&a, rows, inner) && holds(&b, inner, columns) && target.c.len() == rows * columns);
    assert!(target.bias.is_none_or(|b| b.len() == rows && target.accum == Accum::Replace));
    assert!(target.activated.as_ref().is_none_or(|y| y.len() == rows * columns));
    let cut = Cut::new(cpu.simd(), &product);
    let job = Job {
        simd: cpu.simd(),
        // Rows a multiple of 4 KiB apart would fight for the same few lines of the L1 cache.
        pack_a: a.column != 1 || columns > 256 || (a.row * size_of::<E>()).is_multiple_of(1024),
        product,
        cut,
        c: target.c.as_mut_ptr(),
        activated: target.activated.map_or(std::ptr::null_mut(), |y| y.as_mut_ptr()),
        bias: target.bias,
        activation: target.activation,
        accum: target.accum,
    };
    // Packing pays once a sliver is read several times.
    let direct_b = b.column == 1 && (job.cut.slivers <= 2 || columns <= 64);
    let depth = inner.div_ceil(job.cut.inner_blocks);
    let room = if direct_b { 0 } else { depth * columns.min(job.cut.block).next_multiple_of(job.cut.tile.lanes) };
    cpu.scratch().with(room, |packed: &mut [E]| {
        for from in (0..columns).step_by(job.cut.block) {
            let to = columns.min(from + job.cut.block);
            for i in 0..job.cut.inner_blocks {
                let (start, end) = part(inner, job.cut.inner_blocks, i);
                let mut block = Block {
                    columns: (from, to),
                    inner: (start, end),
                    first: i == 0,
                    last: i + 1 == job.cut.inner_blocks,
                    b: b.values.as_ptr().wrapping_add(start * b.row + from * b.column),
                    in_place: Some(b.row),
                };
                if !direct_b {
                    pack_b(cpu, &job, &block, packed);
                    (block.b, block.in_place) = (packed.as_ptr(), None);
                }
                run_block(cpu, &job, &block);
            }
        }
    });
}

/// Packs the slivers of a block of `B`, in parallel where there are many.
fn pack_b<E: Math>(cpu: &Cpu, job: &Job<'_, E>, block: &Block<E>, packed: &mut [E]) {
    let (cut, b) = (job.cut, job.product.b);
    let (depth, columns) = (block.inner.1 - block.inner.0, block.columns.1 - block.columns.0);
    let slivers = cut.column_slivers(columns);
    let per_panel = (16 * 1024 / (depth * cut.tile.lanes * cut.tile.vectors).max(1)).max(1);
    let to = SharedMut(packed.as_mut_ptr());
    cpu.crew().each(slivers.div_ceil(per_panel), |panel| {
        for j in panel * per_panel..slivers.min((panel + 1) * per_panel) {
            let (from, end) = cut.column_sliver(columns, j);
            let sliver = pack::Sliver {
                from: b.values.as_ptr().wrapping_add(block.inner.0 * b.row + (block.columns.0 + from) * b.column),
                step: b.row,
                lane: b.column,
                steps: depth,
                lanes: end - from,
                // SAFETY: slivers lie one behind the other in `packed`, which has room for all of them.
                to: unsafe { to.get().add(from * depth) },
                stride: (end - from).next_multiple_of(cut.tile.lanes),
            };
            job.simd.run(sliver);
        }
    });
}

/// Computes one block, cut into panels of rows, and of columns where there are few rows.
fn run_block<E: Math>(cpu: &Cpu, job: &Job<'_, E>, block: &Block<E>) {
    let slivers = job.cut.slivers;
    let columns = block.columns.1 - block.columns.0;
    let work = 2 * job.product.rows * columns * (block.inner.1 - block.inner.0);
    if work < PARALLEL_WORK {
        return panel(job, block, (0, slivers), (0, job.cut.column_slivers(columns)));
    }
    let wanted = work.div_ceil(PANEL_WORK).max(2);
    let row_panels = wanted.min(slivers);
    let column_slivers = job.cut.column_slivers(columns);
    let column_panels = if row_panels < 4 { (wanted / row_panels).clamp(1, column_slivers) } else { 1 };
    cpu.crew().each(row_panels * column_panels, |i| {
        let columns = part(column_slivers, column_panels, i % column_panels);
        panel(job, block, part(slivers, row_panels, i / column_panels), columns);
    });
}

/// Computes the tiles of some slivers of rows and of columns, then activates.
fn panel<E: Math>(job: &Job<'_, E>, block: &Block<E>, slivers: (usize, usize), columns: (usize, usize)) {
    let Product { rows, columns: row_length, a, .. } = job.product;
    let cut = job.cut;
    let block_columns = block.columns.1 - block.columns.0;
    let (left, right) = match columns {
        (from, to) if from < to => {
            (cut.column_sliver(block_columns, from).0, cut.column_sliver(block_columns, to - 1).1)
        }
        _ => return,
    };
    let depth = block.inner.1 - block.inner.0;
    let mut packed = pack::Room::new();
    for sliver in slivers.0..slivers.1 {
        let (top, bottom) = part(rows, job.cut.slivers, sliver);
        let count = bottom - top;
        debug_assert!(count <= cut.tile.rows);
        let start = a.values.as_ptr().wrapping_add(top * a.row + block.inner.0 * a.column);
        let (a_start, a_row, a_step) = if job.pack_a {
            let to = packed.room(count * depth);
            job.simd.run(pack::Sliver {
                from: start,
                step: a.column,
                lane: a.row,
                steps: depth,
                lanes: count,
                to,
                stride: count,
            });
            (to.cast_const(), 1, count)
        } else {
            (start, a.row, a.column)
        };
        for j in columns.0..columns.1 {
            let (column, end) = cut.column_sliver(block_columns, j);
            let (b, b_row) = match block.in_place {
                Some(row) => (block.b.wrapping_add(column), row),
                None => (block.b.wrapping_add(column * depth), (end - column).next_multiple_of(cut.tile.lanes)),
            };
            let tile = Tile {
                depth,
                a: a_start,
                a_row,
                a_step,
                b,
                b_row,
                // SAFETY: `c` holds rows x row_length elements, and the tile starts inside.
                c: unsafe { job.c.add(top * row_length + block.columns.0 + column) },
                c_row: row_length,
                columns: end - column,
                add: !block.first || job.accum == Accum::Add,
                bias: match job.bias {
                    // SAFETY: there is one for each row.
                    Some(bias) if block.first => unsafe { bias.as_ptr().add(top) },
                    _ => std::ptr::null(),
                },
            };
            tile::run(job.simd, count, tile);
        }
        if block.last && (job.activation != Activation::Identity || !job.activated.is_null()) {
            for row in top..bottom {
                let at = row * row_length + block.columns.0 + left;
                // SAFETY: the segment is this panel's part of the row, in `c` and in `activated`.
                unsafe {
                    let from = job.c.add(at);
                    let to = if job.activated.is_null() { from } else { job.activated.add(at) };
                    job.simd.run(Activate::raw(job.activation, from, to, right - left));
                }
            }
        }
    }
}
