//! A counting allocator, for tests of how much memory something takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, which counts the requests of all threads:
///
/// ```
/// use spectral_testkit::Counting;
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting::new();
///
/// let usage = ALLOCATOR.during(|| drop(vec![0u8; 1000]));
/// assert!(usage.requests >= 1 && usage.peak >= 1000 && usage.largest >= 1000);
/// ```
#[derive(Debug, Default)]
pub struct Counting {
    requests: AtomicUsize,
    used: AtomicUsize,
    peak: AtomicUsize,
    largest: AtomicUsize,
}

/// The memory that a piece of work requested from [`Counting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Requests for memory, or for memory of another size.
    pub requests: usize,
    /// The most bytes in use at one time, above those in use before.
    pub peak: usize,
    /// The bytes of the largest request.
    pub largest: usize,
}

impl Counting {
    /// An allocator with all counts at 0.
    pub const fn new() -> Self {
        Self {
            requests: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            largest: AtomicUsize::new(0),
        }
    }

    /// Requests for memory since the program began.
    pub fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    /// Runs `work` and returns the memory that any thread requested meanwhile. Make one call at a time: a second call
    /// would reset the peak.
    pub fn during(&self, work: impl FnOnce()) -> Usage {
        let (requests, used) = (self.requests(), self.used.load(Relaxed));
        self.peak.store(used, Relaxed);
        self.largest.store(0, Relaxed);
        work();
        Usage {
            requests: self.requests() - requests,
            peak: self.peak.load(Relaxed) - used,
            largest: self.largest.load(Relaxed),
        }
    }

    fn add(&self, bytes: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.peak.fetch_max(self.used.fetch_add(bytes, Relaxed) + bytes, Relaxed);
        self.largest.fetch_max(bytes, Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist while one is copied to the other.
        self.add(size);
        self.used.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }
}
