//! The backend suite passes the oracle, and no backend with a fault in one kernel.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use spectral_core::backend::{
    Accum, Backend, Conv2d, ConvKernels, DenseKernels, Dropout, Elementwise, GradSlot, Linear, LinearGrads, LossKernel,
    Memory, Pool2d, Pool2dVjp, PoolKernels, Pooling, Prelu, Reduce, Reference, RowSum, SampleNorm, Samplewise,
    SparseGrads, SparseKernels, SparseLinear, SpectralKernels, SpectralWeight, Unitwise, Update, UpdateKernels,
};
use spectral_core::{
    Activation, BackendHandle, DType, Mask, Model, ParamId, Result, Samples, Seed, Shape, Targets, Tensor, Values,
};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_prune::Prune;
use spectral_testkit::backend;
use spectral_train::{Adam, Trainer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn the_oracle_conforms_to_itself() {
    let report = backend::conformance(&Reference);
    assert!(report.passed(), "{report}");
    assert!(report.cases > 4000, "{report}");
}

/// What is wrong with the backend.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    NarrowingTwice,
    NegativeZero,
    ReluHidesNan,
    SkipsLastRow,
    ReadsOldOutput,
    IgnoresAdd,
    NoShapeCheck,
    Panics,
    DropoutByPosition,
    PrunedStateKept,
    SubnormalsKept,
    TiesLast,
    EmptyPattern,
    LooseSum,
    NotRepeatable,
    NoTraining,
    /// Padding is on the other side.
    PaddingSwapped,
    /// Padding counts in means over real values.
    PaddingCounts,
    /// Every value of a window has a share of the gradient of the largest.
    LargestShared,
    /// Epsilon is part of the variance.
    EpsilonKept,
    /// NaN becomes the slope's.
    PreluHidesNan,
}

#[derive(Debug)]
struct Faulty(Vec<Fault>, AtomicU64);

impl Faulty {
    fn is(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    fn change(&self, t: &mut Tensor, with: impl Fn(&mut [f64])) -> Result<()> {
        let mut values = self.download(t)?;
        with(&mut values);
        self.write(&values, t)
    }
}

impl Memory for Faulty {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        Reference.zeros(shape, dtype)
    }
    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        Reference.upload(from, to)
    }
    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        Reference.download(from)
    }
    fn write(&self, from: &[f64], to: &mut Tensor) -> Result<()> {
        if self.is(Fault::NarrowingTwice) {
            let narrow: Vec<f64> = from.iter().map(|&v| f64::from(v as f32)).collect();
            return Reference.write(&narrow, to);
        }
        Reference.write(from, to)
    }
}

impl Elementwise for Faulty {
    fn activate(&self, act: Activation, x: &Tensor, y: &mut Tensor) -> Result<()> {
        Reference.activate(act, x, y)?;
        if self.is(Fault::ReluHidesNan) && act == Activation::Relu {
            self.change(y, |y| y.iter_mut().for_each(|y| *y = y.max(0.0)))?;
        }
        Ok(())
    }

    fn dropout(&self, op: Dropout, x: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        let key = if self.is(Fault::DropoutByPosition) { 0 } else { op.key };
        Reference.dropout(Dropout { key, ..op }, x, y, accum)
    }

    fn zero_where(&self, mask: &Mask, t: &mut Tensor) -> Result<()> {
        if self.is(Fault::NegativeZero) {
            return self.change(t, |v| mask.iter().for_each(|i| v[i] *= 0.0));
        }
        Reference.zero_where(mask, t)
    }

    fn multiply(&self, a: &Tensor, b: &Tensor, y: &mut Tensor, accum: Accum) -> Result<()> {
        if self.is(Fault::Panics) {
            assert_eq!(a.shape(), b.shape());
        }
        Reference.multiply(a, b, y, accum)
    }
}

