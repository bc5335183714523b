//! The threads of a backend, and how work is spread over them.

use rayon::{ThreadPool, ThreadPoolBuilder};
use spectral_core::{Error, Result};

/// A fixed number of threads.
///
/// Work comes as a number of panels that depends on shapes alone, and every panel is computed by one thread from
/// start to end, so that results do not depend on how many threads there are.
#[derive(Debug)]
pub(crate) struct Crew {
    pool: ThreadPool,
    threads: usize,
}

impl Crew {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::config("backend cpu", "at least one thread is needed"));
        }
        let pool =
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|i| format!("spectral-cpu-{i}"))
                .build()
                .map_err(|e| Error::Backend { backend: "cpu".into(), problem: format!("cannot start threads: {e}") })?;
        Ok(Self { pool, threads })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on one of the threads.
    pub(crate) fn within<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Cuts `items` elements or rows of `results` into panels of `grain` and runs `panel(from, to, part)` for each.
    ///
    /// Every item must come out the same wherever the cuts are: with one thread there are none.
    pub(crate) fn share<S: Split>(
        &self,
        items: usize,
        grain: usize,
        results: S,
        panel: impl Fn(usize, usize, S) + Sync,
    ) {
        let grain = grain.max(1);
        if items == 0 {
            return;
        }
        if self.threads == 1 || items <= grain {
            panel(0, items, results);
        } else {
            self.cut(items, grain, results, |from, to, part, _| panel(from, to, part));
        }
    }

    /// As [`share`](Self::share), but cut for one thread too: `panel(from, to, part, thread)` never gets more than a
    /// grain. No two panels run on the same `thread` (below [`threads`](Self::threads)) at a time.
    pub(crate) fn cut<S: Split>(
        &self,
        items: usize,
        grain: usize,
        results: S,
        panel: impl Fn(usize, usize, S, usize) + Sync,
    ) {
        let panel = |from, to, part| panel(from, to, part, self.pool.current_thread_index().unwrap_or(0));
        if self.pool.current_thread_index().is_some() {
            scatter(0, items, grain, results, &panel);
        } else {
            self.pool.install(|| scatter(0, items, grain, results, &panel));
        }
    }

    /// Runs `panel(0)`, `panel(1)`, ... `panel(count - 1)`, each once, in any order.
    pub(crate) fn each(&self, count: usize, panel: impl Fn(usize) + Sync) {
        if self.threads == 1 || count <= 1 {
            (0..count).for_each(panel);
        } else if self.pool.current_thread_index().is_some() {
            halve(0, count, &panel);
        } else {
            self.pool.install(|| halve(0, count, &panel));
        }
    }
}

/// Results that can be cut in two, so that threads share them.
pub(crate) trait Split: Send + Sized {
    /// The first `at` items (elements or rows), and the rest.
    fn split(self, at: usize) -> (Self, Self);
}

impl<T: Send> Split for &mut [T] {
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

/// Rows of `width` elements each.
pub(crate) struct Rows<'a, T> {
    pub(crate) values: &'a mut [T],
    pub(crate) width: usize,
}

impl<T: Send> Split for Rows<'_, T> {
    fn split(self, at: usize) -> (Self, Self) {
        let (a, b) = self.values.split_at_mut(at * self.width);
        (Self { values: a, width: self.width }, Self { values: b, width: self.width })
    }
}

impl<T: Split> Split for Option<T> {
    fn split(self, at: usize) -> (Self, Self) {
        match self.map(|t| t.split(at)) {
            Some((a, b)) => (Some(a), Some(b)),
            None => (None, None),
        }
    }
}

impl<A: Split, B: Split> Split for (A, B) {
    fn split(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.split(at), self.1.split(at));
        ((a, b), (c, d))
    }
}

/// Halves `items` at multiples of `grain` until one grain is left.
fn scatter<S: Split>(start: usize, items: usize, grain: usize, results: S, panel: &(impl Fn(usize, usize, S) + Sync)) {
    if items <= grain {
        return panel(start, start + items, results);
    }
    let middle = items.div_ceil(grain) / 2 * grain;
    let (left, right) = results.split(middle);
    rayon::join(
        || scatter(start, middle, grain, left, panel),
        || scatter(start + middle, items - middle, grain, right, panel),
    );
}

/// Nothing but `join`, which puts its jobs on the stack: a warm crew does not allocate.
fn halve(from: usize, to: usize, panel: &(impl Fn(usize) + Sync)) {
    if to - from == 1 {
        return panel(from);
    }
    let middle = from + (to - from) / 2;
    rayon::join(|| halve(from, middle, panel), || halve(middle, to, panel));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_panel_runs_once_inside_and_outside() {
        for threads in [1, 2, 5] {
            let crew = Crew::new(threads).unwrap();
            for count in [0, 1, 2, 7, 100] {
                let hits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                let hit = |i: usize| {
                    hits[i].fetch_add(1, Ordering::Relaxed);
                };
                crew.each(count, hit);
                crew.within(|| crew.each(count, hit));
                assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 2), "{threads} threads, {count} panels");
            }
        }
    }

    #[test]
    fn no_threads_is_an_error() {
        assert!(Crew::new(0).is_err());
    }
}
