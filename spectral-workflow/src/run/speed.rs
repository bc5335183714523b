//! How the final network compares with the dense one in time.

use crate::Result;
use crate::report::{Pace, Speed, TimeRatio};
use spectral_core::{BATCH_CLASSES, Model, Seed};
use spectral_sparse::measure::{self, Timing};
use std::collections::BTreeMap;
use std::time::Duration;

/// Each with sessions of its own: where their memory happens to lie is part of what varies between two runs. The
/// smallest and the largest of six medians enclose the true one with a probability of 1 - 2 / 2^6, 97 %.
const ROUNDS: usize = 6;

/// Measures the two in turns at every batch class.
pub(super) fn compare(dense: &Model, last: &Model) -> Result<BTreeMap<usize, TimeRatio>> {
    let timing = Timing { warmup: Duration::from_millis(8), budget: Duration::from_millis(40), ..Timing::default() };
    let timing = Timing { pairs: 200, ..timing };
    let mut ratios: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        for batch in BATCH_CLASSES {
            let paired = measure::paired_latency(last, dense, batch, &timing, Seed(round as u64))?;
            ratios.entry(batch).or_default().push(paired.ratio_median);
        }
    }
    Ok(ratios.into_iter().map(|(batch, of_rounds)| (batch, ratio(of_rounds))).collect())
}

/// The median of the rounds, between the smallest and the largest.
fn ratio(mut rounds: Vec<f64>) -> TimeRatio {
    rounds.sort_unstable_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (rounds.first(), rounds.last()) else {
        return TimeRatio { ratio: f64::NAN, interval: [f64::NAN; 2] };
    };
    let middle = rounds.len() / 2;
    let median = if rounds.len() % 2 == 1 { rounds[middle] } else { 0.5 * (rounds[middle - 1] + rounds[middle]) };
    TimeRatio { ratio: median, interval: [low, high] }
}

/// Faster means: at one batch size at least, and slower at none.
pub(super) fn judge(batches: BTreeMap<usize, TimeRatio>) -> Speed {
    let any = |pace| batches.values().any(|t| t.pace() == pace);
    let reason = match (any(Pace::Faster), any(Pace::Slower)) {
        (_, true) => Some("layers stay dense where no kernel was faster by 10 %; see `layers` for each"),
        (false, false) => Some("no difference was measured; layers stay dense where no kernel was faster by 10 %"),
        (true, false) => None,
    };
    let ratio = batches.values().next_back().map_or(f64::NAN, |t| t.ratio);
    Speed { ok: reason.is_none(), ratio, reason: reason.map(Into::into), batches }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faster_is_what_the_whole_interval_says() {
        let faster = || vec![0.5, 0.52, 0.48, 0.51, 0.49, 0.6];
        let level = || vec![0.97, 1.01, 0.99, 0.9, 1.0, 0.98];
        let slower = || vec![1.2, 1.3, 1.28, 1.26, 1.29, 1.27];
        assert_eq!(ratio(faster()), TimeRatio { ratio: 0.505, interval: [0.48, 0.6] });
        for (one, many, ok) in [
            (faster(), faster(), true),
            (level(), faster(), true),
            (faster(), level(), true),
            (level(), level(), false),
            (slower(), faster(), false),
            (faster(), slower(), false),
        ] {
            let speed = judge([(1, ratio(one)), (128, ratio(many.clone()))].into());
            assert_eq!((speed.ok, speed.reason.is_none()), (ok, ok), "{speed:?}");
            assert_eq!(speed.ratio, ratio(many).ratio);
        }
        assert!(!judge(BTreeMap::new()).ok);
    }
}
