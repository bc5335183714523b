//! What the table and the page both conclude from a report.

use super::format;
use super::schema::{Check, Curve, Report, Stage};
use spectral_sparse::TrainedLayer;

/// A piece of the headline: the figure, and what it is a figure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    pub(crate) strong: String,
    pub(crate) rest: String,
}

impl Phrase {
    fn new(strong: impl Into<String>, rest: impl Into<String>) -> Self {
        Self { strong: strong.into(), rest: rest.into() }
    }
}

impl Report {
    /// The model everything is compared with.
    pub(crate) fn baseline(&self) -> Option<&Stage> {
        self.stage("dense").or(self.stages.first())
    }

    /// The model a check is about.
    pub(crate) fn judged(&self, check: &Check) -> Option<&Stage> {
        check.stage.as_deref().and_then(|name| self.stage(name)).or(self.stages.last())
    }

    /// The result in one sentence, in pieces.
    pub(crate) fn headline(&self) -> Vec<Phrase> {
        let mut phrases = Vec::new();
        if let (Some(dense), Some(last)) = (self.baseline(), self.stages.last()) {
            let units = removed(hidden(dense), hidden(last));
            let weights = removed(dense.nonzeros, last.nonzeros);
            if let Some(share) = units {
                phrases.push(Phrase::new(format::percent(share, 0), "of the hidden units removed"));
            } else if let Some(share) = weights {
                phrases.push(Phrase::new(format::percent(share, 0), "of the weights removed"));
            }
        }
        let verdict = &self.verdict;
        phrases.push(match verdict.smaller.ok {
            true => Phrase::new(format!("{}x", format::ratio(verdict.smaller.ratio)), "the file"),
            false => Phrase::new("not smaller", ""),
        });
        phrases.push(match verdict.faster.ok {
            true => Phrase::new(format!("{}x", format::speedup(verdict.faster.ratio)), "faster"),
            false => Phrase::new("no faster", ""),
        });
        phrases.push(match verdict.equal.ok {
            true => Phrase::new("proven", "equal"),
            false => Phrase::new("not equal", ""),
        });
        phrases
    }

    /// For every phase in which layers were trained on stored weights: which and why, and why others were not.
    pub(crate) fn sparse_training(&self) -> Vec<String> {
        let stored = |curve: &&Curve| curve.layers.iter().any(|l| l.since.is_some());
        let layer = |l: &TrainedLayer| match l.since {
            Some(step) if step > 0 => format!("{} from step {step} {}", l.name, l.reason),
            _ => format!("{} {}", l.name, l.reason),
        };
        let phase = |c: &Curve| format!("{}: {}", c.phase, c.layers.iter().map(layer).collect::<Vec<_>>().join("; "));
        self.curves.iter().filter(stored).map(phase).collect()
    }

    /// `218 kB -> 12.1 kB`, and why not.
    pub(crate) fn size_detail(&self) -> Vec<String> {
        let check = &self.verdict.smaller;
        let sizes = self.baseline().zip(self.judged(check)).filter(|(a, b)| a.file_bytes > 0 && b.file_bytes > 0);
        let sizes = sizes.map(|(a, b)| format!("{} -> {}", format::bytes(a.file_bytes), format::bytes(b.file_bytes)));
        sizes.into_iter().chain(check.reason.clone()).collect()
    }

    /// `batch 128: 41.3 µs -> 8.25 µs`, largest batch first, and why not.
    pub(crate) fn speed_detail(&self) -> Vec<String> {
        let check = &self.verdict.faster;
        let mut details = Vec::new();
        if let Some((old, new)) = self.baseline().zip(self.judged(check)) {
            let both =
                old.latency_us.iter().rev().filter_map(|(batch, a)| Some((batch, a, new.latency_us.get(batch)?)));
            details.extend(
                both.filter(|(_, a, b)| a.p50 > 0.0 && b.p50 > 0.0).map(|(batch, a, b)| {
                    format!("batch {batch}: {} -> {}", format::micros(a.p50), format::micros(b.p50))
                }),
            );
        }
        details.extend(check.reason.clone());
        details
    }

    /// What the proofs found, and why there is no equality.
    pub(crate) fn proof_detail(&self) -> Vec<String> {
        let mut details = Vec::new();
        if let Some(worst) = self.proof.iter().map(|p| p.max_rel_diff).reduce(f64::max) {
            let labels: usize = self.proof.iter().map(|p| p.labels_differ).sum();
            let inputs = self.proof.iter().map(|p| p.inputs).max().unwrap_or(0);
            let tolerance = self.proof.iter().map(|p| p.tolerance).fold(f64::INFINITY, f64::min);
            let (worst, tolerance) = (format::tiny(worst), format::tiny(tolerance));
            details.push(format!("largest relative difference {worst} (tolerance {tolerance})"));
            let labels = plural(labels, "label different", "labels different");
            details.push(format!("{labels} over {} inputs", format::count(inputs)));
        }
        details.extend(self.verdict.equal.reason.clone());
        details
    }
}

/// Units between the input and the output.
pub(crate) fn hidden(stage: &Stage) -> usize {
    stage.units.len().checked_sub(1).and_then(|last| stage.units.get(1..last)).unwrap_or(&[]).iter().sum()
}

/// The share of `before` that `after` lacks, if it is at least half a per cent.
fn removed(before: usize, after: usize) -> Option<f64> {
    let share = 1.0 - after as f64 / before.max(1) as f64;
    (before > 0 && share >= 0.005).then_some(share)
}

/// `1 label`, `2 labels`, `no labels`.
pub(crate) fn plural(n: usize, one: &str, many: &str) -> String {
    match n {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        n => format!("{} {many}", format::count(n)),
    }
}

#[cfg(test)]
mod tests {
    use crate::report::example;

    fn sentence(report: &crate::report::Report) -> String {
        let phrases = report.headline().into_iter().map(|p| format!("{} {}", p.strong, p.rest).trim().to_string());
        phrases.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn headlines_say_what_happened() {
        let digits = example::digits();
        assert_eq!(sentence(&digits), "85 % of the hidden units removed, 0.058x the file, 3.3x faster, proven equal");
        let mut weights = digits.clone();
        weights.stages.iter_mut().for_each(|s| s.units = vec![64, 300, 100, 10]);
        assert!(sentence(&weights).starts_with("96 % of the weights removed"), "{}", sentence(&weights));
        assert_eq!(sentence(&example::refused()), "not smaller, no faster, not equal");
        assert_eq!(sentence(&example::empty()), "not smaller, no faster, not equal");
    }

    #[test]
    fn details_give_the_figures_and_the_reason() {
        let digits = example::digits();
        assert_eq!(digits.size_detail(), ["207 kB -> 12.1 kB"]);
        assert_eq!(digits.speed_detail(), ["batch 128: 61.4 µs -> 18.6 µs", "batch 1: 4.20 µs -> 1.31 µs"]);
        assert_eq!(digits.proof_detail()[1], "no labels different over 1,360 inputs");
        assert_eq!(example::refused().size_detail()[1], "the compact file is not smaller than the dense one");
        assert!(example::empty().proof_detail().is_empty());
    }
}
