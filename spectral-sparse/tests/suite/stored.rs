//! Training on stored weights is masked training.

use crate::networks::cpu;
use ndarray::Array2;
use spectral_core::{
    Constraint, DType, Error, Flow, History, Mask, Model, ParamId, Penalty, Progress, Reference, Role, Samples, Seed,
    Targets, Train, TrainHook, Trainable,
};
use spectral_cpu::{Cpu, CpuOptions};
use spectral_layers::Sparse;
use spectral_layers::prelude::*;
use spectral_layers::{Network, WeightConstraints};
use spectral_prune::{GradualPruning, Granularity, Prune, PruneConfig, Scope};
use spectral_sparse::{SparseTrainer, SparseTraining, TrainedLayer};
use spectral_train::{Adam, Momentum, Trainer};

/// Points around one of five centres, `[60, 13]`.
fn data() -> Samples {
    let mut stream = Seed(2).stream("points", 0);
    let labels: Vec<u32> = (0..60).map(|i| i % 5).collect();
    let x = Array2::from_shape_fn((60, 13), |(i, j)| {
        f64::from(u8::from(i % 5 == j % 5)) as f32 + 0.6 * stream.normal() as f32
    });
    Samples::new("points", x, Targets::Classes { labels, classes: 5 }).unwrap()
}

fn network() -> Network {
    Network::new(13).dense(24, Tanh).dropout(0.2).dense(16, Gelu).dense(5, Identity)
}

fn build(dtype: DType) -> Model {
    network().dtype(dtype).build(cpu(), Seed(3)).unwrap()
}

/// 80 % of the weights of every layer go in steps 4 to 22 of 50.
fn gradual() -> GradualPruning {
    let config = PruneConfig { amount: Some(0.8), ..PruneConfig::new("magnitude") };
    GradualPruning::new(config, (4, 22), 3, None).unwrap()
}

fn momentum() -> Trainer {
    Trainer::new(Momentum { rate: 0.05, momentum: 0.9 }).epochs(10).batch(13).seed(Seed(4))
}

fn adam() -> Trainer {
    Trainer::new(Adam { rate: 0.01, ..Adam::default() }).epochs(10).batch(13).seed(Seed(4))
}

/// Trains with weights stored where `when` says.
fn fit(
    trainer: &Trainer,
    when: SparseTraining,
    model: &mut Model,
    hooks: &mut [&mut dyn TrainHook],
) -> (History, Vec<TrainedLayer>) {
    SparseTrainer::new(trainer).when(when).fit(model, &data(), hooks).unwrap()
}

fn values(model: &Model) -> Vec<f64> {
    model.params().iter().flat_map(|(_, p)| model.backend().download(p.value()).unwrap()).collect()
}

/// The models differ in values alone, by rounding.
fn assert_same(masked: &Model, stored: &Model, tolerance: f64) {
    for (a, b) in masked.graph().nodes().iter().zip(stored.graph().nodes()) {
        assert_eq!((&a.name, a.layer.config().unwrap(), &a.params), (&b.name, b.layer.config().unwrap(), &b.params));
    }
    for ((_, a), (_, b)) in masked.params().iter().zip(stored.params().iter()) {
        assert_eq!((&a.name, a.role, &a.axes, a.pruned()), (&b.name, b.role, &b.axes, b.pruned()));
        assert_eq!((&a.trainable, a.penalty, a.constraint()), (&b.trainable, b.penalty, b.constraint()), "{}", a.name);
        assert_eq!(a.pattern.is_some(), b.pattern.is_some(), "{}", a.name);
    }
    assert_eq!(masked.meta, stored.meta);
    let apart = values(masked).iter().zip(values(stored)).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
    assert!(apart <= tolerance, "{apart:e} apart");
}

