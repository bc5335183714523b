//! Whether the chain held: smaller, faster, equal.

use crate::report::{Check, Equality, Stage, Verdict};
use spectral_core::Proof;

/// The batch class that "faster" is judged at.
const BATCH: usize = 128;

/// Less than 10 % is within what two measurements of one model differ by.
const FASTER: f64 = 0.9;

/// Judges the final model against the dense one.
pub(super) fn judge(stages: &[Stage], proofs: &[Proof]) -> Verdict {
    let find = |name: &str| stages.iter().find(|s| s.name == name);
    let (Some(dense), Some(last)) = (find("dense"), find("sparse")) else { return Verdict::default() };
    let size = last.file_bytes as f64 / dense.file_bytes as f64;
    let p50 = |s: &Stage| s.latency_us.get(&BATCH).map_or(f64::NAN, |l| l.p50);
    let time = p50(last) / p50(dense);
    let check = |ok: bool, ratio, reason: &str| Check { ok, ratio, stage: None, reason: (!ok).then(|| reason.into()) };
    let different = proofs.iter().find(|p| !p.equal);
    Verdict {
        smaller: check(size < 1.0, size, "prune more, or train with penalties that leave more zeros"),
        faster: check(time <= FASTER, time, "not faster by 10 %; layers stay dense where no kernel was faster"),
        equal: Equality { ok: different.is_none(), reason: different.map(difference) },
    }
}

/// Whether the artefact of a stage may be written: it is smaller than the dense model and proven equal.
pub(super) fn may_write(stages: &[Stage], proofs: &[Proof], stage: &str) -> bool {
    let find = |name: &str| stages.iter().find(|s| s.name == name);
    let smaller = matches!((find("dense"), find(stage)), (Some(d), Some(s)) if s.file_bytes < d.file_bytes);
    smaller && proofs.iter().any(|p| p.b == stage && p.equal)
}

/// What broke, in one sentence. "Not faster" is no failure: layers stay dense where sparse kernels do not win.
pub(super) fn failure(stages: &[Stage], proofs: &[Proof]) -> Option<String> {
    let mut broken = Vec::new();
    broken.extend(proofs.iter().filter(|p| !p.equal).map(difference));
    let dense = stages.iter().find(|s| s.name == "dense").map_or(0, |s| s.file_bytes);
    for stage in stages.iter().filter(|s| ["compact", "sparse"].contains(&s.name.as_str())) {
        if stage.file_bytes >= dense {
            let ratio = stage.file_bytes as f64 / dense as f64;
            broken.push(format!("`{}` is not smaller ({ratio:.3}x the dense file); prune more", stage.name));
        }
    }
    (!broken.is_empty()).then(|| format!("{}; that artefact was not written", broken.join("; ")))
}

fn difference(p: &Proof) -> String {
    format!(
        "`{}` is not equal to `{}` ({:.1e} relative, {} labels different, tolerance {:.0e})",
        p.b, p.a, p.max_rel_diff, p.labels_differ, p.tolerance
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Latency;

    fn stage(name: &str, bytes: u64, p50: f64) -> Stage {
        Stage {
            name: name.into(),
            file_bytes: bytes,
            latency_us: [(BATCH, Latency { p50, p95: p50 })].into(),
            ..Stage::default()
        }
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

    /// Smaller, faster, equal, and whether that is a failure.
    #[test]
    fn each_link_is_judged() {
        for (bytes, p50, equal, want, fails) in [
            (50, 5.0, true, [true, true, true], false),
            (100, 5.0, true, [false, true, true], true),
            (50, 9.5, true, [true, false, true], false),
            (50, 5.0, false, [true, true, false], true),
        ] {
            let proofs = [proof(equal)];
            let stages = [stage("dense", 100, 10.0), stage("sparse", bytes, p50)];
            let verdict = judge(&stages, &proofs);
            assert_eq!([verdict.smaller.ok, verdict.faster.ok, verdict.equal.ok], want);
            assert_eq!(failure(&stages, &proofs).is_some(), fails);
            assert_eq!(may_write(&stages, &proofs, "sparse"), !fails);
        }
    }
}
