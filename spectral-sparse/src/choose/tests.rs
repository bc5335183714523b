//! Choices with a clock that a backend with known costs moves, so that nothing depends on the machine.

use super::*;
use crate::measure::fake::Fake;
use spectral_core::{
    BackendHandle, ConvKernels, DType, DenseKernels, Elementwise, Linear, Mask, Memory, Packed, PackedLinear, Pattern,
    PoolKernels, Reduce, Reference, Samplewise, Seed, Session, Shape, SparseKernels, SparseLinear, SpectralKernels,
    Tensor, Unitwise, UpdateKernels, Values, prove,
};
use spectral_layers::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The oracle with kernels of known cost: a fixed part, and a part for each entry and sample.
#[derive(Debug, Default)]
struct Costly {
    clock: Fake,
    /// Nanoseconds for a dense entry and for a stored entry, at class 1 and at class 128.
    dense: [u64; 2],
    csr: [u64; 2],
    /// Nanoseconds for an entry in slices, which take at most two samples; 0 if there is no such layout.
    sliced: u64,
    /// Extra cost of a call after a kernel of the other kind, as if that flushed a cache.
    change: u64,
    last: AtomicU64,
    /// Weighted products computed so far.
    products: AtomicU64,
}

impl Costly {
    fn spend(&self, sort: u64, entries: usize, cost: [u64; 2], batch: usize) {
        let changed = self.last.swap(sort, Relaxed) != sort;
        let each = cost[usize::from(batch >= 16)];
        self.products.fetch_add(1, Relaxed);
        self.clock.pass(100 + entries as u64 * each + if changed { self.change } else { 0 });
    }
}

impl Memory for Costly {
    fn zeros(&self, shape: Shape, dtype: DType) -> spectral_core::Result<Tensor> {
        Reference.zeros(shape, dtype)
    }
    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> spectral_core::Result<()> {
        Reference.upload(from, to)
    }
    fn download(&self, from: &Tensor) -> spectral_core::Result<Vec<f64>> {
        Reference.download(from)
    }
}
impl Elementwise for Costly {}
impl DenseKernels for Costly {
    fn linear(&self, op: &Linear<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> spectral_core::Result<()> {
        self.spend(0, op.weight.len(), self.dense, op.x.shape().columns());
        Reference.linear(op, y, pre)
    }
}
impl SpectralKernels for Costly {}
impl SparseKernels for Costly {
    fn sparse_linear(
        &self,
        op: &SparseLinear<'_>,
        y: &mut Tensor,
        pre: Option<&mut Tensor>,
    ) -> spectral_core::Result<()> {
        self.spend(1, op.pattern.nonzeros(), self.csr, op.x.shape().columns());
        Reference.sparse_linear(op, y, pre)
    }

    fn pack(
        &self,
        kernel: Kernel,
        pattern: &Pattern,
        values: &Tensor,
    ) -> spectral_core::Result<Option<Box<dyn Packed>>> {
        if kernel != Kernel::Sliced || self.sliced == 0 {
            return Ok(None);
        }
        let pattern = Pattern::from_fn(pattern.rows(), pattern.columns(), |r, c| pattern.row(r).contains(&(c as u32)))?;
        let clock = self.clock.clone();
        Ok(Some(Box::new(Slices { clock, each: self.sliced, pattern, values: values.duplicate()? })))
    }
}

/// Entries in the layout of a [`Costly`].
#[derive(Debug)]
struct Slices {
    clock: Fake,
    each: u64,
    pattern: Pattern,
    values: Tensor,
}

impl Packed for Slices {
    fn most_samples(&self) -> usize {
        2
    }
    fn bytes(&self) -> usize {
        8 * self.pattern.nonzeros()
    }
    fn linear(&self, op: &PackedLinear<'_>, y: &mut Tensor) -> spectral_core::Result<()> {
        assert!(op.x.shape().columns() <= self.most_samples());
        self.clock.pass(100 + self.pattern.nonzeros() as u64 * self.each);
        let (pattern, values) = (&self.pattern, &self.values);
        let op = SparseLinear { x: op.x, pattern, values, bias: op.bias, activation: op.activation };
        Reference.sparse_linear(&op, y, None)
    }
}
impl Reduce for Costly {}
impl Unitwise for Costly {}
impl Samplewise for Costly {}
impl ConvKernels for Costly {}
impl PoolKernels for Costly {}
impl UpdateKernels for Costly {}
impl spectral_core::Backend for Costly {
    fn name(&self) -> &'static str {
        "costly"
    }
}

/// The default thresholds, with few runs.
fn quick() -> MeasureOptions {
    let timing = Timing { warmup: Duration::ZERO, pairs: 5, span: Duration::from_micros(1), ..Timing::default() };
    MeasureOptions { timing, ..MeasureOptions::default() }
}

/// 40 -> 20 -> 10 -> 4: the first layer 90 % masked, the second 60 %, the last dense.
fn network(backend: &Arc<Costly>) -> Model {
    let handle: BackendHandle = backend.clone();
    let net = Network::new(40).masked(20, Relu, 0.1).masked(10, Tanh, 0.4).dense(4, Identity);
    net.build(handle, Seed(3)).unwrap()
}

