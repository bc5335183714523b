//! Reports for tests: a realistic one, one whose every check failed, and degenerate ones.

use super::{
    Check, Curve, Dataset, Equality, FileTable, Latency, LayerRow, Machine, PruneStep, Quality, Report, Spectrum,
    Speed, Stage, StrategyStep, SweepPoint, TensorRow, TimeRatio, Verdict, WeightHistogram,
};
use spectral_core::{Choice, EpochRecord, Kernel, Metrics, Proof, Seed, Table};
use spectral_sparse::TrainedLayer;
use std::collections::BTreeMap;

const RECIPE: &str = r#"name = "digits"
seed = 7

[data]
set = "digits"
validation = 0.1

[model]
layers = [
  { kind = "spectral", units = 300, activation = "relu" },
  { kind = "spectral", units = 100, activation = "relu" },
  { kind = "dense", units = 10 },
]

[train]
optimiser = "adam"
rate = 0.003
epochs = 24
batch = 50

[prune]
criterion = "eigenvalue"
granularity = "unit"
scope = "global"
amount = 0.85

[finetune]
epochs = 12
"#;

/// What a run on the digits looks like.
pub(crate) fn digits() -> Report {
    let dataset = Dataset { name: "digits".into(), train: 1437, test: 360 };
    let machine = Machine {
        cpu: "Intel(R) Xeon(R) Platinum 8481C".into(),
        threads: 2,
        simd: "avx512".into(),
        backend: "cpu".into(),
        instead: None,
    };
    let names = [("hidden1", 0.34), ("hidden2", 0.42)];
    Report {
        stages: stages(),
        layers: layers(),
        verdict: Verdict {
            smaller: Check { ok: true, ratio: 12_084.0 / 207_130.0, stage: Some("compact".into()), reason: None },
            faster: Speed {
                ok: true,
                ratio: 18.6 / 61.4,
                batches: [(1, time(0.99, 0.96, 1.03)), (128, time(18.6 / 61.4, 0.28, 0.33))].into(),
                reason: None,
            },
            equal: Equality { ok: true, reason: None },
            as_good: Quality {
                ok: true,
                drop: 0.9778 - 0.9694,
                limit: 0.02,
                metric: "accuracy".into(),
                before: 0.9778,
                after: 0.9694,
                interval: [-0.002, 0.019],
                reason: None,
            },
        },
        warnings: vec!["layer `hidden2` keeps 17 of 100 units, and this is an example of a warning".into()],
        proof: vec![proof("compact", 3.1e-7, true), proof("sparse", 4.8e-7, true)],
        pruning: vec![
            PruneStep { parent: "5c1e0b7a90d24f3388aa61c7de42b019".into(), ..step(1, 220, 180) },
            PruneStep { parent: "91f7d2043bce4a5f8e0c33a1b7d5e862".into(), ..step(2, 120, 60) },
            PruneStep {
                criterion: "magnitude".into(),
                granularity: "weight".into(),
                parent: "d07be61f52c84e9ab1340c6d9f7a2e55".into(),
                ..step(3, 1_444, 2_279)
            },
        ],
        strategies: vec![StrategyStep {
            step: 1,
            name: "metric_based".into(),
            summary: "removed 30 % of the units".into(),
            parent: "2b7d5c1e0b7a90d24f3388aa61c7de42".into(),
        }],
        tables: vec![results()],
        curves: vec![
            curve("train", 24, (2.1, 0.35, 0.42), 51_010),
            Curve { layers: trained(), ..curve("finetune", 12, (0.62, 0.85, 0.5), 7_538) },
        ],
        spectra: names.iter().zip([(300, 43), (100, 17)]).map(|((n, s), units)| spectrum(n, units, *s)).collect(),
        weights: names
            .iter()
            .zip([(19_200, 1_308), (30_000, 731)])
            .map(|((n, _), counts)| histogram(n, counts))
            .collect(),
        sweep: sweep(),
        files: files(),
        recipe_text: Some(RECIPE.into()),
        seconds: Some(38.4),
        ..Report::new("digits", 7, dataset, machine)
    }
}

