//! Copies from the host that nobody waits for.

use super::driver;
use crate::device::Address;
use cudarc::driver::{CudaEvent, CudaStream, result};
use spectral_core::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

/// Pieces at most.
const PIECES: usize = 32;

/// Main memory that the GPU copies from on its own. The driver would wait for a copy from any other.
#[derive(Default)]
pub(super) struct Staging(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    pieces: Vec<Piece>,
    next: usize,
}

struct Piece {
    memory: *mut u8,
    /// After the last copy from it.
    free: CudaEvent,
}

// SAFETY: the memory belongs to the piece alone and may be used from any thread.
unsafe impl Send for Piece {}

impl Staging {
    /// Copies `from` to `to`.
    ///
    /// # Safety
    /// There are as many bytes at `to`, and the stream's context is current.
    pub(super) unsafe fn write(&self, stream: &Arc<CudaStream>, from: &[u8], to: Address) -> Result<()> {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (i, bytes) in from.chunks(PIECE).enumerate() {
            let to = to + (i * PIECE) as u64;
            // SAFETY: the caller's promise.
            let copied = ring.piece(stream).and_then(|piece| unsafe { piece.copy(stream, bytes, to) });
            copied.map_err(|e| driver("copying to the GPU", e))?;
        }
        Ok(())
    }
}

impl Ring {
    /// The piece that has been in use the longest, when it is free.
    fn piece(&mut self, stream: &Arc<CudaStream>) -> Result<&Piece, result::DriverError> {
        if self.pieces.len() < PIECES {
            // SAFETY: the memory is freed with the piece only.
            let memory = unsafe { result::malloc_host(PIECE, 0) }?.cast();
            self.next = self.pieces.len();
            self.pieces.push(Piece { memory, free: stream.record_event(None)? });
        } else {
            self.next = (self.next + 1) % PIECES;
            self.pieces[self.next].free.synchronize()?;
        }
        Ok(&self.pieces[self.next])
    }
}

impl Piece {
    /// Copies through this piece.
    ///
    /// # Safety
    /// There are at most [`PIECE`] bytes, as many at `to`, and no copy from the piece is under way.
    unsafe fn copy(&self, stream: &Arc<CudaStream>, bytes: &[u8], to: Address) -> Result<(), result::DriverError> {
        // SAFETY: the piece is large enough and free, and stays until the stream is done.
        unsafe {
            self.memory.copy_from(bytes.as_ptr(), bytes.len());
            let staged = std::slice::from_raw_parts(self.memory, bytes.len());
            result::memcpy_htod_async(to, staged, stream.cu_stream())?;
        }
        self.free.record(stream)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.free.synchronize().is_ok() {
            // SAFETY: no copy from it is under way any more.
            let _ = unsafe { result::free_host(self.memory.cast()) };
        }
    }
}