impl DenseKernels for Faulty {
    fn linear(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        if self.is(Fault::NoShapeCheck) {
            return Reference.linear(op, y, pre).or(Ok(()));
        }
        let old = self.download(y)?;
        Reference.linear(op, y, pre)?;
        let batch = y.shape().columns();
        if self.is(Fault::SkipsLastRow) {
            self.change(y, |y| {
                let start = y.len() - batch.min(y.len());
                y[start..].copy_from_slice(&old[start..]);
            })?;
        }
        if self.is(Fault::ReadsOldOutput) {
            self.change(y, |y| y.iter_mut().zip(&old).for_each(|(y, o)| *y += 0.0 * o))?;
        }
        if self.is(Fault::LooseSum) {
            self.change(y, |y| y.iter_mut().for_each(|y| *y *= 1.0 + 1e-4))?;
        }
        if self.is(Fault::NotRepeatable) {
            let calls = self.1.fetch_add(1, Ordering::Relaxed);
            self.change(y, |y| y.iter_mut().for_each(|y| *y *= 1.0 + 3e-7 * (calls % 2) as f64))?;
        }
        Ok(())
    }

    fn linear_vjp(&self, op: &Linear<'_>, dz: &Tensor, mut grads: LinearGrads<'_>) -> Result<()> {
        if let (true, Some(GradSlot { accum, .. })) = (self.is(Fault::IgnoresAdd), &mut grads.x) {
            *accum = Accum::Replace;
        }
        Reference.linear_vjp(op, dz, grads)
    }
}

impl SpectralKernels for Faulty {
    fn spectral_weight(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        Reference.spectral_weight(op, weight)
    }
}

impl SparseKernels for Faulty {
    fn sparse_linear_vjp(&self, op: &SparseLinear<'_>, dz: &Tensor, grads: SparseGrads<'_>) -> Result<()> {
        if self.is(Fault::EmptyPattern) && op.pattern.nonzeros() == 0 {
            return op.check("sparse_linear_vjp", dz.shape());
        }
        Reference.sparse_linear_vjp(op, dz, grads)
    }
}

impl Reduce for Faulty {
    fn row_sums(&self, sum: RowSum, x: &Tensor, sums: &mut Tensor, accum: Accum) -> Result<()> {
        Reference.row_sums(sum, x, sums, accum)
    }

    fn loss(&self, op: &LossKernel<'_>, totals: &mut Tensor, gradient: Option<GradSlot<'_>>) -> Result<()> {
        Reference.loss(op, totals, gradient)?;
        if !self.is(Fault::TiesLast) {
            return Ok(());
        }
        let (y, t, batch) = (self.download(op.outputs)?, self.download(op.targets)?, op.outputs.shape().columns());
        let first = |v: &[f64], b: usize| {
            let column: Vec<f64> = v[b..].iter().step_by(batch).copied().collect();
            let top = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (column.iter().position(|v| *v == top), column.iter().rposition(|v| *v == top))
        };
        let shift = |b| f64::from(first(&y, b).1 == first(&t, b).0) - f64::from(first(&y, b).0 == first(&t, b).0);
        let shift: f64 = (0..batch).map(shift).sum();
        self.change(totals, |t| t[1] += shift)
    }
}

impl Unitwise for Faulty {
    fn prelu(&self, op: &Prelu<'_>, y: &mut Tensor) -> Result<()> {
        Reference.prelu(op, y)?;
        if self.is(Fault::PreluHidesNan) {
            self.change(y, |y| y.iter_mut().filter(|y| y.is_nan()).for_each(|y| *y = 0.0))?;
        }
        Ok(())
    }
}

impl Samplewise for Faulty {
    fn normalise_samples(&self, op: &SampleNorm<'_>, y: &mut Tensor, variance: &mut Tensor) -> Result<()> {
        Reference.normalise_samples(op, y, variance)?;
        if self.is(Fault::EpsilonKept) {
            self.change(variance, |v| v.iter_mut().for_each(|v| *v += op.epsilon))?;
        }
        Ok(())
    }
}
impl ConvKernels for Faulty {
    fn conv2d(&self, op: &Conv2d<'_>, scratch: &mut Tensor, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let mut window = op.window;
        if self.is(Fault::PaddingSwapped) {
            let [top, bottom, left, right] = window.padding;
            window.padding = [bottom, top, right, left];
        }
        Reference.conv2d(&Conv2d { window, ..*op }, scratch, y, pre)
    }
}

