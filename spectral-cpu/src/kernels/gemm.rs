//! Matrix products `C (+)= A B + bias`, with an activation while the rows are in cache.
//!
//! Structure: the inner extent is cut into blocks. Threads share panels of rows; a panel packs some slivers of `A` (as
//! many rows as a tile has) into the L2 cache, and each sliver of `B` (as many columns as a tile has), once it is in
//! the L1 cache, meets all of them. A tile of `C` stays in registers for the whole inner block. Operands are read in
//! place where their layout allows it and packed where it does not. Cf. Van Zee & van de Geijn 2015.

mod pack;
mod panels;
mod tile;

pub(crate) use panels::{gemm_panels, panel_rows};

use crate::kernels::SharedMut;
use crate::kernels::activation::Activate;
use crate::kernels::math::Math;
use crate::{Cpu, Simd};
use spectral_core::{Accum, Activation};
use tile::{Extents, Tile};

/// Longest inner block: slivers of both operands fit the L1 cache.
const INNER: usize = 320;
/// Most elements of `B` that are packed at a time.
const BLOCK: usize = 1 << 20;
/// Slivers of `A` that a panel should have, so that each sliver of `B` is read from the L1 cache that often.
const PANEL_SLIVERS: usize = 6;
/// Floating-point operations that a panel should have, so that starting it costs nothing.
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
    /// Slivers of rows.
    slivers: usize,
    /// Columns that are packed at a time, whole vectors.
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
        let tile = Extents::of::<E>(simd);
        let block = (BLOCK / p.inner.max(1) / 64 * 64).max(64);
        Self { tile, slivers: tile.slivers(p.rows), block, inner_blocks: p.inner.div_ceil(INNER).max(1) }
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
    /// Whether whole slivers of `B` are read in place.
    direct_b: bool,
}

// SAFETY: panels read shared operands and write disjoint rows or columns of `c` and `activated`.
unsafe impl<E: Math> Sync for Job<'_, E> {}

/// A block of columns with its packed slivers of `B`.
#[derive(Clone, Copy)]
struct Block<E> {
    from: usize,
    columns: usize,
    packed: *const E,
    /// The column at which `packed` begins.
    first: usize,
}

// SAFETY: `packed` is only read while `gemm` borrows the scratch memory it points into.
unsafe impl<E: Math> Sync for Block<E> {}

impl<'a, E: Math> Job<'a, E> {
    fn new(simd: Simd, product: Product<'a, E>, target: Target<'a, E>) -> Self {
        let Product { rows, columns, inner, a, b } = product;
        let holds = |s: &Strided<'_, E>, r: usize, c: usize| {
            r == 0 || c == 0 || (r - 1) * s.row + (c - 1) * s.column < s.values.len()
        };
        assert!(holds(&a, rows, inner) && holds(&b, inner, columns) && target.c.len() == rows * columns);
        assert!(target.bias.is_none_or(|b| b.len() == rows && target.accum == Accum::Replace));
        assert!(target.activated.as_ref().is_none_or(|y| y.len() == rows * columns));
        let cut = Cut::new(simd, &product);
        Self {
            simd,
            product,
            c: target.c.as_mut_ptr(),
            activated: target.activated.map_or(std::ptr::null_mut(), |y| y.as_mut_ptr()),
            bias: target.bias,
            activation: target.activation,
            accum: target.accum,
            // Rows a multiple of 4 KiB apart would fight for the same few lines of the L1 cache.
            pack_a: a.column != 1 || columns > 256 || (a.row * size_of::<E>()).is_multiple_of(1024),
            // Packing pays once a sliver is read several times.
            direct_b: b.column == 1 && cut.slivers <= 2,
            cut,
        }
    }
}

/// Computes `product` into `target`. All slices must hold what shapes and strides say; callers have checked.
pub(crate) fn gemm<E: Math>(cpu: &Cpu, product: Product<'_, E>, target: Target<'_, E>) {
    let Product { rows, columns, inner, .. } = product;
    if rows == 0 || columns == 0 {
        return;
    }
    let job = Job::new(cpu.simd(), product, target);
    for from in (0..columns).step_by(job.cut.block) {
        let columns = job.cut.block.min(columns - from);
        let block = Block { from, columns, packed: std::ptr::null(), first: 0 };
        if !job.pack_a && !job.direct_b {
            run_by_columns(cpu, &job, &block);
            continue;
        }
        let width = if job.direct_b { job.cut.tile.lanes * job.cut.tile.vectors } else { block.columns };
        let room = inner * width.next_multiple_of(job.cut.tile.lanes) + pack::SLACK;
        cpu.scratch().with(room, |packed: &mut [E]| {
            pack_b(cpu, &job, &block, packed);
            run_block(cpu, &job, &Block { packed: packed.as_ptr(), ..block });
        });
    }
}

impl<E: Math> Block<E> {
    /// Whether the columns `from..to` of the block are packed.
    fn is_packed(&self, job: &Job<'_, E>, from: usize, to: usize) -> bool {
        !job.direct_b || !(to - from).is_multiple_of(job.cut.tile.lanes)
    }