fn choose(costs: Costly, options: MeasureOptions) -> (Arc<Costly>, Model, Sparsified) {
    let backend = Arc::new(costs);
    let model = network(&backend);
    let sparsified = sparsify_timed(&model, &Policy::Measured(options), &backend.clock).unwrap();
    (backend, model, sparsified)
}

/// Kernel and reason of every layer in one class.
fn told(s: &Sparsified, class: usize) -> Vec<(String, String)> {
    s.layers.iter().map(|l| &l.classes[&class].choice).map(|c| (c.kernel.to_string(), c.reason.clone())).collect()
}

fn pair(kernel: &str, reason: &str) -> (String, String) {
    (kernel.into(), reason.into())
}

#[test]
fn each_layer_and_class_gets_the_kernel_that_won() {
    // A stored entry costs as much as 2 or 8 dense ones: 90 % zeros pay in both classes, 60 % zeros only at batch 1.
    let costs = Costly { dense: [10, 10], csr: [20, 80], ..Costly::default() };
    let (_, model, s) = choose(costs, quick());
    let names: Vec<_> = s.layers.iter().map(|l| (l.name.as_str(), l.stored, l.shape, l.nonzeros)).collect();
    let expected = [("masked1", true, [20, 40], 80), ("masked2", true, [10, 20], 80), ("dense1", false, [4, 10], 40)];
    assert_eq!(names, expected);
    let dense = pair("dense", "dense: 0 % of weights are zero, below 50 %: not measured");
    let first = pair("csr", "csr 4.8x faster than dense: 1.7 us against 8.1 us");
    assert_eq!(told(&s, 1), [first, pair("csr", "csr 1.2x faster than dense: 1.7 us against 2.1 us"), dense.clone()]);
    assert_eq!(
        told(&s, 128),
        [
            pair("csr", "csr 1.2x faster than dense: 6.5 us against 8.1 us"),
            pair("dense", "dense: 60 % of weights are zero; csr 0.32x"),
            dense
        ]
    );
    let second = &s.layers[1].classes[&128];
    assert_eq!(second.times, BTreeMap::from([(Kernel::Dense, 2_100.0), (Kernel::Csr, 6_500.0)]));
    assert_eq!(s.model.meta.plan.as_ref(), Some(&s.plan));
    assert!(proven(&model, &s.model));
}

fn proven(a: &Model, b: &Model) -> bool {
    let named = |name, model| spectral_core::Named { name, model };
    prove(named("a", a), &[named("b", b)], None, None).unwrap()[0].equal
}

#[test]
fn a_narrow_win_stays_dense() {
    // 800 entries against 80 at 9.5 times the cost: 1.05x.
    let costs = Costly { dense: [100, 100], csr: [950, 950], ..Costly::default() };
    let (_, model, s) = choose(costs, quick());
    assert_eq!(told(&s, 1)[0], pair("dense", "dense: csr only 1.05x, below 1.10x"));
    assert!(s.layers.iter().all(|l| !l.stored));
    assert_eq!(s.model.content_hash().unwrap(), model.content_hash().unwrap());
    let costs = Costly { dense: [100, 100], csr: [950, 950], ..Costly::default() };
    let (_, _, eager) = choose(costs, MeasureOptions { min_gain: 1.04, ..quick() });
    assert_eq!(told(&eager, 1)[0].0, "csr");
}

#[test]
fn choices_that_lose_together_are_taken_back_in_their_class_only() {
    // In pairs, the kind of kernel changes every time on both sides; in whole dense networks it never changes.
    let costs = Costly { dense: [10, 30], csr: [20, 20], change: 4_000, ..Costly::default() };
    let (_, model, s) = choose(costs, quick());
    let (kernel, reason) = &told(&s, 1)[0];
    assert_eq!(kernel, "dense");
    assert!(reason.starts_with("dense: the whole network runs 0.") && reason.contains("this layer: csr"), "{reason}");
    assert_eq!(told(&s, 128)[0].0, "csr");
    assert!(s.layers[0].stored);
    assert!(proven(&model, &s.model));
}

#[test]
fn layers_that_are_clearly_dense_cost_no_time() {
    let backend = Arc::new(Costly { dense: [1, 1], csr: [1, 1], ..Costly::default() });
    let handle: BackendHandle = backend.clone();
    let model = Network::new(6).dense(5, Relu).dense(4, Identity).build(handle, Seed(1)).unwrap();
    // With nothing to convert, no product runs.
    let s = sparsify_timed(&model, &Policy::Measured(quick()), &backend.clock).unwrap();
    assert_eq!(backend.products.load(Relaxed), 0);
    assert!(s.layers.iter().all(|l| l.classes.values().all(|c| c.times.is_empty())));
}

