//! The loops over numbers; the only unsafe code of the crate.
//!
//! A kernel is one generic body over [`vector::Vector`], compiled once for each SIMD level and element type.

pub(crate) mod activation;
pub(crate) mod crew;
pub(crate) mod csr;
pub(crate) mod depthwise;
pub(crate) mod elementwise;
pub(crate) mod gemm;
pub(crate) mod gemv;
pub(crate) mod limits;
pub(crate) mod loss;
pub(crate) mod math;
pub(crate) mod pairs;
pub(crate) mod pooling;
pub(crate) mod reduce;
pub(crate) mod samplewise;
pub(crate) mod sliced;
pub(crate) mod softmax;
pub(crate) mod sparse;
pub(crate) mod spectral;
pub(crate) mod transpose;
pub(crate) mod unitwise;
pub(crate) mod update;
pub(crate) mod vector;
pub(crate) mod windows;

use crate::Cpu;
use crate::families::GRAIN;
use std::ops::Range;

/// Runs `panel` for ranges of columns of a matrix, at least 64 wide and of about [`GRAIN`] elements.
pub(crate) fn column_panels(cpu: &Cpu, rows: usize, columns: usize, panel: impl Fn(Range<usize>) + Sync) {
    let width = column_panel(rows);
    cpu.crew().each(columns.div_ceil(width), |i| panel(i * width..columns.min((i + 1) * width)));
}

/// Columns of one panel of a matrix of `rows` rows.
pub(crate) fn column_panel(rows: usize) -> usize {
    (GRAIN / rows.max(1)).next_multiple_of(64).max(64)
}

/// A pointer that panels share, each writing its own part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedMut<E>(pub(crate) *mut E);

// SAFETY: whoever writes through `get` writes a part that no other panel touches.
unsafe impl<E: Send> Sync for SharedMut<E> {}

impl<E> SharedMut<E> {
    /// The pointer. A method, so that closures capture the whole.
    pub(crate) fn get(&self) -> *mut E {
        self.0
    }
}
