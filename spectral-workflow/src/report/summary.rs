//! What the table and the page both conclude from a report.

use super::format;
use super::schema::{Check, Curve, Pace, Quality, Report, Stage, TimeRatio};
use spectral_sparse::TrainedLayer;

/// A piece of the headline: the figure, and what it is a figure of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    pub(crate) strong: String,
    pub(crate) rest: String,
    /// Whether it says that something was not reached.
    pub(crate) missed: bool,
}

impl Phrase {
    fn new(strong: impl Into<String>, rest: impl Into<String>) -> Self {
        Self { strong: strong.into(), rest: rest.into(), missed: false }
    }

    fn missed(strong: impl Into<String>, rest: impl Into<String>) -> Self {
        Self { missed: true, ..Self::new(strong, rest) }
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
            false => Phrase::missed("not smaller", ""),
        });
        if verdict.faster.batches.is_empty() {
            phrases.push(Phrase::missed("no faster", ""));
        }
        phrases.extend(verdict.faster.batches.iter().rev().map(|(batch, time)| match time.pace() {
            Pace::Faster => {
                Phrase::new(format!("{}x", format::speedup(time.ratio)), format!("faster at batch {batch}"))
            }
            Pace::Level => Phrase::new("level", format!("at batch {batch}")),
            Pace::Slower => {
                Phrase::missed(format!("{}x", format::ratio(time.ratio)), format!("slower at batch {batch}"))
            }
        }));
        phrases.push(match verdict.equal.ok {
            true => Phrase::new("proven equal", "to the fine-tuned network"),
            false => Phrase::missed("not equal", "to the fine-tuned network"),
        });
        let change = verdict.as_good.change().map_or_else(String::new, |c| format!("({c})"));
        phrases.push(match verdict.as_good.ok {
            true => Phrase::new("as good", change),
            false => Phrase::missed("not as good", change),
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

    /// `0.30x at batch 128 (0.28x to 0.32x)`, largest batch first, and why not.
    pub(crate) fn speed_detail(&self) -> Vec<String> {
        let speed = &self.verdict.faster;
        let of = |(batch, time): (&usize, &TimeRatio)| {
            let [low, high] = time.interval.map(format::ratio);
            let figure = match time.pace() {
                Pace::Level => "level".into(),
                Pace::Faster | Pace::Slower => format!("{}x", format::ratio(time.ratio)),
            };
            format!("{figure} at batch {batch} ({low}x to {high}x)")
        };
        speed.batches.iter().rev().map(of).chain(speed.reason.clone()).collect()
    }

    /// `97.78 % -> 96.94 %`, the limit, how sure that is, and why not.
    pub(crate) fn quality_detail(&self) -> Vec<String> {
        let quality = &self.verdict.as_good;
        let Some(change) = quality.change() else { return quality.reason.clone().into_iter().collect() };
        let (unit, scale) = quality.unit();
        let amount = |v: f64| format::trimmed(scale * v, 2);
        let [low, high] = quality.interval;
        let limit = format!("limit {} {unit}", amount(quality.limit));
        let mut details = vec![change, limit];
        if low.is_finite() && high.is_finite() {
            details.push(format!("95 % interval of the drop: {} to {} {unit}", amount(low), amount(high)));
            if low <= quality.limit && quality.limit < high {
                details.push(format!("{} test samples are too few to be sure", format::count(self.dataset.test)));
            }
        }
        details.extend(quality.reason.clone());
        details
    }

    /// What the proofs compared and found, and why there is no equality.
    pub(crate) fn proof_detail(&self) -> Vec<String> {
        let mut details = Vec::new();
        if let Some(first) = self.proof.first() {
            let others: Vec<&str> = self.proof.iter().filter(|p| p.a == first.a).map(|p| &*p.b).collect();
            details.push(format!("{} to {}", others.join(" and "), first.a));
        }
        if let Some(worst) = self.proof.iter().map(|p| p.max_rel_diff).reduce(f64::max) {
            let labels = self.proof.iter().fold(0usize, |sum, p| sum.saturating_add(p.labels_differ));
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

impl Quality {
    /// `97.78 % -> 96.94 %`, or of a loss `loss 0.0312 -> 0.0318`; nothing where nothing was compared.
    pub(crate) fn change(&self) -> Option<String> {
        match self.metric.as_str() {
            "" => None,
            "accuracy" => Some(format!("{} -> {}", format::percent(self.before, 2), format::percent(self.after, 2))),
            name => Some(format!(
                "{name} {} -> {}",
                format::significant(self.before, 3),
                format::significant(self.after, 3)
            )),
        }
    }

    /// What a drop is counted in, and how many of these 1 is.
    pub(crate) fn unit(&self) -> (&'static str, f64) {
        if self.metric == "accuracy" { ("points", 100.0) } else { ("%", 100.0) }
    }
}

/// Units between the input and the output.
pub(crate) fn hidden(stage: &Stage) -> usize {
    stage
        .units
        .len()
        .checked_sub(1)
        .and_then(|last| stage.units.get(1..last))
        .unwrap_or(&[])
        .iter()
        .fold(0, |sum, n| sum.saturating_add(*n))
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
    use crate::report::{Quality, example};

    fn sentence(report: &crate::report::Report) -> String {
        let phrases = report.headline().into_iter().map(|p| format!("{} {}", p.strong, p.rest).trim().to_string());
        phrases.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn headlines_say_what_happened() {
        let mut digits = example::digits();
        let said = "85 % of the hidden units removed, 0.058x the file, 3.3x faster at batch 128, level at batch 1, proven \
                    equal to the fine-tuned network, as good (97.78 % -> 96.94 %)";
        assert_eq!(sentence(&digits), said);
        let mut weights = digits.clone();
        weights.stages.iter_mut().for_each(|s| s.units = vec![64, 300, 100, 10]);
        assert!(sentence(&weights).starts_with("96 % of the weights removed"), "{}", sentence(&weights));
        let missed = "not equal to the fine-tuned network, not as good";
        let slower = "level at batch 128, 1.28x slower at batch 1";
        assert_eq!(sentence(&example::refused()), format!("not smaller, {slower}, {missed} (86.11 % -> 9.17 %)"));
        assert_eq!(sentence(&example::empty()), format!("not smaller, no faster, {missed}"));
        assert!(example::refused().headline().iter().filter(|p| p.missed).count() == 4);
        digits.verdict.as_good =
            Quality { metric: "loss".into(), before: 0.03123, after: 0.03177, ..digits.verdict.as_good.clone() };
        assert!(sentence(&digits).ends_with("as good (loss 0.0312 -> 0.0318)"), "{}", sentence(&digits));
    }

    #[test]
    fn details_give_the_figures_and_the_reason() {
        let digits = example::digits();
        assert_eq!(digits.size_detail(), ["207 kB -> 12.1 kB"]);
        assert_eq!(digits.speed_detail(), ["0.30x at batch 128 (0.28x to 0.33x)", "level at batch 1 (0.96x to 1.03x)"]);
        assert_eq!(digits.proof_detail()[0], "compact and sparse to finetuned");
        assert_eq!(digits.proof_detail()[2], "no labels different over 1,360 inputs");
        let interval = "95 % interval of the drop: -0.2 to 1.9 points";
        assert_eq!(digits.quality_detail(), ["97.78 % -> 96.94 %", "limit 2 points", interval]);
        let mut unsure = digits.clone();
        unsure.verdict.as_good.interval[1] = 0.031;
        assert_eq!(unsure.quality_detail()[3], "360 test samples are too few to be sure");
        assert_eq!(example::refused().size_detail()[1], "the compact file is not smaller than the dense one");
        assert!(example::empty().proof_detail().is_empty());
    }
}