fn time(ratio: f64, low: f64, high: f64) -> TimeRatio {
    TimeRatio { ratio, interval: [low, high] }
}

fn results() -> Table {
    let mut table = Table::new("Accuracy by step", ["units removed, %", "accuracy, %", "within the limit"]);
    for (share, accuracy) in [(0.0, 97.8), (10.0, 97.6), (20.0, 97.0), (30.0, 96.1), (40.0, 91.2)] {
        table.push([share.into(), accuracy.into(), if accuracy > 95.0 { "yes" } else { "no" }.into()]);
    }
    table.plotted(0, [1])
}

/// A run in which every link failed, with text that needs escaping.
pub(crate) fn refused() -> Report {
    let mut report = digits();
    report.recipe = "a <b> & \"c\"".into();
    report.recipe_text = Some("name = \"<script>alert(1)</script>\"".into());
    report.stages.truncate(3);
    report.layers[0].name = "</td>&amp;".into();
    report.curves[0].phase = "<train>".into();
    let why = |text: &str| Some(text.to_string());
    report.verdict = Verdict {
        smaller: Check {
            ratio: 1.02,
            reason: why("the compact file is not smaller than the dense one"),
            ..Check::default()
        },
        faster: Speed {
            ratio: 1.0,
            batches: [(1, time(1.28, 1.2, 1.31)), (128, time(1.0, 0.97, 1.02))].into(),
            reason: why("no kernel won by 10 %, every layer stays dense"),
            ..Speed::default()
        },
        equal: Equality { ok: false, reason: why("compact differs from finetuned") },
        as_good: Quality {
            drop: 0.7694,
            limit: 0.02,
            metric: "accuracy".into(),
            before: 0.8611,
            after: 0.0917,
            interval: [0.72, 0.81],
            reason: why("prune less"),
            ..Quality::default()
        },
    };
    for stage in &mut report.stages {
        stage.units = vec![64, 300, 100, 10];
        stage.nonzeros = 51_010;
    }
    report.proof = vec![proof("compact", 0.0123, false)];
    report
}

/// Nothing but the required keys.
pub(crate) fn empty() -> Report {
    Report::new("empty", 0, Dataset::default(), Machine::default())
}

