//! Timing: pairs of alternatives, and latencies, with a clock that tests can replace.
//!
//! Two alternatives run in turns, so that a disturbance of the machine affects both, and are compared pair by pair: the
//! median of the ratios varies far less than the ratio of two medians. All code here reads time only through [`Clock`],
//! so no test depends on the speed of a machine.

mod clock;
mod latency;
mod paired;

pub use clock::{Clock, Monotonic};
pub(crate) use latency::Runner;
pub use latency::{Latency, LatencyOptions, latency, paired_latency};
pub use paired::{Paired, Timing, paired, paired_timed};

/// The value below which a share `q` of the ascending values `sorted` lies, by linear interpolation; 0 if there are
/// none.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

#[cfg(test)]
pub(crate) mod fake {
    //! A clock that only tests move.

    use super::Clock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    /// A clock that stands still until it is told to move. Copies share the time.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Fake(Arc<AtomicU64>);

    impl Fake {
        pub(crate) fn pass(&self, ns: u64) {
            self.0.fetch_add(ns, Relaxed);
        }
    }

    impl Clock for Fake {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.load(Relaxed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_interpolate() {
        let v = [1.0, 2.0, 3.0, 4.0, 10.0];
        for (q, want) in [(0.0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.95, 8.8), (1.0, 10.0)] {
            assert!((quantile(&v, q) - want).abs() < 1e-12, "{q}");
        }
        assert_eq!((quantile(&[7.0], 0.95), quantile(&[], 0.5)), (7.0, 0.0));
    }
}
