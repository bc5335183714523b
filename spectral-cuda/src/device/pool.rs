//! Memory of a device that is kept when it is given back, so that steps allocate nothing once warm.

use super::{Address, Device};
use spectral_core::Result;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A device and the memory that it has ready.
#[derive(Debug)]
pub(crate) struct Pool<D: Device> {
    pub(crate) device: D,
    /// Free memory by size.
    free: Mutex<HashMap<usize, Vec<Address>>>,
}

/// The smallest piece of memory.
const GRAIN: usize = 256;

/// What a request for `bytes` is rounded up to: an eighth of a power of two, so that little is wasted and sizes meet
/// again.
fn class(bytes: usize) -> usize {
    let step = (bytes.max(1).next_power_of_two() / 8).max(GRAIN);
    bytes.max(1).next_multiple_of(step)
}

impl<D: Device> Pool<D> {
    pub(crate) fn new(device: D) -> Arc<Self> {
        Arc::new(Self { device, free: Mutex::default() })
    }

    /// Memory for `bytes` bytes; what it holds is unspecified.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Result<Buffer<D>> {
        let size = class(bytes);
        let kept = self.lists().get_mut(&size).and_then(Vec::pop);
        let address = match kept {
            Some(address) => address,
            None => self.device.allocate(size).or_else(|_| {
                self.trim();
                self.device.allocate(size)
            })?,
        };
        Ok(Buffer { pool: self.clone(), address, size })
    }

    /// Gives all free memory back to the device.
    fn trim(&self) {
        for address in self.lists().drain().flat_map(|(_, list)| list) {
            // SAFETY: only `Buffer`, which was its owner, puts an address into a list, when it is dropped.
            unsafe { self.device.free(address) };
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<usize, Vec<Address>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Device> Drop for Pool<D> {
    fn drop(&mut self) {
        self.trim();
    }
}

/// Memory of a device; its only owner.
#[derive(Debug)]
pub(crate) struct Buffer<D: Device> {
    pool: Arc<Pool<D>>,
    address: Address,
    size: usize,
}

impl<D: Device> Buffer<D> {
    pub(crate) fn pool(&self) -> &Arc<Pool<D>> {
        &self.pool
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Copies from the host to the front; there must be room.
    pub(crate) fn write(&mut self, from: &[u8]) -> Result<()> {
        assert!(from.len() <= self.size, "callers check lengths");
        // SAFETY: the buffer owns `size` bytes, which is enough.
        if from.is_empty() { Ok(()) } else { unsafe { self.pool.device.write(from, self.address) } }
    }

    /// Copies the front to the host; there must be as much.
    pub(crate) fn read(&self, to: &mut [u8]) -> Result<()> {
        assert!(to.len() <= self.size, "callers check lengths");
        // SAFETY: the buffer owns `size` bytes, which is enough.
        if to.is_empty() { Ok(()) } else { unsafe { self.pool.device.read(self.address, to) } }
    }

    /// Sets the first `bytes` to 0.
    pub(crate) fn zero(&mut self, bytes: usize) -> Result<()> {
        assert!(bytes <= self.size, "callers check lengths");
        // SAFETY: the buffer owns `size` bytes, which is enough.
        if bytes == 0 { Ok(()) } else { unsafe { self.pool.device.zero(self.address, bytes) } }
    }

    /// Copies `bytes` from byte `from` of another buffer of the same device to byte `to`.
    pub(crate) fn copy(&mut self, to: usize, other: &Self, from: usize, bytes: usize) -> Result<()> {
        assert!(from + bytes <= other.size && to + bytes <= self.size, "callers check lengths");
        assert!(Arc::ptr_eq(&self.pool, &other.pool), "callers check devices");
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both buffers own that many bytes from there on, and two buffers never overlap.
        unsafe { self.pool.device.copy(other.address + from as u64, self.address + to as u64, bytes) }
    }
}

impl<D: Device> Drop for Buffer<D> {
    fn drop(&mut self) {
        // Work that still uses it was submitted before any work of the next owner.
        self.pool.lists().entry(self.size).or_default().push(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn sizes_are_rounded_up_by_a_quarter_at_most() {
        assert_eq!([0, 1, 256, 257, 4096].map(class), [256, 256, 256, 512, 4096]);
        for bytes in [5_000, 70_001, 1_000_003, 123_456_789] {
            let size = class(bytes);
            assert!(size >= bytes && size - bytes <= bytes / 4 && class(size) == size, "{bytes}: {size}");
        }
    }
}
