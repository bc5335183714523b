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