impl PoolKernels for Faulty {
    fn pool2d(&self, op: &Pool2d<'_>, y: &mut Tensor) -> Result<()> {
        let pooling = match op.pooling {
            Pooling::Average { .. } if self.is(Fault::PaddingCounts) => Pooling::Average { padding: true },
            other => other,
        };
        Reference.pool2d(&Pool2d { pooling, ..*op }, y)
    }

    fn pool2d_vjp(&self, op: &Pool2dVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        let pooling = match op.of.pooling {
            Pooling::Max if self.is(Fault::LargestShared) => Pooling::Average { padding: false },
            other => other,
        };
        Reference.pool2d_vjp(&Pool2dVjp { of: Pool2d { pooling, ..op.of }, ..*op }, dx)
    }
}

impl UpdateKernels for Faulty {
    fn update(&self, op: &Update<'_>, value: &mut Tensor, gradient: &Tensor, state: &mut [Tensor]) -> Result<()> {
        if self.is(Fault::NoTraining) {
            return op.check(value, gradient.shape(), state);
        }
        let before = state.iter().map(|s| self.download(s)).collect::<Result<Vec<_>>>()?;
        let old = self.download(value)?;
        Reference.update(op, value, gradient, state)?;
        if let (true, Some(mask)) = (self.is(Fault::PrunedStateKept), op.pruned) {
            for (s, before) in state.iter_mut().zip(&before) {
                self.change(s, |s| mask.iter().for_each(|i| s[i] = before[i]))?;
            }
        }
        if self.is(Fault::SubnormalsKept) {
            let small = |v: f64| v != 0.0 && v.abs() < 1e-30;
            self.change(value, |v| v.iter_mut().zip(&old).filter(|(_, o)| small(**o)).for_each(|(v, o)| *v = *o))?;
        }
        Ok(())
    }
}

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
}