/// Layers go over to stored weights inside the ramp: without the state from before, momentum and Adam's means would
/// start anew.
#[test]
fn a_ramp_inside_training_gives_what_masked_training_gives() {
    let optimisers = [
        ("momentum", momentum()),
        ("adam", adam()),
        ("clipped", adam().clip_norm(0.5).penalty(Role::Weight, Penalty { l1: 1e-3, l2: 1e-3 })),
    ];
    for (name, trainer) in optimisers {
        // 44 % of the last layer are left.
        for (when, thin) in [(SparseTraining::Auto, 2), (SparseTraining::Always, 3)] {
            let (mut masked, mut stored) = (build(DType::F64), build(DType::F64));
            let (history, none) = fit(&trainer, SparseTraining::Never, &mut masked, &mut [&mut gradual()]);
            let mut hook = gradual();
            let (same, layers) = fit(&trainer, when, &mut stored, &mut [&mut hook]);
            assert_same(&masked, &stored, 1e-10);
            let inside: Vec<u64> = layers.iter().filter_map(|l| l.since).filter(|s| (4..=22).contains(s)).collect();
            assert_eq!((none.len(), layers.len(), inside.len()), (0, 3, thin), "{name}: {layers:?}");
            let kept = |h: &History| h.epochs.iter().map(|e| e.kept).collect::<Vec<_>>();
            assert_eq!((kept(&history), history.epochs.len()), (kept(&same), 10), "{name}");
            assert_eq!(hook.report().unwrap().kept, layers.iter().map(|l| l.kept).sum::<usize>());
        }
    }
}

/// Pruned units have pruned biases; a layer that is sparse anyway is none of this.
#[test]
fn units_go_as_weights_do_and_sparse_layers_stay_sparse() {
    let trainer = adam();
    let run = |when| {
        let network = Network::new(13).dense(24, Tanh).layer(Sparse::new(16, Tanh, 0.2)).dense(5, Identity);
        let mut model = network.dtype(DType::F64).build(cpu(), Seed(3)).unwrap();
        let config = PruneConfig { amount: Some(0.75), ..PruneConfig::new("magnitude") };
        let config = PruneConfig { granularity: Granularity::Unit, scope: Scope::Layer, ..config };
        let mut hook = GradualPruning::new(config, (4, 22), 3, None).unwrap();
        let (_, layers) = fit(&trainer, when, &mut model, &mut [&mut hook]);
        (model, layers)
    };
    let ((masked, _), (stored, layers)) = (run(SparseTraining::Never), run(SparseTraining::Auto));
    let since: Vec<_> = layers.iter().map(|l| (&*l.name, l.since.is_some())).collect();
    assert_eq!(since, [("dense1", true)]);
    assert!(stored.params().get(ParamId(1)).pruned().is_some_and(|m| m.count() > 12));
    assert_same(&masked, &stored, 1e-10);
}

