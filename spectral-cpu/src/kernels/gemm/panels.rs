//! Products that are used up panel by panel while they are in the cache, and are never in memory as a whole.

use super::tile::Extents;
use super::{Block, Job, PANEL_SLIVERS, Product, Strided, Target, pack, pack_b, panel};
use crate::Cpu;
use crate::kernels::SharedMut;
use crate::kernels::crew::Split;
use crate::kernels::math::Math;
use spectral_core::{Accum, Activation};

/// Bytes that a panel should have: the L2 cache has room for it, and for what it is used for.
const PANEL_BYTES: usize = 128 * 1024;

/// Rows of a panel of a product with so many columns; the last has what is left.
pub(crate) fn panel_rows<E: Math>(cpu: &Cpu, columns: usize) -> usize {
    let tile = Extents::of::<E>(cpu.simd());
    let slivers = (PANEL_BYTES / (tile.tall * columns.max(1) * size_of::<E>())).clamp(1, PANEL_SLIVERS);
    slivers * tile.tall
}

/// Computes `product` in panels of [`panel_rows`] whole rows, bit for bit as [`gemm`](super::gemm) does, and calls
/// `work(first, panel, part)` for each: the index of its first element, its elements, and the part of `results` that
/// belongs to them, an item an element.
pub(crate) fn gemm_panels<E: Math, S: Split>(
    cpu: &Cpu,
    product: Product<'_, E>,
    results: S,
    work: impl Fn(usize, &[E], S) + Sync,
) {
    let Product { rows, columns, inner, a, .. } = product;
    if rows == 0 || columns == 0 {
        return;
    }
    let tile = Extents::of::<E>(cpu.simd());
    let size = rows.min(panel_rows::<E>(cpu, columns)) * columns;
    let part = |from: usize, to: usize| Product {
        rows: (to - from) / columns,
        a: Strided { values: &a.values[from / columns * a.row..], ..a },
        ..product
    };
    let room = inner * columns.next_multiple_of(tile.lanes) + pack::SLACK;
    cpu.scratch().with(room + cpu.threads() * size, |scratch: &mut [E]| {
        let (packed, panels) = scratch.split_at_mut(room);
        let unpacked = Block { from: 0, columns, packed: std::ptr::null(), first: 0 };
        pack_b(cpu, &job(cpu, part(0, size), &mut panels[..size]), &unpacked, packed);
        let block = Block { packed: packed.as_ptr(), ..unpacked };
        let panels = SharedMut(panels.as_mut_ptr());
        cpu.crew().cut(rows * columns, size, results, |from, to, results, thread| {
            // SAFETY: there are `size` elements for each thread, at least as many as this panel has, and a thread
            // starts no other panel before this one ends.
            let c = unsafe { std::slice::from_raw_parts_mut(panels.get().add(thread * size), to - from) };
            let job = job(cpu, part(from, to), c);
            panel(&job, &block, (0, job.cut.slivers), (0, job.cut.column_slivers(columns)));
            work(from, c, results);
        });
    });
}

/// The job of one panel, for a `B` that is packed.
fn job<'a, E: Math>(cpu: &Cpu, product: Product<'a, E>, c: &'a mut [E]) -> Job<'a, E> {
    let target = Target { c, accum: Accum::Replace, bias: None, activation: Activation::Identity, activated: None };
    Job { direct_b: false, ..Job::new(cpu.simd(), product, target) }
}