/// Reports whose data are as poor as data can be, with a name each.
pub(crate) fn degenerate() -> Vec<(&'static str, Report)> {
    let with = |change: &dyn Fn(&mut Report)| {
        let mut report = digits();
        change(&mut report);
        report
    };
    let spectrum = |before: &[f64], after: &[f64]| Spectrum {
        layer: "l".into(),
        before: before.into(),
        after: after.into(),
        removed: vec![7, 0],
    };
    vec![
        ("empty", empty()),
        ("refused", refused()),
        ("one epoch", with(&|r| r.curves = vec![curve("train", 1, (1.0, 0.5, 0.5), 1)])),
        ("no epoch", with(&|r| r.curves = vec![Curve { phase: "train".into(), ..Curve::default() }])),
        (
            "infinite loss",
            with(&|r| {
                for (i, epoch) in r.curves[0].epochs.iter_mut().enumerate() {
                    epoch.train.loss = [f64::NAN, f64::INFINITY, 0.0, 1e300, 1e-300][i % 5];
                    epoch.train.accuracy = Some(f64::NAN);
                    epoch.validation = None;
                }
            }),
        ),
        ("zero stages", with(&|r| r.stages = vec![Stage::default(), Stage::default()])),
        (
            "equal stages",
            with(&|r| {
                let first = r.stages[0].clone();
                r.stages.iter_mut().for_each(|s| *s = Stage { name: s.name.clone(), ..first.clone() });
            }),
        ),
        (
            "not finite",
            with(&|r| {
                for s in &mut r.stages {
                    (s.accuracy, s.loss) = (Some(f64::NAN), f64::INFINITY);
                    s.latency_us.insert(1, Latency { p50: f64::NAN, p95: f64::INFINITY });
                }
                r.verdict.smaller.ratio = f64::NAN;
                r.verdict.faster.ratio = 0.0;
                r.verdict.faster.batches.insert(1, time(f64::NAN, f64::NAN, f64::INFINITY));
                let bad = &mut r.verdict.as_good;
                (bad.drop, bad.before, bad.interval) = (f64::NAN, f64::INFINITY, [f64::NAN, 0.0]);
                r.proof[0].max_rel_diff = f64::INFINITY;
                r.seconds = Some(f64::NAN);
            }),
        ),
        (
            "values",
            with(&|r| {
                r.stages.iter_mut().for_each(|s| s.accuracy = None);
                r.curves.iter_mut().flat_map(|c| &mut c.epochs).for_each(|e| {
                    e.train.accuracy = None;
                    e.validation.iter_mut().for_each(|m| m.accuracy = None);
                });
                r.sweep.clear();
            }),
        ),
        ("one unit", with(&|r| r.stages.iter_mut().for_each(|s| s.units = vec![1]))),
        ("no units", with(&|r| r.stages.iter_mut().for_each(|s| s.units = vec![0, 0, 0]))),
        ("empty spectrum", with(&|r| r.spectra = vec![spectrum(&[], &[])])),
        ("flat spectrum", with(&|r| r.spectra = vec![spectrum(&[0.0; 3], &[0.0; 3])])),
        ("odd spectrum", with(&|r| r.spectra = vec![spectrum(&[f64::NAN, 1.0], &[1.0])])),
        ("long spectrum", with(&|r| r.spectra = vec![spectrum(&[0.5; 5000], &[0.25; 5000])])),
        ("flat histogram", with(&|r| r.weights = vec![WeightHistogram::of("l", &[0.0; 9], &[])])),
        (
            "empty histogram",
            with(&|r| r.weights = vec![WeightHistogram::default(), WeightHistogram::of("l", &[], &[])]),
        ),
        (
            "odd histogram",
            with(&|r| {
                r.weights[0].edges = vec![1.0, 1.0, f64::NAN];
                r.weights[1].before.clear();
            }),
        ),
        ("one point", with(&|r| r.sweep.truncate(1))),
        ("odd sweep", with(&|r| r.sweep = vec![SweepPoint { amount: f64::NAN, ..SweepPoint::default() }; 2])),
        (
            "huge counts",
            with(&|r| {
                r.dataset.test = usize::MAX;
                r.layers.iter_mut().for_each(|l| (l.shape, l.nonzeros) = (vec![usize::MAX; 2], usize::MAX));
                for stage in &mut r.stages {
                    (stage.units, stage.nonzeros, stage.parameters) = (vec![usize::MAX; 4], usize::MAX, usize::MAX);
                    (stage.file_bytes, stage.flops_per_sample) = (u64::MAX, u64::MAX);
                }
                r.weights.iter_mut().for_each(|w| {
                    w.before.fill(u64::MAX);
                    w.after.fill(u64::MAX);
                });
                r.pruning.iter_mut().for_each(|p| (p.removed, p.kept) = (usize::MAX, usize::MAX));
                r.proof.iter_mut().for_each(|p| p.labels_differ = usize::MAX);
                r.files.iter_mut().flat_map(|f| &mut f.tensors).for_each(|t| t.bytes = u64::MAX);
            }),
        ),
        ("no tensors", with(&|r| r.files.iter_mut().for_each(|f| f.tensors.clear()))),
    ]
}