#[test]
fn fine_tuning_stores_thin_layers_from_the_first_step_and_stops_where_masked_training_stops() {
    let trainer = momentum().epochs(200).validation(0.2).patience(2).keep_best();
    let (mut masked, mut stored) = (build(DType::F64), build(DType::F64));
    for model in [&mut masked, &mut stored] {
        Prune::by("magnitude")
            .amounts(&[("dense1", 0.9), ("dense2", 0.5), ("dense3", 0.7)])
            .apply(model, None)
            .unwrap();
    }
    let (history, _) = fit(&trainer, SparseTraining::Never, &mut masked, &mut []);
    let (same, layers) = fit(&trainer, SparseTraining::Auto, &mut stored, &mut []);
    assert_same(&masked, &stored, 1e-10);
    assert!(history.best_epoch.is_some() && history.stopped.is_some());
    assert_eq!((history.best_epoch, history.stopped), (same.best_epoch, same.stopped));
    let told: Vec<_> = layers.iter().map(|l| (&*l.name, l.shape, l.kept, l.since, &*l.reason)).collect();
    let faster = |share| format!("sparse: {share} % of its weights are left, up to 30 % train faster stored");
    let expected = [
        ("dense1", [24, 13], 31, Some(0), &*faster(10)),
        ("dense2", [16, 24], 192, None, "dense: 50 % of its weights are left, above 30 %"),
        ("dense3", [5, 16], 24, Some(0), &*faster(30)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn bits_do_not_depend_on_threads() {
    let run = |threads| {
        let cpu = Cpu::with_options(CpuOptions { threads: Some(threads), ..CpuOptions::default() }).unwrap();
        let mut model =
            Network::new(13).dense(300, Relu).dense(200, Relu).dense(5, Identity).build(&cpu, Seed(3)).unwrap();
        let (_, layers) = fit(&adam(), SparseTraining::Auto, &mut model, &mut [&mut gradual()]);
        assert!(layers.iter().any(|l| l.since.is_some()), "{layers:?}");
        model.content_hash().unwrap()
    };
    assert_eq!(run(1), run(2));
}

/// Frozen entries, what may train among pruned ones, constraints, a frozen bias and a frozen layer.
#[test]
fn what_is_frozen_or_constrained_stays_so() {
    let constraints = WeightConstraints { weight: Constraint::MaxNorm { max: 0.9 }, ..WeightConstraints::default() };
    let make = || {
        let first = Dense { constraints, ..Dense::new(24, Tanh) };
        let network = Network::new(13).layer(first).dense(16, Gelu).dense(5, Identity);
        let mut model = network.dtype(DType::F64).build(cpu(), Seed(3)).unwrap();
        Prune::by("magnitude").amount(0.8).apply(&mut model, None).unwrap();
        let params = model.params_mut().0;
        params.set_trainable(ParamId(0), Trainable::Only(Mask::from_fn(24 * 13, |i| i % 3 != 0))).unwrap();
        params.set_trainable(ParamId(1), Trainable::None).unwrap();
        model
    };
    let trainer = momentum().only(["dense1", "dense3"]);
    let (mut masked, mut stored) = (make(), make());
    fit(&trainer, SparseTraining::Never, &mut masked, &mut []);
    let (_, layers) = fit(&trainer, SparseTraining::Always, &mut stored, &mut []);
    assert_same(&masked, &stored, 1e-10);
    let since: Vec<_> = layers.iter().map(|l| l.since).collect();
    assert_eq!(since, [Some(0), None, Some(0)], "dense2 is frozen");
    assert_ne!(values(&make()), values(&stored));
}

#[test]
fn layers_that_are_more_than_their_weights_are_left_alone() {
    let spectral = Network::new(13).spectral(24, Tanh).dense(5, Identity);
    let random = Network::new(13).drop_connect(24, Tanh, 0.3).dense(5, Identity);
    for network in [spectral, random] {
        let mut model = network.dtype(DType::F64).build(cpu(), Seed(3)).unwrap();
        Prune::by("magnitude").amount(0.8).apply(&mut model, None).unwrap();
        let kinds = |m: &Model| m.graph().nodes().iter().map(|n| n.layer.kind()).collect::<Vec<_>>();
        let before = kinds(&model);
        let (_, layers) = fit(&adam(), SparseTraining::Always, &mut model, &mut []);
        assert_eq!(kinds(&model), before);
        let told: Vec<_> = layers.iter().map(|l| (l.since, &*l.reason)).collect();
        assert_eq!(told, [(None, "dense: would lose something as a sparse layer"), (Some(0), "sparse: asked for")]);
    }
}

/// Where no break-even is known, nothing is stored unless asked for.
#[test]
fn a_backend_that_names_no_share_trains_masked() {
    let make = || {
        let mut model = network().build(&Reference, Seed(3)).unwrap();
        Prune::by("magnitude").amount(0.9).apply(&mut model, None).unwrap();
        model
    };
    let told = |when| fit(&adam().epochs(1), when, &mut make(), &mut []).1.len();
    assert_eq!((told(SparseTraining::Auto), told(SparseTraining::Always)), (0, 3));
}

/// Prunes nothing and fails in step 5.
struct Fails;

impl TrainHook for Fails {
    fn after_step(&mut self, model: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
        assert!(model.node_params(0).get(0).pattern.is_some());
        if at.step == 5 { Err(Error::Data("no room left".into())) } else { Ok(Flow::Continue) }
    }
}

#[test]
fn a_run_that_fails_leaves_the_layers_as_they_were_and_the_values_of_the_last_step() {
    let make = || {
        let mut model = build(DType::F64);
        Prune::by("magnitude").amount(0.9).apply(&mut model, None).unwrap();
        model
    };
    struct Stops;
    impl TrainHook for Stops {
        fn after_step(&mut self, _: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
            Ok(if at.step == 5 { Flow::Stop } else { Flow::Continue })
        }
    }
    let (mut stopped, mut failed, trainer) = (make(), make(), adam());
    let storing = SparseTrainer::new(&trainer).when(SparseTraining::Always);
    storing.train(&mut stopped, &data(), &mut [&mut Stops]).unwrap();
    let error = storing.train(&mut failed, &data(), &mut [&mut Fails]).unwrap_err();
    assert_eq!(error.to_string(), "data: no room left");
    assert_same(&stopped, &failed, 0.0);
}
