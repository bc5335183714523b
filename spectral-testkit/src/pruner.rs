//! What core expects of a criterion.

use crate::{Failed, Report};
use spectral_core::{
    InputGram, InputMean, InputMeanAbs, Needs, Pruner, Result, Seed, SpectralFactors, Statistics, Stream, Target,
    Values, WeightGradient,
};

/// Checks all that core expects of a criterion, on dense and spectral targets, in f32 and f64, with every statistic of
/// core, and with random numbers for the statistics that the criterion adds:
///
/// * scores are finite (or infinite, which protects), all of them are written, and the same target gets the same
///   scores twice;
/// * pruning some weights does not change the scores of the others, unless the criterion says that its scores are
///   relative;
///
/// A criterion may refuse dense targets (if it needs eigenvalues), but not spectral ones.
///
/// # Errors
/// One of these checks failed; the error lists all failures.
pub fn conformance(criterion: &dyn Pruner) -> Result<Report, Failed> {
    let mut report = Report::new(format!("criterion {criterion:?}"));
    let mut scored = 0;
    for (rows, columns) in [(1, 1), (1, 7), (5, 1), (6, 9), (33, 17)] {
        for kind in [Kind::Spectral, Kind::Dense] {
            let mut sample = Sample::new(rows, columns, kind);
            sample.measure_own(&criterion.needs());
            for width in [Width::F32, Width::F64] {
                let what = format!("{kind:?} {width:?} [{rows}, {columns}]");
                let mut part = Report::new(what);
                if let Some(scores) = score(criterion, &sample, width, &mut part) {
                    scored += 1;
                    pruned(criterion, &sample, width, &scores, &mut part);
                }
                report.absorb(part);
            }
        }
    }
    report.expect(scored > 0, "it scores no target at all");
    report.into_result()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dense,
    Spectral,
}

#[derive(Debug, Clone, Copy)]
enum Width {
    F32,
    F64,
}

/// A layer's weights with everything that can be measured on it.
#[derive(Clone)]
struct Sample {
    rows: usize,
    columns: usize,
    kind: Kind,
    basis: Vec<f64>,
    lambda_in: Vec<f64>,
    lambda_out: Vec<f64>,
    gain: Vec<f64>,
    statistics: Statistics,
}

impl Sample {
    fn new(rows: usize, columns: usize, kind: Kind) -> Self {
        let mut stream = Seed(21).stream("criterion", (rows * 1000 + columns) as u64);
        let draw = |n: usize, stream: &mut Stream| (0..n).map(|_| stream.normal()).collect::<Vec<_>>();
        let basis = draw(rows * columns, &mut stream);
        let (lambda_in, lambda_out) = (draw(columns, &mut stream), draw(rows, &mut stream));
        let input_mean = draw(columns, &mut stream);
        let gain = draw(rows, &mut stream);
        let mut statistics = Statistics::default();
        statistics.insert(&InputMeanAbs, input_mean.iter().map(|m| m.abs() + 0.1).collect());
        statistics.insert(&WeightGradient, draw(rows * columns, &mut stream));
        statistics.insert(&InputGram, gram(columns, &mut stream));
        statistics.insert(&InputMean, input_mean);
        Self { rows, columns, kind, basis, lambda_in, lambda_out, gain, statistics }
    }

    /// Random numbers for the statistics that the criterion adds.
    fn measure_own(&mut self, needs: &Needs) {
        for statistic in &needs.statistics {
            if self.statistics.of(&**statistic).is_err() {
                let mut stream = Seed(22).stream(statistic.name(), 0);
                let values = (0..statistic.len(self.rows, self.columns)).map(|_| stream.normal()).collect();
                self.statistics.insert(&**statistic, values);
            }
        }
    }

    fn weight(&self) -> Vec<f64> {
        let gap = |i: usize| self.lambda_in[i % self.columns] - self.lambda_out[i / self.columns];
        let factor = |i: usize| if self.kind == Kind::Spectral { gap(i) } else { 1.0 };
        self.basis.iter().enumerate().map(|(i, b)| b * factor(i)).collect()
    }

