//! The threads of a backend, and how work is spread over them.
//!
//! Kernels come hundreds a training step, tens of microseconds each: waking a thread that sleeps takes as long as the
//! work itself. So a crew's threads look for work for a moment before they sleep, whoever calls a kernel works along
//! instead of waiting, and panels are claimed by counting, without a lock.

use super::SharedMut;
use spectral_core::{Error, Result};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread without work looks for some before it sleeps.
const PATIENCE: Duration = Duration::from_micros(200);
/// Looks without giving way to another thread.
const LOOKS: usize = 2000;

thread_local! {
    /// Whether this thread runs a panel: then work in it stays on it.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// A fixed number of threads, the caller's included.
///
/// Work comes as a number of panels that depends on shapes alone, and every panel is computed by one thread from
/// start to end, so that results do not depend on how many threads there are. Several callers at a time are allowed:
/// one has the threads, the others compute by themselves.
#[derive(Debug)]
pub(crate) struct Crew {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Held by the caller that has the threads.
    lead: Mutex<()>,
    /// What there is to do; written by the leader while the gate is shut and nobody is inside.
    job: UnsafeCell<Job>,
    gate: Gate,
    /// For each thread, its next panel. The panels are cut evenly: a thread does its own, then those of others.
    next: Box<[Padded]>,
    /// The first panic of a panel.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Threads that sleep, or are about to.
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

// SAFETY: the job is only written by the holder of `lead` while no thread is inside the gate, and only read inside;
// what it points to is shared work (`Sync`) that outlives the round.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// A counter on a cache line of its own.
#[repr(align(64))]
struct Padded(AtomicUsize);

/// Panels `0..count` of some work.
#[derive(Clone, Copy)]
struct Job {
    run: unsafe fn(*const (), usize, usize),
    work: *const (),
    count: usize,
}

impl Crew {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::config("backend cpu", "at least one thread is needed"));
        }
        let shared = Arc::new(Shared {
            lead: Mutex::new(()),
            job: UnsafeCell::new(Job { run: |_, _, _| {}, work: std::ptr::null(), count: 0 }),
            gate: Gate::default(),
            next: (0..threads).map(|_| Padded(AtomicUsize::new(0))).collect(),
            panic: Mutex::new(None),
            asleep: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        });
        let mut crew = Self { shared, workers: Vec::with_capacity(threads - 1) };
        for i in 1..threads {
            let shared = crew.shared.clone();
            let builder = std::thread::Builder::new().name(format!("spectral-cpu-{i}"));
            let started = builder.spawn(move || shared.serve(i));
            crew.workers.push(started.map_err(|e| Error::Backend {
                backend: "cpu".into(),
                problem: format!("cannot start threads: {e}"),
            })?);
        }
        Ok(crew)
    }

    pub(crate) fn threads(&self) -> usize {
        self.shared.next.len()
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
        if self.threads() == 1 || items <= grain {
            return panel(0, items, results);
        }
        self.cut(items, grain, results, |from, to, part, _| panel(from, to, part));
    }

    /// As [`share`](Self::share), but cut for one thread too: `panel(from, to, part, thread)` never gets more than a
    /// grain. No two panels of one call run on the same `thread` (below [`threads`](Self::threads)) at a time.
    pub(crate) fn cut<S: Split>(
        &self,
        items: usize,
        grain: usize,
        results: S,
        panel: impl Fn(usize, usize, S, usize) + Sync,
    ) {
        let end = |i: usize| items.min(i * grain);
        self.cut_at(items.div_ceil(grain), end, results, |_, (from, to), part, thread| panel(from, to, part, thread));
    }

    /// As [`cut`](Self::cut), with `end(i)` for the number of items in the first `i` of `count` panels: calls `panel(i,
    /// (from, to), part, thread)`.
    pub(crate) fn cut_at<S: Split>(
        &self,
        count: usize,
        end: impl Fn(usize) -> usize + Sync,
        results: S,
        panel: impl Fn(usize, (usize, usize), S, usize) + Sync,
    ) {
        assert!((0..count).all(|i| end(i) <= end(i + 1)));
        let results = results.raw(end(count));
        self.each_on(count, |i, thread| {
            let (from, to) = (end(i), end(i + 1));
            // SAFETY: ends ascend, so that panels do not overlap; each runs once.
            panel(i, (from, to), unsafe { S::part(&results, from, to) }, thread);
        });
    }

    /// Runs `panel(0)`, `panel(1)`, ... `panel(count - 1)`, each once, in any order.
    pub(crate) fn each(&self, count: usize, panel: impl Fn(usize) + Sync) {
        self.each_on(count, |i, _| panel(i));
    }

    /// As [`each`](Self::each), with the number of the thread, below [`threads`](Self::threads): no two panels of one
    /// call run on the same at a time.
    pub(crate) fn each_on<P: Fn(usize, usize) + Sync>(&self, count: usize, panel: P) {
        let alone = || (0..count).for_each(|i| panel(i, 0));
        if self.threads() == 1 || count <= 1 || BUSY.get() {
            return alone();
        }
        // Whoever has the threads has them for microseconds, but this work may be the shorter one.
        let lead = match self.shared.lead.try_lock() {
            Ok(lead) => lead,
            // A panel of its last holder panicked; there is nothing to be left in disorder.
            Err(TryLockError::Poisoned(lead)) => lead.into_inner(),
            Err(TryLockError::WouldBlock) => return alone(),
        };
        unsafe fn call<P: Fn(usize, usize)>(work: *const (), i: usize, thread: usize) {
            // SAFETY: `work` is the `panel` of the call that `lead` waits in.
            unsafe { (*work.cast::<P>())(i, thread) }
        }
        self.shared.lead(Job { run: call::<P>, work: (&raw const panel).cast(), count });
        drop(lead);
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.gate.end();
        self.shared.wake_all();
        for worker in self.workers.drain(..) {
            // Panics of panels have reached their callers.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Runs a job together with the other threads; returns when all panels are done.
    fn lead(&self, job: Job) {
        // SAFETY: this caller holds `lead`, the gate is shut and nobody is inside.
        unsafe { *self.job.get() = job };
        for (i, next) in self.next.iter().enumerate() {
            next.0.store(self.share(job.count, i), Ordering::Relaxed);
        }
        self.gate.open();
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.wake_all();
        }
        self.work(&job, 0);
        // Every panel is claimed, so those who are inside finish theirs and leave.
        self.gate.shut();
        if let Some(panic) = lock(&self.panic).take() {
            resume_unwind(panic);
        }
    }

    /// The first of the panels of thread `i`.
    fn share(&self, count: usize, i: usize) -> usize {
        count * i / self.next.len()
    }

    /// Does panels until all are claimed: those of thread `me`, then those of the threads behind it.
    fn work(&self, job: &Job, me: usize) {
        BUSY.set(true);
        let threads = self.next.len();
        for owner in (me..threads).chain(0..me) {
            let end = self.share(job.count, owner + 1);
            loop {
                let i = self.next[owner].0.fetch_add(1, Ordering::Relaxed);
                if i >= end {
                    break;
                }
                // SAFETY: the leader does not return from `lead`, and so does not end the life of what the job
                // points to, while a thread is inside; the leader itself is in `lead`.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| unsafe { (job.run)(job.work, i, me) })) {
                    lock(&self.panic).get_or_insert(panic);
                }
            }
        }
        BUSY.set(false);
    }

    /// What a thread of the crew does until the crew is dropped.
    fn serve(&self, me: usize) {
        let mut seen = 0;
        while let Some(round) = self.wait(seen) {
            seen = round;
            if self.gate.enter(round) {
                // SAFETY: the leader writes only while nobody is inside.
                let job = unsafe { *self.job.get() };
                self.work(&job, me);
                self.gate.leave();
            }
        }
    }

    /// Waits for a round after `seen`; `None` if the crew ends.
    fn wait(&self, seen: u64) -> Option<u64> {
        let fresh = || self.gate.round().filter(|&r| r != Some(seen));
        for _ in 0..LOOKS {
            if let Some(round) = fresh() {
                return round;
            }
            std::hint::spin_loop();
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(round) = fresh() {
                return round;
            }
            std::thread::yield_now();
        }
        let mut guard = lock(&self.sleep);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let round = loop {
            // The leader opens the gate before it looks who sleeps: one of the two sees the other.
            if let Some(round) = fresh() {
                break round;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        round
    }

    fn wake_all(&self) {
        drop(lock(&self.sleep));
        self.wake.notify_all();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("threads", &self.next.len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets threads into a round while it lasts: the round's number, whether it lasts, and how many are inside.
#[derive(Debug, Default)]
struct Gate(AtomicU64);

impl Gate {
    /// Number of threads inside.
    const INSIDE: u64 = 0xffff;
    const OPEN: u64 = 1 << 16;
    const END: u64 = 1 << 17;
    /// The rest counts rounds.
    const ROUND: u64 = 1 << 18;

    /// Begins a round. Only while the gate is shut.
    fn open(&self) {
        self.0.fetch_add(Self::ROUND + Self::OPEN, Ordering::SeqCst);
    }

    /// Ends the round once nobody is inside.
    fn shut(&self) {
        self.0.fetch_sub(Self::OPEN, Ordering::Relaxed);
        let mut looks = 0;
        // Acquire: what the others wrote is seen by whoever goes on.
        while self.0.load(Ordering::Acquire) & Self::INSIDE > 0 {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }

    /// No rounds any more.
    fn end(&self) {
        self.0.fetch_or(Self::END, Ordering::SeqCst);
    }

    /// The number of the newest round, `Some(None)` if there are none any more, `None` if it is over already.
    fn round(&self) -> Option<Option<u64>> {
        let state = self.0.load(Ordering::SeqCst);
        match (state & Self::END > 0, state & Self::OPEN > 0) {
            (true, _) => Some(None),
            (false, true) => Some(Some(state / Self::ROUND)),
            (false, false) => None,
        }
    }

    /// Goes in, if that round still lasts.
    fn enter(&self, round: u64) -> bool {
        let mut state = self.0.load(Ordering::Relaxed);
        while state / Self::ROUND == round && state & Self::OPEN > 0 {
            // Acquire: the job of the round is seen.
            match self.0.compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Results that can be cut into ranges of items (elements or rows), so that threads share them.
pub(crate) trait Split: Sized {
    /// Where they are.
    type Raw: Sync;
    /// Gives up `items` items.
    fn raw(self, items: usize) -> Self::Raw;
    /// The items `from..to` of what was given up.
    ///
    /// # Safety
    /// The range lies within the items and no other part overlaps it.
    unsafe fn part(raw: &Self::Raw, from: usize, to: usize) -> Self;
}

impl<T: Send> Split for &mut [T] {
    type Raw = SharedMut<T>;

    fn raw(self, items: usize) -> SharedMut<T> {
        assert!(items <= self.len());
        SharedMut(self.as_mut_ptr())
    }

    unsafe fn part(raw: &SharedMut<T>, from: usize, to: usize) -> Self {
        // SAFETY: `raw` has checked the length, the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts_mut(raw.get().add(from), to - from) }
    }
}

/// Rows of `width` elements each.
pub(crate) struct Rows<'a, T> {
    pub(crate) values: &'a mut [T],
    pub(crate) width: usize,
}

impl<T: Send> Split for Rows<'_, T> {
    type Raw = (SharedMut<T>, usize);

    fn raw(self, items: usize) -> Self::Raw {
        (self.values.raw(items * self.width), self.width)
    }

    unsafe fn part((values, width): &Self::Raw, from: usize, to: usize) -> Self {
        // SAFETY: as the caller vouches.
        Self { values: unsafe { <&mut [T]>::part(values, from * width, to * width) }, width: *width }
    }
}

impl<T: Split> Split for Option<T> {
    type Raw = Option<T::Raw>;

    fn raw(self, items: usize) -> Self::Raw {
        self.map(|t| t.raw(items))
    }

    unsafe fn part(raw: &Self::Raw, from: usize, to: usize) -> Self {
        // SAFETY: as the caller vouches.
        raw.as_ref().map(|raw| unsafe { T::part(raw, from, to) })
    }
}

impl<A: Split, B: Split> Split for (A, B) {
    type Raw = (A::Raw, B::Raw);

    fn raw(self, items: usize) -> Self::Raw {
        (self.0.raw(items), self.1.raw(items))
    }

    unsafe fn part((a, b): &Self::Raw, from: usize, to: usize) -> Self {
        // SAFETY: as the caller vouches.
        unsafe { (A::part(a, from, to), B::part(b, from, to)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(count: usize) -> Vec<AtomicUsize> {
        (0..count).map(|_| AtomicUsize::new(0)).collect()
    }

    #[test]
    fn every_panel_runs_once_whatever_happens_before() {
        for threads in [1, 2, 5] {
            let crew = Crew::new(threads).unwrap();
            for round in 0..2000 {
                if round % 500 == 499 {
                    // Long enough that the threads sleep.
                    std::thread::sleep(5 * PATIENCE);
                }
                let hits = hits([0, 1, 2, 7, 100][round % 5]);
                crew.each(hits.len(), |i| {
                    hits[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1), "{threads} threads, round {round}");
            }
        }
    }

    #[test]
    fn several_callers_and_panels_within_panels() {
        let crew = Crew::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let hits = hits(40);
                        crew.each(8, |i| {
                            crew.each(5, |j| {
                                hits[5 * i + j].fetch_add(1, Ordering::Relaxed);
                            });
                        });
                        assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
                    }
                });
            }
        });
    }

    #[test]
    fn parts_are_what_they_say() {
        let crew = Crew::new(2).unwrap();
        let (mut plain, mut rows) = (vec![0; 103], vec![0; 206]);
        let results = (&mut plain[..], Some(Rows { values: &mut rows, width: 2 }));
        crew.share(103, 10, results, |from, to, (plain, rows)| {
            assert_eq!((plain.len(), to - from <= 10), (to - from, true));
            plain.iter_mut().enumerate().for_each(|(i, v)| *v += from + i);
            rows.unwrap().values.iter_mut().enumerate().for_each(|(i, v)| *v += 2 * from + i);
        });
        assert!(plain.iter().enumerate().all(|(i, v)| *v == i) && rows.iter().enumerate().all(|(i, v)| *v == i));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_crew_goes_on() {
        let crew = Crew::new(2).unwrap();
        for bad in 0..4 {
            let run = || crew.each(4, |i| assert!(i != bad, "panel {i}"));
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>().unwrap(), &format!("panel {bad}"));
        }
        crew.each(4, |_| {});
    }

    #[test]
    fn no_threads_is_an_error() {
        assert!(Crew::new(0).is_err());
    }
}