    /// Where the packed inner block `from..to` of the columns `left..right` starts, and how far its steps are apart.
    ///
    /// Slivers lie one behind the other; of those in place there is at most one that is packed.
    fn sliver(&self, job: &Job<'_, E>, (left, right): (usize, usize), from: usize) -> (usize, usize) {
        let step = (right - left).next_multiple_of(job.cut.tile.lanes);
        let start = if job.direct_b { 0 } else { (left - self.first) * job.product.inner };
        (start + from * step, step)
    }
}

/// Packs the slivers of a block of `B`, in parallel where there are many.
fn pack_b<E: Math>(cpu: &Cpu, job: &Job<'_, E>, block: &Block<E>, packed: &mut [E]) {
    let (cut, inner) = (job.cut, job.product.inner);
    let slivers = cut.column_slivers(block.columns);
    let first = if job.direct_b { slivers - 1 } else { 0 };
    let per_panel = (16 * 1024 / (inner * cut.tile.lanes * cut.tile.vectors).max(1)).max(1);
    let to = SharedMut(packed.as_mut_ptr());
    cpu.crew().each((slivers - first).div_ceil(per_panel), |panel| {
        for j in first + panel * per_panel..slivers.min(first + (panel + 1) * per_panel) {
            let (from, end) = cut.column_sliver(block.columns, j);
            if !block.is_packed(job, from, end) {
                continue;
            }
            let (start, _) = block.sliver(job, (from, end), 0);
            // SAFETY: `packed` has room for every sliver, and this panel alone writes this one: its steps are whole
            // vectors, so that it ends where the next begins.
            pack_sliver(job, block, (from, end), unsafe { to.get().add(start) });
        }
    });
}

/// Packs the columns `from..to` of a block of `B`: whole vectors, `inner` of each, and [`pack::SLACK`].
fn pack_sliver<E: Math>(job: &Job<'_, E>, block: &Block<E>, (from, to): (usize, usize), packed: *mut E) {
    let b = job.product.b;
    job.simd.run(pack::Sliver {
        from: b.values.as_ptr().wrapping_add((block.from + from) * b.column),
        step: b.row,
        lane: b.column,
        steps: job.product.inner,
        lanes: to - from,
        to: packed,
        stride: (to - from).next_multiple_of(job.cut.tile.lanes),
    });
}

/// Computes one block whose rows of `A` are read in place, sliver of columns by sliver.
///
/// A thread packs the slivers it works on for itself: what another core has just written is far away.
fn run_by_columns<E: Math>(cpu: &Cpu, job: &Job<'_, E>, block: &Block<E>) {
    /// Elements in front of a thread's sliver, of which the first says which one it is, counted from 1.
    const HEAD: usize = 16;
    let (slivers, column_slivers) = (job.cut.slivers, job.cut.column_slivers(block.columns));
    let work = 2 * job.product.rows * block.columns * job.product.inner;
    let row_panels = (work / (PANEL_WORK * column_slivers)).clamp(1, slivers.div_ceil(PANEL_SLIVERS));
    let widest = job.cut.tile.lanes * job.cut.tile.vectors;
    let room = HEAD + job.product.inner * widest + pack::SLACK;
    cpu.scratch().with(cpu.threads() * room, |packed: &mut [E]| {
        packed.iter_mut().step_by(room).for_each(|head| *head = E::of(0.0));
        let packed = SharedMut(packed.as_mut_ptr());
        let run = |i: usize, thread: usize| {
            let (j, rows) = (i / row_panels, part(slivers, row_panels, i % row_panels));
            let (from, to) = job.cut.column_sliver(block.columns, j);
            let which = E::of((j + 1) as f64);
            // SAFETY: there is room for the head and the widest sliver for each thread, which runs one panel at a time.
            let sliver = unsafe {
                let own = packed.get().add(thread * room);
                if *own != which {
                    pack_sliver(job, block, (from, to), own.add(HEAD));
                    *own = which;
                }
                own.add(HEAD).cast_const()
            };
            panel(job, &Block { packed: sliver, first: from, ..*block }, rows, (j, j + 1));
        };
        match work < PARALLEL_WORK {
            true => (0..row_panels * column_slivers).for_each(|i| run(i, 0)),
            false => cpu.crew().each_on(row_panels * column_slivers, run),
        }
    });
}

/// Computes one block, cut into panels of rows, and of columns where there are few rows.
fn run_block<E: Math>(cpu: &Cpu, job: &Job<'_, E>, block: &Block<E>) {
    let (slivers, column_slivers) = (job.cut.slivers, job.cut.column_slivers(block.columns));
    let work = 2 * job.product.rows * block.columns * job.product.inner;
    if work < PARALLEL_WORK {
        return panel(job, block, (0, slivers), (0, column_slivers));
    }
    let wanted = work.div_ceil(PANEL_WORK).max(2);
    let row_panels = wanted.min(slivers.div_ceil(PANEL_SLIVERS));
    let column_panels = if row_panels < 8 { (wanted / row_panels).clamp(1, column_slivers.min(8)) } else { 1 };
    cpu.crew().each(row_panels * column_panels, |i| {
        let columns = part(column_slivers, column_panels, i % column_panels);
        panel(job, block, part(slivers, row_panels, i / column_panels), columns);
    });
}