#[test]
fn a_replayed_plan_gives_the_same_model_without_measuring() {
    let costs = Costly { dense: [10, 10], csr: [20, 80], ..Costly::default() };
    let (backend, model, measured) = choose(costs, quick());
    let before = backend.clock.now();
    let replayed = sparsify(&model, &Policy::Replay(measured.plan.clone())).unwrap();
    let spent = backend.clock.now() - before;
    assert_eq!(replayed.plan, measured.plan);
    assert_eq!(replayed.model.meta, measured.model.meta);
    assert_eq!(replayed.model.content_hash().unwrap(), measured.model.content_hash().unwrap());
    // Replaying a plan times no kernel.
    assert!(spent.as_nanos() < 4 * 10_000, "{spent:?}");
}

#[test]
fn a_plan_of_another_network_is_refused_by_name() {
    let (_, model, mut s) = choose(Costly::default(), quick());
    s.plan.set("dense9", 1, Choice { kernel: Kernel::Csr, reason: "elsewhere".into() });
    let error = sparsify(&model, &Policy::Replay(s.plan)).unwrap_err().to_string();
    assert!(error.contains("`dense9`") && error.contains("masked1, masked2, dense1"), "{error}");
}

#[test]
fn options_out_of_range_are_refused() {
    let model = network(&Arc::new(Costly::default()));
    for options in [
        MeasureOptions { min_gain: 0.9, ..quick() },
        MeasureOptions { min_gain: f64::NAN, ..quick() },
        MeasureOptions { min_zeros: 1.5, ..quick() },
    ] {
        let error = sparsify(&model, &Policy::Measured(options)).unwrap_err();
        assert!(matches!(error, Error::Measure(_)), "{error}");
    }
}

#[test]
fn history_names_the_parent_and_what_was_done() {
    let (_, model, s) = choose(Costly { dense: [9, 9], csr: [1, 1], ..Costly::default() }, quick());
    let entry = s.model.meta.history.last().unwrap();
    assert_eq!((entry.action.as_str(), entry.parent), ("sparsify", model.content_hash().unwrap()));
    let first = &entry.detail["layers"]["masked1"];
    assert_eq!(first, &serde_json::json!({"shape": [20, 40], "nonzeros": 80, "kernels": {"1": "csr", "128": "csr"}}));
}

#[test]
fn the_plan_decides_what_a_session_runs() {
    let costs = Costly { dense: [10, 10], csr: [1, 1_000], ..Costly::default() };
    let (backend, _, s) = choose(costs, quick());
    let mut session = Session::new(&s.model, &s.plan).unwrap();
    // Three calls of 100 ns; the last layer is dense, 40 entries, in both classes.
    for (batch, entries) in [(1, 80 + 80 + 400), (128, 8_000 + 2_000 + 400)] {
        let before = backend.clock.now();
        session.run(ndarray::Array2::<f32>::ones((batch, 40)).view()).unwrap();
        assert_eq!((backend.clock.now() - before).as_nanos(), 300 + entries, "batch {batch}");
    }
}

#[test]
fn a_layout_of_the_backend_is_chosen_and_run_where_it_wins_and_for_so_many_samples_only() {
    let costs = Costly { dense: [10, 10], csr: [20, 20], sliced: 5, ..Costly::default() };
    let (backend, model, s) = choose(costs, quick());
    assert_eq!(told(&s, 1)[0], pair("sliced", "sliced 16.2x faster than dense: 500 ns against 8.1 us"));
    assert_eq!(told(&s, 128)[0].0, "csr");
    assert!(s.layers[0].stored);
    let mut session = Session::new(&s.model, &s.plan).unwrap();
    // The last layer is dense with 40 entries; with three samples the first two layers run by rows.
    for (batch, each) in [(1, 5), (2, 5), (3, 20), (128, 20)] {
        let before = backend.clock.now();
        session.run(ndarray::Array2::<f32>::ones((batch, 40)).view()).unwrap();
        assert_eq!((backend.clock.now() - before).as_nanos(), 300 + 160 * each + 400, "batch {batch}");
    }
    assert!(proven(&model, &s.model));
    // Under a plan from elsewhere, this backend lacks the layout and runs by rows.
    let elsewhere = Arc::new(Costly { dense: [10, 10], csr: [20, 20], ..Costly::default() });
    let model = network(&elsewhere);
    let mut session = Session::new(&model, &s.plan).unwrap();
    let before = elsewhere.clock.now();
    session.run(ndarray::Array2::<f32>::ones((1, 40)).view()).unwrap();
    assert_eq!((elsewhere.clock.now() - before).as_nanos(), 300 + 160 * 20 + 400);
}

#[test]
fn weights_dropped_in_training_are_not_lost() {
    let mut model = Network::new(40).layer(spectral_layers::DropConnect::new(20, Relu, 0.25)).dense(2, Identity);
    model = model.dtype(DType::F64);
    let mut model = model.build(&Reference, Seed(2)).unwrap();
    let id = model.graph().nodes()[0].params[0];
    let (params, backend) = model.params_mut();
    params.set_pruned(backend, id, Some(Mask::from_fn(800, |i| i % 10 != 0))).unwrap();
    let s = sparsify(&model, &Policy::Always).unwrap();
    let stored: Vec<_> = s.layers.iter().map(|l| l.stored).collect();
    assert_eq!(stored, [false, true]);
    assert_eq!(s.model.graph().nodes()[0].layer.config().unwrap()["rate"], 0.25);
    assert!(proven(&model, &s.model));
}