fn stages() -> Vec<Stage> {
    let stage = |name: &str, accuracy, loss, (parameters, nonzeros): (usize, usize), units: [usize; 4], file_bytes| {
        let flops = 2 * units.windows(2).map(|w| w[0] * w[1]).sum::<usize>() as u64;
        Stage {
            name: name.into(),
            accuracy: Some(accuracy),
            loss,
            parameters,
            nonzeros,
            units: units.into(),
            flops_per_sample: flops,
            file_bytes,
            latency_us: BTreeMap::new(),
        }
    };
    let (whole, small) = ([64, 300, 100, 10], [64, 43, 17, 10]);
    let mut stages = vec![
        stage("dense", 0.9778, 0.081, (51_010, 51_010), whole, 207_130),
        stage("pruned", 0.8806, 0.437, (51_010, 7_538), small, 41_800),
        stage("finetuned", 0.9694, 0.112, (51_010, 7_538), small, 42_310),
        stage("compact", 0.9694, 0.112, (3_723, 2_279), small, 12_084),
        stage("sparse", 0.9694, 0.112, (3_723, 2_279), small, 14_641),
    ];
    let times = [(4.2, 61.4), (4.22, 61.1), (4.19, 61.6), (1.42, 18.9), (1.31, 18.6)];
    for (i, (stage, (one, many))) in stages.iter_mut().zip(times).enumerate() {
        let spread = 1.08 + 0.05 * i as f64;
        stage.latency_us.insert(1, Latency { p50: one, p95: one * (spread + 0.07) });
        stage.latency_us.insert(128, Latency { p50: many, p95: many * spread });
    }
    stages
}

fn layers() -> Vec<LayerRow> {
    let layer = |name: &str, kind: &str, shape: [usize; 2], nonzeros, one: (Kernel, &str), many: (Kernel, &str)| {
        let choice = |(kernel, reason): (Kernel, &str)| Choice { kernel, reason: reason.into() };
        let plan = BTreeMap::from([(1, choice(one)), (128, choice(many))]);
        LayerRow { name: name.into(), kind: kind.into(), shape: shape.into(), nonzeros, plan }
    };
    let (dense, csr) = (Kernel::Dense, Kernel::Csr);
    vec![
        layer(
            "hidden1",
            "dense",
            [43, 64],
            1_308,
            (csr, "csr 0.31 µs against dense 0.42 µs: 26 % faster"),
            (dense, "csr won by 4 %, less than the 10 % it takes"),
        ),
        layer("hidden2", "dense", [17, 43], 731, (dense, "every weight is there"), (dense, "every weight is there")),
        layer("output", "dense", [10, 17], 170, (dense, "every weight is there"), (dense, "every weight is there")),
    ]
}

fn proof(b: &str, max_rel_diff: f64, equal: bool) -> Proof {
    Proof {
        a: "finetuned".into(),
        b: b.into(),
        inputs: 1360,
        max_abs_diff: max_rel_diff * 12.4,
        max_rel_diff,
        labels_differ: if equal { 0 } else { 3 },
        tolerance: 1e-5,
        equal,
        worst_input: 812,
    }
}

fn step(step: usize, removed: usize, kept: usize) -> PruneStep {
    let word = |w: &str| w.to_string();
    PruneStep {
        step,
        criterion: word("eigenvalue"),
        granularity: word("unit"),
        scope: word("global"),
        removed,
        kept,
        parent: String::new(),
    }
}

/// Loss falling from `start` by a factor a few epochs long, accuracy rising with it.
fn curve(phase: &str, epochs: usize, (start, decay, noise): (f64, f64, f64), kept: usize) -> Curve {
    let mut stream = Seed(1).stream(phase, 0);
    let record = |i: usize| {
        let mut wobble = || 1.0 + noise * 0.16 * (stream.uniform(0.0, 1.0) - 0.5);
        let loss = start * (-decay * i as f64).exp() + 0.03;
        let metrics = |loss: f64, samples| Metrics { loss, accuracy: Some(1.0 - loss.min(2.3) * 0.35), samples };
        EpochRecord {
            epoch: i + 1,
            train: metrics(loss * wobble(), 1293),
            validation: Some(metrics((loss * 1.04 + 0.05) * wobble(), 144)),
            penalty: 0.0,
            rate: 0.003,
            kept,
            seconds: 0.4,
        }
    };
    let (epochs, best_epoch) = ((0..epochs).map(record).collect(), Some(epochs.max(3) - 2));
    Curve { phase: phase.into(), epochs, best_epoch, layers: Vec::new() }
}

