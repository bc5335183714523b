//! Two alternatives, timed in turns.

use super::{Clock, Monotonic, quantile};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;

/// Duration and resolution of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Both alternatives run for this long, at least once each, before anything counts.
    pub warmup: Duration,
    /// Pairs stop after this time, but not before the fifth.
    pub budget: Duration,
    /// Most pairs.
    pub pairs: usize,
    /// An alternative is repeated until one reading of the clock spans about this long.
    pub span: Duration,
}

impl Default for Timing {
    /// Up to 25 pairs in 6 ms, after 1 ms of warm-up; readings of 50 us.
    fn default() -> Self {
        Self {
            warmup: Duration::from_millis(1),
            budget: Duration::from_millis(6),
            pairs: 25,
            span: Duration::from_micros(50),
        }
    }
}

/// Least number of pairs, for any budget.
const LEAST_PAIRS: usize = 5;

/// Most repetitions between two readings of the clock.
const MOST_REPEATS: u32 = 10_000;

/// The comparison of two alternatives. Times are nanoseconds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Median over pairs of `a / b`: above 1, `b` is faster.
    pub ratio_median: f64,
    /// First and third quartile of `a / b`.
    pub quartiles: (f64, f64),
    /// 95 % confidence interval of the median of `a / b`, from order statistics.
    pub interval: (f64, f64),
    /// Median time of `a`.
    pub a_median: f64,
    /// Median time of `b`.
    pub b_median: f64,
    /// Pairs measured.
    pub pairs: usize,
}

/// Compares `a` with `b` on the machine's clock.
pub fn paired(mut a: impl FnMut(), mut b: impl FnMut()) -> Paired {
    let a = || -> Result<(), Infallible> {
        a();
        Ok(())
    };
    let b = || -> Result<(), Infallible> {
        b();
        Ok(())
    };
    match paired_timed(&Monotonic::default(), &Timing::default(), a, b) {
        Ok(paired) => paired,
        Err(never) => match never {},
    }
}

