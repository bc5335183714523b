//! Whether the fine-tuned network is about as good as the dense one, and how sure the test set makes that.

use crate::recipe::Recipe;
use crate::report::{Quality, Stage};
use crate::{Failure, Result};
use spectral_core::{Model, Samples, Targets};
use spectral_train::{Evaluator, Logits};

/// The most that accuracy may fall, as a difference of shares: 2 points.
const POINTS: f64 = 0.02;

/// The most that another metric may get worse, as a share of its value before.
const SHARE: f64 = 0.05;

/// Standard deviations on either side of the mean that hold 95 % of a normal distribution.
const DEVIATIONS: f64 = 1.96;

/// Compares two stages, measured on `test`, with what the recipe allows.
pub(super) fn compare(
    recipe: &Recipe,
    (dense, before): (&Model, &Stage),
    (tuned, after): (&Model, &Stage),
    test: &Samples,
) -> Result<Quality> {
    let each = |model| Ok::<_, Failure>(of_each_sample(&Evaluator::default().logits(model, test)?, test.targets()));
    let (old, new) = (each(dense)?, each(tuned)?);
    let (metric, before, after, drop, interval) = match (before.accuracy, after.accuracy) {
        (Some(before), Some(after)) => ("accuracy", before, after, before - after, interval_of_shares(&old, &new)),
        _ => {
            // No change of a loss of zero is none, not a share of nothing.
            let share = |change: f64| if change == 0.0 { 0.0 } else { change / before.loss };
            let interval = interval_of_means(&old, &new).map(share);
            ("loss", before.loss, after.loss, share(after.loss - before.loss), interval)
        }
    };
    let usual = if metric == "accuracy" { POINTS } else { SHARE };
    let limit = recipe.verdict.max_drop.unwrap_or(usual);
    // Shares of a count are not exact; a drop right at the limit is allowed. A drop that is no number is not.
    let ok = drop <= limit + 1e-9;
    let reason = "prune less, fine-tune longer, or allow more with `verdict.max_drop`";
    let reason = (!ok).then(|| reason.to_string());
    Ok(Quality { ok, drop, limit, metric: metric.into(), before, after, interval, reason })
}

/// 1 for each sample with the right label and 0 for the others; where targets are values, the squared error.
fn of_each_sample(outputs: &Logits, targets: &Targets) -> Vec<f64> {
    let rows = outputs.values();
    match targets {
        Targets::Classes { labels, .. } => {
            let right = |(row, label): (spectral_core::ndarray::ArrayView1<'_, f64>, &u32)| {
                let own = row[*label as usize];
                // The first of equal outputs is the label.
                let ahead = |(i, v): (usize, &f64)| *v > own || (*v == own && i < *label as usize);
                f64::from(u8::from(own.is_finite() && !row.iter().enumerate().any(ahead)))
            };
            rows.rows().into_iter().zip(labels).map(right).collect()
        }
        Targets::Values(values) => {
            let error = |(y, t): (&f64, &f32)| (y - f64::from(*t)).powi(2);
            let mean = |(row, wanted): (spectral_core::ndarray::ArrayView1<'_, f64>, _)| {
                let wanted: spectral_core::ndarray::ArrayView1<'_, f32> = wanted;
                row.iter().zip(wanted).map(error).sum::<f64>() / row.len().max(1) as f64
            };
            rows.rows().into_iter().zip(values.rows()).map(mean).collect()
        }
    }
}

/// How much smaller the share of ones is in `new`: 95 % confidence interval for paired samples after Agresti & Min
/// (2005), who add half a sample to each of the four kinds of pairs. So no two samples that changed do not mean that
/// none ever would.
fn interval_of_shares(old: &[f64], new: &[f64]) -> [f64; 2] {
    let count = |from: f64, to: f64| old.iter().zip(new).filter(|(a, b)| (**a, **b) == (from, to)).count() as f64 + 0.5;
    let (lost, gained, n) = (count(1.0, 0.0), count(0.0, 1.0), old.len() as f64 + 2.0);
    let drop = (lost - gained) / n;
    let deviation = (lost + gained - (lost - gained).powi(2) / n).max(0.0).sqrt() / n;
    [drop - DEVIATIONS * deviation, drop + DEVIATIONS * deviation]
}

/// How much larger the mean of `new` is: 95 % confidence interval for paired samples, by the normal distribution.
fn interval_of_means(old: &[f64], new: &[f64]) -> [f64; 2] {
    let n = old.len() as f64;
    let differences = || new.iter().zip(old).map(|(b, a)| b - a);
    let mean = differences().sum::<f64>() / n;
    let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let deviation = (variance / n).sqrt();
    [mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(n: usize, ones: usize) -> Vec<f64> {
        (0..n).map(|i| f64::from(u8::from(i < ones))).collect()
    }

    #[test]
    fn the_interval_of_a_drop_narrows_with_the_test_set_and_is_never_empty() {
        let close = |got: [f64; 2], want: [f64; 2]| got.iter().zip(want).all(|(g, w)| (g - w).abs() < 5e-5);
        // 9 of 100 lost, none gained: (9.5 - 0.5) / 102 -+ 1.96 sqrt(10 - 81/102) / 102.
        let few = interval_of_shares(&ones(100, 98), &ones(100, 89));
        assert!(close(few, [0.029_93, 0.146_54]), "{few:?}");
        let many = interval_of_shares(&ones(10_000, 9_800), &ones(10_000, 8_900));
        assert!(many[1] - many[0] < 0.2 * (few[1] - few[0]), "{many:?}");
        let same = interval_of_shares(&ones(360, 350), &ones(360, 350));
        assert!(close(same, [-0.005_41, 0.005_41]), "{same:?}");
    }

    #[test]
    fn the_interval_of_a_loss_is_that_of_paired_differences() {
        let old: Vec<f64> = (0..50).map(f64::from).collect();
        let new: Vec<f64> = old.iter().enumerate().map(|(i, v)| v + 1.0 + 0.1 * f64::from(i as u32 % 2)).collect();
        let [low, high] = interval_of_means(&old, &new);
        assert!(
            (0.5 * (low + high) - 1.05).abs() < 1e-9 && (high - low - 2.0 * 1.96 * 0.0505 / 50f64.sqrt()).abs() < 1e-4
        );
    }
}
