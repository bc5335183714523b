//! Memory that kernels use while they run and give back.

use bytemuck::{Pod, Zeroable};
use std::sync::{Mutex, PoisonError};

/// Buffers that are kept between calls, so that warm kernels do not allocate.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Mutex<Vec<Vec<Line>>>);

/// One cache line.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Scratch {
    /// Lends `len` elements with unspecified contents to `work`.
    pub(crate) fn with<E: Pod, R>(&self, len: usize, work: impl FnOnce(&mut [E]) -> R) -> R {
        if len == 0 {
            return work(&mut []);
        }
        let mut buffer = self.take();
        let lines = (len * size_of::<E>()).div_ceil(size_of::<Line>());
        if buffer.len() < lines {
            buffer.resize(lines, Line([0; 64]));
        }
        let result = work(&mut bytemuck::cast_slice_mut(&mut buffer)[..len]);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }

    /// The largest buffer there is.
    fn take(&self) -> Vec<Line> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let largest = (0..free.len()).max_by_key(|&i| free[i].len());
        largest.map(|i| free.swap_remove(i)).unwrap_or_default()
    }
}