    /// Runs `with` on the target that this sample describes.
    fn target<T>(&self, width: Width, with: impl FnOnce(&Target<'_>) -> T) -> T {
        let parts =
            [self.weight(), self.basis.clone(), self.lambda_in.clone(), self.lambda_out.clone(), self.gain.clone()];
        let narrow = parts.each_ref().map(|p| p.iter().map(|&v| v as f32).collect::<Vec<_>>());
        let values = |i: usize| match width {
            Width::F32 => Values::F32(&narrow[i]),
            Width::F64 => Values::F64(&parts[i]),
        };
        let trains = vec![true; self.rows.max(self.columns)];
        let next: Vec<Vec<f64>> = self.gain.iter().map(|g| vec![*g]).collect();
        let spectral = (self.kind == Kind::Spectral).then(|| SpectralFactors {
            basis: values(1),
            lambda_in: values(2),
            lambda_out: values(3),
            trains_in: &trains[..self.columns],
            trains_out: &trains[..self.rows],
        });
        with(&Target {
            node: "layer",
            rows: self.rows,
            columns: self.columns,
            weight: values(0),
            spectral,
            gain: Some(values(4)),
            next: &next,
            statistics: &self.statistics,
            key: 0x5eed,
        })
    }
}

/// The mean of `x x^T` over some random vectors.
fn gram(columns: usize, stream: &mut Stream) -> Vec<f64> {
    let samples = 2 * columns + 1;
    let x: Vec<f64> = (0..samples * columns).map(|_| stream.normal()).collect();
    let entry = |i: usize, j: usize| x.chunks(columns).map(|x| x[i] * x[j]).sum::<f64>() / samples as f64;
    (0..columns * columns).map(|k| entry(k / columns, k % columns)).collect()
}

/// Scores of weights, units and inputs, written over NaN.
fn run(criterion: &dyn Pruner, sample: &Sample, width: Width) -> Result<[Vec<f64>; 3]> {
    sample.target(width, |target| {
        let mut weights = vec![f64::NAN; target.rows * target.columns];
        let mut units = vec![f64::NAN; target.rows];
        let mut inputs = vec![f64::NAN; target.columns];
        criterion.score(target, &mut weights)?;
        criterion.score_units(target, &mut units)?;
        criterion.score_inputs(target, &mut inputs)?;
        Ok([weights, units, inputs])
    })
}

fn score(criterion: &dyn Pruner, sample: &Sample, width: Width, report: &mut Report) -> Option<[Vec<f64>; 3]> {
    let found = match run(criterion, sample, width) {
        Ok(scores) => scores,
        Err(e) => {
            let refusal = format!("{e}");
            report.expect(sample.kind == Kind::Dense && !refusal.is_empty(), format!("refuses: {refusal}"));
            return None;
        }
    };
    for (what, scores) in ["weights", "units", "inputs"].into_iter().zip(&found) {
        let bad = scores.iter().position(|s| !is_score(*s));
        report.expect(bad.is_none(), format!("score {bad:?} of {what} is not a number, or was not written"));
    }
    let again = run(criterion, sample, width);
    let same = again.is_ok_and(|again| again.iter().zip(&found).all(|(a, b)| bits(a) == bits(b)));
    report.expect(same, "the same target scores otherwise the second time");
    report.cases += 1;
    Some(found)
}

/// A finite number, or the positive infinity that protects.
fn is_score(score: f64) -> bool {
    score.is_finite() || score == f64::INFINITY
}

fn bits(scores: &[f64]) -> Vec<u64> {
    scores.iter().map(|s| s.to_bits()).collect()
}

/// Sets some entries of the weight and the basis to zero, as pruning does. The others must keep their scores.
fn pruned(criterion: &dyn Pruner, sample: &Sample, width: Width, before: &[Vec<f64>; 3], report: &mut Report) {
    let mut cut = sample.clone();
    let is_cut = |i: usize| i % 3 == 1;
    cut.basis.iter_mut().enumerate().filter(|(i, _)| is_cut(*i)).for_each(|(_, b)| *b = 0.0);
    // Weight times gradient is zero where the weight is.
    let mut products = sample.statistics.of(&WeightGradient).map(<[f64]>::to_vec).unwrap_or_default();
    products.iter_mut().enumerate().filter(|(i, _)| is_cut(*i)).for_each(|(_, g)| *g = 0.0);
    cut.statistics.insert(&WeightGradient, products);
    let Some([weights, ..]) = report.attempt("with pruned weights", run(criterion, &cut, width)) else { return };
    let numbers = weights.iter().all(|s| is_score(*s));
    report.expect(numbers, "scores are not numbers once weights are pruned");
    if criterion.is_relative() {
        return;
    }
    let moved = (0..weights.len()).find(|&i| !is_cut(i) && weights[i].to_bits() != before[0][i].to_bits());
    report.expect(moved.is_none(), format!("pruning other weights changed score {moved:?}"));
}