#[test]
fn every_faulty_kernel_is_caught() {
    use Fault::*;
    // Faults of different kernels together, each with a word that only its own failures contain.
    let runs = [
        &[(NarrowingTwice, "f64: ")][..],
        &[(ReadsOldOutput, "linear Identity"), (NoTraining, "update Sgd")],
        &[(NoShapeCheck, "linear into too few units: accepted")],
        &[(LooseSum, "linear Identity"), (SubnormalsKept, "subnormals")],
        &[(NotRepeatable, "y has other bits the second time"), (PrunedStateKept, "update")],
        &[
            (NegativeZero, "zero_where"),
            (ReluHidesNan, "activate relu on NaN"),
            (SkipsLastRow, "linear Identity"),
            (IgnoresAdd, "linear_vjp"),
            (Panics, "multiply of two shapes: panicked"),
            (DropoutByPosition, ": dropout"),
            (TiesLast, "of ties"),
            (PaddingSwapped, ": conv2d ("),
            (PaddingCounts, "pool2d ([2, 5, 7, 3]"),
            (LargestShared, "pool2d_vjp ([2, 5, 7, 3]"),
            (EpsilonKept, "normalise_samples ["),
            (PreluHidesNan, "prelu of 0, NaN"),
            (EmptyPattern, "sparse_linear_vjp Nothing"),
        ],
    ];
    let mut escaped = Vec::new();
    for faults in runs {
        let report = backend::conformance(&Faulty(faults.iter().map(|f| f.0).collect(), AtomicU64::default()));
        for (fault, word) in faults {
            if report.passed() || !report.failures.iter().any(|f| f.contains(word)) {
                escaped.push(format!("{fault:?}: {report}"));
            }
        }
    }
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

fn faulty(faults: &[Fault]) -> BackendHandle {
    Arc::new(Faulty(faults.to_vec(), AtomicU64::default()))
}

/// A small network, and two classes it tells apart.
fn model_and_data() -> (Model, Samples) {
    let network = Network::new(6).dense(8, Activation::Tanh).dense(2, Activation::Identity);
    let labels: Vec<u32> = (0..60).map(|i| i % 2).collect();
    let mut stream = Seed(2).stream("data", 0);
    let inputs = ndarray::Array2::from_shape_fn((60, 6), |(s, f)| {
        let center = if (s + f) % 2 == 0 { 1.0 } else { -1.0 };
        (center + stream.normal()) as f32
    });
    let data = Samples::new("stripes", inputs, Targets::Classes { labels, classes: 2 });
    (network.build(&Reference, Seed(1)).unwrap(), data.unwrap())
}

#[test]
fn a_training_run_agrees_with_the_oracle_unless_a_kernel_is_wrong() {
    let (model, data) = model_and_data();
    let trainer = Trainer::new(Adam::default()).epochs(5).batch(7).seed(Seed(4));
    let cpu: BackendHandle = Arc::new(Cpu::with_threads(2).unwrap());
    backend::training(cpu, &model, &trainer, &data).into_result().unwrap();
    for fault in [Fault::SkipsLastRow, Fault::NoTraining] {
        let report = backend::training(faulty(&[fault]), &model, &trainer, &data);
        assert!(!report.passed(), "{fault:?} was not caught: {report}");
    }
}

#[test]
fn masks_agree_unless_a_cut_depends_on_the_backend() {
    let (model, _) = model_and_data();
    let cut = |by: fn(&dyn Backend) -> usize| {
        move |model: &mut Model| {
            let (params, backend) = model.params_mut();
            let len = params.get(ParamId(0)).value().len();
            params.prune(backend, ParamId(0), &Mask::from_fn(len, |i| i % 5 == by(backend)))
        }
    };
    backend::masks(faulty(&[]), &model, "a cut", cut(|_| 2)).into_result().unwrap();
    let report = backend::masks(faulty(&[]), &model, "a cut", cut(|b| b.name().len() % 5));
    assert!(report.failures.len() == 1 && report.failures[0].contains("weight"), "{report}");
}

#[test]
fn whole_pieces_of_work_agree_unless_training_or_a_cut_depends_on_the_backend() {
    let trainer = Trainer::new(Adam::default()).epochs(4).batch(32).seed(Seed(5));
    let prune = |by: &str, model: &mut Model| Prune::by(by).globally().amount(0.5).apply(model, None);
    backend::agreement(&Reference, &Cpu::with_threads(2).unwrap(), &trainer, prune).into_result().unwrap();
    let idle = backend::agreement(&Reference, faulty(&[Fault::NoTraining]), &trainer, prune);
    assert!(!idle.passed() && idle.failures.iter().all(|f| f.starts_with("training on")), "{idle}");
    let fickle = |by: &str, model: &mut Model| {
        let more = if by == "magnitude" && model.backend().name() != "reference" { 0.1 } else { 0.0 };
        Prune::by(by).globally().amount(0.5 + more).apply(model, None)
    };
    let cut = backend::agreement(&Reference, faulty(&[]), &trainer, fickle);
    assert!(!cut.passed() && cut.failures.iter().all(|f| f.starts_with("magnitude on")), "{cut}");
    let none = backend::agreement(&Reference, faulty(&[]), &trainer, |_, _| Err::<(), _>("no criterion"));
    assert_eq!(none.failures, ["only 0 criteria could be tried"]);
}

#[test]
fn promised_bits_are_looked_for() {
    backend::determinism(|threads| Ok(Arc::new(Cpu::with_threads(threads)?))).into_result().unwrap();
    let fickle = backend::determinism(|_| Ok(faulty(&[Fault::NotRepeatable])));
    assert!(fickle.failures.iter().any(|f| f.contains("Dense") && f.contains("second time")), "{fickle}");
    let cut_by_threads = backend::determinism(|threads| Ok(faulty(&[Fault::LooseSum][..usize::from(threads > 1)])));
    assert!(cut_by_threads.failures.iter().any(|f| f.contains("Dense: other bits on 2")), "{cut_by_threads}");
}