/// Compares `a` with `b`: warm-up, then pairs whose order alternates.
///
/// # Errors
/// The first error that `a` or `b` returns.
pub fn paired_timed<E>(
    clock: &dyn Clock,
    timing: &Timing,
    mut a: impl FnMut() -> Result<(), E>,
    mut b: impl FnMut() -> Result<(), E>,
) -> Result<Paired, E> {
    let start = clock.now();
    let (mut fastest_a, mut fastest_b) = (Duration::MAX, Duration::MAX);
    loop {
        fastest_a = fastest_a.min(timed(clock, 1, &mut a)?);
        fastest_b = fastest_b.min(timed(clock, 1, &mut b)?);
        // A clock that stands still must not keep this loop running.
        if clock.now() - start >= timing.warmup || fastest_a + fastest_b == Duration::ZERO {
            break;
        }
    }
    let repeats = |fastest: Duration| {
        let wanted = timing.span.as_nanos() / fastest.as_nanos().max(1);
        u32::try_from(wanted).unwrap_or(MOST_REPEATS).clamp(1, MOST_REPEATS)
    };
    let (repeats_a, repeats_b) = (repeats(fastest_a), repeats(fastest_b));
    let (mut times_a, mut times_b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let start = clock.now();
    for pair in 0..timing.pairs.max(LEAST_PAIRS) {
        if pair >= LEAST_PAIRS && clock.now() - start >= timing.budget {
            break;
        }
        let (time_a, time_b);
        if pair % 2 == 0 {
            time_a = timed(clock, repeats_a, &mut a)?;
            time_b = timed(clock, repeats_b, &mut b)?;
        } else {
            time_b = timed(clock, repeats_b, &mut b)?;
            time_a = timed(clock, repeats_a, &mut a)?;
        }
        // A reading counts as at least the one nanosecond that clocks resolve.
        let per_run = |time: Duration, repeats: u32| time.as_nanos().max(1) as f64 / f64::from(repeats);
        let (a, b) = (per_run(time_a, repeats_a), per_run(time_b, repeats_b));
        times_a.push(a);
        times_b.push(b);
        ratios.push(a / b);
    }
    for values in [&mut times_a, &mut times_b, &mut ratios] {
        values.sort_unstable_by(f64::total_cmp);
    }
    Ok(Paired {
        ratio_median: quantile(&ratios, 0.5),
        quartiles: (quantile(&ratios, 0.25), quantile(&ratios, 0.75)),
        interval: interval(&ratios),
        a_median: quantile(&times_a, 0.5),
        b_median: quantile(&times_b, 0.5),
        pairs: ratios.len(),
    })
}

/// Order statistics that enclose the median with at least 95 % probability, for any distribution: the number of ratios
/// below the median is binomial with share 1/2, so its standard deviation is `sqrt(n) / 2`.
fn interval(sorted: &[f64]) -> (f64, f64) {
    let n = sorted.len();
    let beyond = (n as f64 / 2.0 - 0.98 * (n as f64).sqrt() - 0.5).floor().max(0.0) as usize;
    (sorted.get(beyond).copied().unwrap_or(0.0), sorted.get(n.saturating_sub(1 + beyond)).copied().unwrap_or(0.0))
}

fn timed<E>(clock: &dyn Clock, repeats: u32, run: &mut impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let start = clock.now();
    for _ in 0..repeats {
        run()?;
    }
    Ok(clock.now() - start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fake::Fake;
    use std::cell::Cell;

    fn compare(timing: &Timing, a: impl Fn() -> u64, b: impl Fn() -> u64) -> Paired {
        let clock = Fake::default();
        let run = |ns: &dyn Fn() -> u64| -> Result<(), Infallible> {
            clock.pass(ns());
            Ok(())
        };
        match paired_timed(&clock, timing, || run(&a), || run(&b)) {
            Ok(p) => p,
            Err(never) => match never {},
        }
    }

    #[test]
    fn ratios_and_medians_are_of_single_runs() {
        let p = compare(&Timing::default(), || 3_000, || 1_000);
        assert_eq!((p.ratio_median, p.quartiles, p.a_median, p.b_median), (3.0, (3.0, 3.0), 3_000.0, 1_000.0));
        assert_eq!(p.pairs, 25);
    }

    #[test]
    fn the_budget_ends_long_comparisons_after_five_pairs() {
        assert_eq!(compare(&Timing::default(), || 40_000_000, || 20_000_000).pairs, 5);
    }

    #[test]
    fn a_disturbance_moves_neither_median() {
        let turn = Cell::new(0);
        let disturbed = || {
            turn.set(turn.get() + 1);
            if turn.get() % 5 == 0 { 900_000 } else { 100_000 }
        };
        let p = compare(&Timing::default(), disturbed, || 50_000);
        assert_eq!((p.ratio_median, p.quartiles.0), (2.0, 2.0));
    }

    #[test]
    fn a_clock_that_stands_still_ends() {
        let p = compare(&Timing { pairs: 6, ..Timing::default() }, || 0, || 0);
        assert_eq!((p.ratio_median, p.pairs), (1.0, 6));
    }

    #[test]
    fn the_interval_narrows_with_more_pairs() {
        let ramp = |n: usize| interval(&(0..n).map(|i| i as f64 / (n - 1) as f64).collect::<Vec<_>>());
        assert_eq!(ramp(5), (0.0, 1.0));
        let (low, high) = ramp(101);
        assert!(low > 0.38 && low < 0.42 && high < 0.62 && high > 0.58, "{low} {high}");
        assert_eq!(interval(&[]), (0.0, 0.0));
    }

    #[test]
    fn failures_come_through() {
        let failed = paired_timed(&Fake::default(), &Timing::default(), || Ok(()), || Err("kernel"));
        assert_eq!(failed, Err("kernel"));
    }

    #[test]
    fn the_machines_clock_gives_finite_ratios() {
        let p = paired(|| (), || ());
        assert!(p.pairs >= 5 && p.ratio_median.is_finite() && p.a_median > 0.0 && p.b_median > 0.0, "{p:?}");
    }
}