fn trained() -> Vec<TrainedLayer> {
    let layer = |name: &str, shape, kept, since, reason: &str| TrainedLayer {
        name: name.into(),
        shape,
        kept,
        since,
        reason: reason.into(),
    };
    vec![
        layer(
            "hidden",
            [100, 300],
            4_500,
            Some(29),
            "sparse: 15 % of its weights are left, up to 30 % train faster stored",
        ),
        layer("out", [10, 100], 430, None, "dense: 43 % of its weights are left, above 30 %"),
    ]
}

fn spectrum(layer: &str, (units, kept): (usize, usize), spread: f64) -> Spectrum {
    let mut stream = Seed(2).stream(layer, 0);
    let before: Vec<f64> =
        (0..units).map(|_| spread * stream.uniform(0.0, 1.0).powi(4) * 5.0 + stream.uniform(-0.12, 0.12)).collect();
    let mut order: Vec<usize> = (0..units).collect();
    order.sort_by(|&a, &b| before[b].abs().total_cmp(&before[a].abs()));
    let mut removed = order.split_off(kept);
    removed.sort_unstable();
    let tuned = |u: usize| if removed.contains(&u) { 0.0 } else { before[u] * stream.uniform(0.94, 1.22) };
    let after = (0..units).map(tuned).collect();
    Spectrum { layer: layer.into(), before, after, removed }
}

fn histogram(layer: &str, (old, new): (usize, usize)) -> WeightHistogram {
    let mut stream = Seed(3).stream(layer, 0);
    let mut normal = |scale: f64| scale * ((0..12).map(|_| stream.uniform(0.0, 1.0)).sum::<f64>() - 6.0);
    let before: Vec<f64> = (0..old).map(|i| normal(if i % 5 == 0 { 0.16 } else { 0.05 })).collect();
    let after: Vec<f64> = (0..new).map(|_| normal(0.17)).collect();
    WeightHistogram::of(layer, &before, &after)
}

fn sweep() -> Vec<SweepPoint> {
    let at = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98];
    let pruned = [0.9778, 0.9778, 0.9750, 0.9722, 0.9639, 0.9472, 0.9139, 0.8806, 0.7611, 0.4917, 0.2333];
    let tuned = [0.9778, 0.9778, 0.9806, 0.9778, 0.9778, 0.9750, 0.9722, 0.9694, 0.9583, 0.9139, 0.7889];
    let point = |i: usize| SweepPoint {
        amount: at[i],
        accuracy_pruned: pruned[i],
        accuracy_finetuned: (i > 0).then_some(tuned[i]),
    };
    (0..at.len()).map(point).collect()
}

fn files() -> Vec<FileTable> {
    let row = |name: &str, encoding: &str, bytes, dense_bytes| TensorRow {
        name: name.into(),
        encoding: encoding.into(),
        bytes,
        dense_bytes,
    };
    let tensors = vec![
        row("hidden1.weight", "bitmask", 5_576, 11_008),
        row("hidden1.bias", "dense", 172, 172),
        row("hidden2.weight", "dense", 2_924, 2_924),
        row("hidden2.bias", "dense", 68, 68),
        row("output.weight", "dense", 680, 680),
        row("output.bias", "dense", 40, 40),
    ];
    let mut sparse = tensors.clone();
    sparse[0] = row("hidden1.weight", "csr-u16", 8_024, 11_008);
    vec![
        FileTable { file: "compact.spectral".into(), bytes: 12_084, tensors },
        FileTable { file: "sparse.spectral".into(), bytes: 14_641, tensors: sparse },
    ]
}