/// Computes the tiles of some slivers of rows and of columns, then activates.
fn panel<E: Math>(job: &Job<'_, E>, block: &Block<E>, slivers: (usize, usize), columns: (usize, usize)) {
    let Product { rows, columns: row_length, inner, .. } = job.product;
    let cut = job.cut;
    if columns.0 == columns.1 {
        return;
    }
    let (left, right) =
        (cut.column_sliver(block.columns, columns.0).0, cut.column_sliver(block.columns, columns.1 - 1).1);
    let deepest = inner.div_ceil(cut.inner_blocks);
    let mut room = pack::Room::new();
    let group = pack::Room::slivers::<E>(cut.tile.tall * deepest);
    for first in (slivers.0..slivers.1).step_by(group) {
        let slivers = (first, slivers.1.min(first + group));
        for i in 0..cut.inner_blocks {
            let inner = part(inner, cut.inner_blocks, i);
            pack_a(job, slivers, inner, &mut room);
            for j in columns.0..columns.1 {
                tiles(job, block, slivers, inner, cut.column_sliver(block.columns, j), &mut room);
            }
        }
        if job.activation == Activation::Identity && job.activated.is_null() {
            continue;
        }
        let (top, last) = (cut.tile.sliver(rows, slivers.0).0, cut.tile.sliver(rows, slivers.1 - 1));
        for row in top..last.0 + last.1 {
            let at = row * row_length + block.from + left;
            // SAFETY: the segment is this panel's part of the row, in `c` and in `activated`.
            unsafe {
                let from = job.c.add(at);
                let to = if job.activated.is_null() { from } else { job.activated.add(at) };
                job.simd.run(Activate::raw(job.activation, from, to, right - left));
            }
        }
    }
}

/// Whether the tiles of a sliver read packed rows.
fn reads_packed<E>(job: &Job<'_, E>, rows: usize, height: usize) -> bool {
    job.pack_a || rows < height
}

/// Packs one inner block of some slivers of `A`.
fn pack_a<E: Math>(job: &Job<'_, E>, slivers: (usize, usize), inner: (usize, usize), room: &mut pack::Room) {
    let a = job.product.a;
    let depth = inner.1 - inner.0;
    // Where rows are contiguous, all slivers read a few steps before any reads more: they share cache lines.
    let chunk = if a.row == 1 { 16 } else { depth.max(1) };
    for start in (0..depth).step_by(chunk) {
        for i in slivers.0..slivers.1 {
            let (top, rows, height) = job.cut.tile.sliver(job.product.rows, i);
            if !reads_packed(job, rows, height) {
                continue;
            }
            let to: *mut E = room.sliver(i - slivers.0, job.cut.tile.tall * depth);
            job.simd.run(pack::Sliver {
                from: a.values.as_ptr().wrapping_add(top * a.row + (inner.0 + start) * a.column),
                step: a.column,
                lane: a.row,
                steps: chunk.min(depth - start),
                lanes: rows,
                to: to.wrapping_add(start * height),
                stride: height,
            });
        }
    }
}

/// Computes the tiles of some slivers of rows and one of columns, over one inner block.
fn tiles<E: Math>(
    job: &Job<'_, E>,
    block: &Block<E>,
    slivers: (usize, usize),
    inner: (usize, usize),
    (left, right): (usize, usize),
    room: &mut pack::Room,
) {
    let Product { rows: height_of_c, columns: row_length, a, b, .. } = job.product;
    let depth = inner.1 - inner.0;
    let (b, b_step) = if block.is_packed(job, left, right) {
        let (start, step) = block.sliver(job, (left, right), inner.0);
        (block.packed.wrapping_add(start), step)
    } else {
        (b.values.as_ptr().wrapping_add(inner.0 * b.row + block.from + left), b.row)
    };
    for i in slivers.0..slivers.1 {
        let (top, rows, height) = job.cut.tile.sliver(height_of_c, i);
        let (a, a_row, a_step) = if reads_packed(job, rows, height) {
            (room.sliver::<E>(i - slivers.0, job.cut.tile.tall * depth).cast_const(), 1, height)
        } else {
            (a.values.as_ptr().wrapping_add(top * a.row + inner.0 * a.column), a.row, a.column)
        };
        job.simd.run(Tile {
            height,
            depth,
            a,
            a_row,
            a_step,
            b,
            b_step,
            // SAFETY: `c` holds rows x row_length elements, and the tile starts inside.
            c: unsafe { job.c.add(top * row_length + block.from + left) },
            c_row: row_length,
            rows,
            columns: right - left,
            add: inner.0 > 0 || job.accum == Accum::Add,
            bias: match job.bias {
                // SAFETY: there is one for each row.
                Some(bias) if inner.0 == 0 => unsafe { bias.as_ptr().add(top) },
                _ => std::ptr::null(),
            },
        });
    }
}
