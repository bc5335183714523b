//! Whether the chain held: smaller, faster, equal, as good.

use crate::report::{Check, Equality, Quality, Report, Speed, Stage, Verdict};
use spectral_core::Proof;

/// Judges the final model against the dense one.
pub(super) fn judge(stages: &[Stage], proofs: &[Proof], faster: Speed, as_good: Quality) -> Verdict {
    let find = |name: &str| stages.iter().find(|s| s.name == name);
    let (Some(dense), Some(last)) = (find("dense"), find("sparse")) else { return Verdict::default() };
    let ratio = last.file_bytes as f64 / dense.file_bytes as f64;
    let ok = ratio < 1.0;
    let more = "prune more, or train with penalties that leave more zeros";
    let different = proofs.iter().find(|p| !p.equal);
    Verdict {
        smaller: Check { ok, ratio, stage: None, reason: (!ok).then(|| more.into()) },
        faster,
        equal: Equality { ok: different.is_none(), reason: different.map(difference) },
        as_good,
    }
}

/// Whether the artefact of a stage may be written: it is smaller than the dense model and proven equal.
pub(super) fn may_write(stages: &[Stage], proofs: &[Proof], stage: &str) -> bool {
    let find = |name: &str| stages.iter().find(|s| s.name == name);
    let smaller = matches!((find("dense"), find(stage)), (Some(d), Some(s)) if s.file_bytes < d.file_bytes);
    smaller && proofs.iter().any(|p| p.b == stage && p.equal)
}

/// What broke, in one sentence. "Not faster" is no failure: layers stay dense where sparse kernels do not win.
pub(super) fn failure(report: &Report) -> Option<String> {
    let mut missing: Vec<String> = report.proof.iter().filter(|p| !p.equal).map(difference).collect();
    let dense = report.stage("dense").map_or(0, |s| s.file_bytes);
    for stage in report.stages.iter().filter(|s| ["compact", "sparse"].contains(&s.name.as_str())) {
        if stage.file_bytes >= dense {
            let ratio = stage.file_bytes as f64 / dense as f64;
            missing.push(format!("`{}` is not smaller ({ratio:.3}x the dense file); prune more", stage.name));
        }
    }
    let missing = (!missing.is_empty()).then(|| format!("{}; that artefact was not written", missing.join("; ")));
    let broken: Vec<String> = missing.into_iter().chain(loss(&report.verdict.as_good)).collect();
    (!broken.is_empty()).then(|| broken.join("; "))
}

/// What was lost beyond the limit.
fn loss(quality: &Quality) -> Option<String> {
    let change = quality.change().filter(|_| !quality.ok)?;
    let (unit, scale) = quality.unit();
    let limit = scale * quality.limit;
    let reason = quality.reason.as_deref().unwrap_or_default();
    Some(format!("the fine-tuned network is not as good as the dense one: {change}, limit {limit} {unit}; {reason}"))
}

fn difference(p: &Proof) -> String {
    let found = difference_found(p);
    format!(
        "`{}` is not equal to `{}` ({found}, {} labels different, tolerance {:.0e})",
        p.b, p.a, p.labels_differ, p.tolerance
    )
}

/// How far apart two models are at most.
pub(crate) fn difference_found(p: &Proof) -> String {
    if p.max_rel_diff.is_finite() {
        format!("{:.1e} relative", p.max_rel_diff)
    } else {
        "outputs that are NaN or infinite".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    fn stage(name: &str, file_bytes: u64) -> Stage {
        Stage { name: name.into(), file_bytes, ..Stage::default() }
    }

    fn proof(equal: bool) -> Proof {
        Proof {
            a: "finetuned".into(),
            b: "sparse".into(),
            inputs: 1,
            max_abs_diff: 0.0,
            max_rel_diff: 0.0,
            labels_differ: 0,
            tolerance: 1e-5,
            equal,
            worst_input: 0,
        }
    }

    /// Smaller, faster, equal, as good; whether that is a failure; whether the artefact is written.
    #[test]
    fn each_link_is_judged() {
        for (bytes, faster, equal, as_good, fails, written) in [
            (50, true, true, true, false, true),
            (100, true, true, true, true, false),
            (50, false, true, true, false, true),
            (50, true, false, true, true, false),
            (50, true, true, false, true, true),
        ] {
            let mut report = example::digits();
            report.proof = vec![proof(equal)];
            report.stages = vec![stage("dense", 100), stage("sparse", bytes)];
            let (speed, quality) = (report.verdict.faster.clone(), report.verdict.as_good.clone());
            let (speed, quality) = (Speed { ok: faster, ..speed }, Quality { ok: as_good, ..quality });
            report.verdict = judge(&report.stages, &report.proof, speed, quality);
            let verdict = &report.verdict;
            let links = [verdict.smaller.ok, verdict.faster.ok, verdict.equal.ok, verdict.as_good.ok];
            assert_eq!(links, [bytes < 100, faster, equal, as_good]);
            assert_eq!(failure(&report).is_some(), fails, "{:?}", failure(&report));
            assert_eq!(may_write(&report.stages, &report.proof, "sparse"), written);
        }
    }

    #[test]
    fn what_was_lost_is_named_with_the_limit() {
        let text = failure(&example::refused()).unwrap_or_default();
        assert!(text.contains("not as good as the dense one: 86.11 % -> 9.17 %, limit 2 points; prune less"), "{text}");
    }
}
