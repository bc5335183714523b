//! Searches by metric, spectral pre-training and distillation, on blobs that a small network learns in no time.

use crate::support::*;
use ndarray::{Array2, Axis};
use serde_json::{Value, json};
use spectral_core::registry::{all, find};
use spectral_core::{
    Activation::*, Cell, Model, Role, Samples, Seed, Strategy, StrategyCx, StrategyEntry, StrategyReport, Targets,
    Trainable, Unwatched,
};
use spectral_cpu::Cpu;
use spectral_layers::{Factors, Network, Spectral};
use spectral_prune::Prune;
use spectral_prune::strategies::MetricBased;
use spectral_testkit::strategy::{Trial, conformance};
use spectral_train::{Adam, Evaluator, TrainConfig, Trainer};

const CLASSES: usize = 4;
const FEATURES: usize = 6;

fn blobs(n: usize, features: usize, seed: u64) -> Samples {
    let mut stream = Seed(seed).stream("blobs", 0);
    let labels: Vec<u32> = (0..n).map(|i| (i % CLASSES) as u32).collect();
    let inputs = Array2::from_shape_fn((n, features), |(i, j)| {
        let centre = if j % CLASSES == i % CLASSES { 1.5 } else { 0.0 };
        (centre + 0.6 * stream.normal()) as f32
    });
    Samples::new("blobs", inputs, Targets::Classes { labels, classes: CLASSES }).unwrap()
}

fn network() -> Network {
    Network::new(FEATURES).spectral(24, Relu).spectral(16, Relu).dense(CLASSES, Identity)
}

fn fresh() -> Model {
    network().build(&Cpu::with_threads(1).unwrap(), Seed(5)).unwrap()
}

fn phase(epochs: usize) -> Value {
    json!({ "epochs": epochs, "batch": 20, "optimizer": { "name": "adam", "rate": 0.01 } })
}

fn trained() -> Model {
    let mut m = fresh();
    let config: TrainConfig = serde_json::from_value(phase(4)).unwrap();
    config.build(Seed(1)).unwrap().fit(&mut m, &blobs(400, FEATURES, 1)).unwrap();
    m
}

fn validation() -> Samples {
    blobs(200, FEATURES, 2)
}

fn run_on(name: &str, config: Value, model: &mut Model, held_out: &Samples) -> spectral_core::Result<StrategyReport> {
    let strategy = (find::<StrategyEntry>(name)?.build)(config)?;
    let train = blobs(400, FEATURES, 1);
    let mut cx = StrategyCx { train: &train, validation: held_out, seed: Seed(3), watch: &mut Unwatched };
    strategy.run(model, &mut cx)
}

fn run(name: &str, config: Value, model: &mut Model) -> spectral_core::Result<StrategyReport> {
    run_on(name, config, model, &validation())
}

fn metric(name: &str, model: &Model) -> f64 {
    let metrics = Evaluator::default().run(model, &validation()).unwrap();
    if name == "loss" { metrics.loss } else { metrics.accuracy.unwrap() }
}

fn at(percentile: f64) -> Model {
    let mut m = trained();
    Prune::by("eigenvalue").units().percentile(percentile).apply(&mut m, None).unwrap();
    m
}

fn numbers(report: &StrategyReport, column: usize) -> Vec<f64> {
    let number = |row: &Vec<Cell>| match row[column] {
        Cell::Number(n) => n,
        ref other => panic!("{other:?}"),
    };
    report.tables[0].rows.iter().map(number).collect()
}

fn same(a: &Model, b: &Model) -> bool {
    let masks = |m: &Model| m.params().iter().map(|(_, p)| p.pruned().cloned()).collect::<Vec<_>>();
    a.content_hash().unwrap() == b.content_hash().unwrap() && masks(a) == masks(b)
}

/// spectraltools C4, with its defect: the step back was 5 whatever the step, so that a level came out that nobody had
/// measured (step 10), or none (step 3).
#[test]
fn the_last_level_inside_the_limit_stays_whatever_the_step() {
    for (step, name, limit) in [(10.0, "accuracy", 8.0), (3.0, "accuracy", 5.0), (7.5, "loss", 60.0)] {
        let mut m = trained();
        let start = metric(name, &m);
        let config = json!({ "step": step, "metric": name, "max_change": limit });
        let report = run("metric_based", config, &mut m).unwrap();
        let levels = numbers(&report, 0);
        let want: Vec<f64> = (0..levels.len()).map(|k| k as f64 * step).collect();
        assert_eq!(levels, want);
        assert!(levels.len() > 2 && report.tables[0].plot.is_some(), "{report:?}");
        let (kept, outside) = (levels[levels.len() - 2], levels[levels.len() - 1]);
        assert!(same(&m, &at(kept)), "percentile {kept}");
        let worse = |m: &Model| {
            let change = 100.0 * (metric(name, m) - start) / start;
            if name == "loss" { change } else { -change }
        };
        assert!(worse(&m) <= limit && worse(&at(outside)) > limit, "{report:?}");
        assert_eq!(report.detail["percentile"], json!(kept));
        assert_eq!(report.detail["limit_reached"], json!(true));
        assert_eq!(m.meta.history.len(), 1);
        assert_eq!(m.meta.history[0].parent, trained().content_hash().unwrap());
        let units = numbers(&report, 3);
        assert!(units[0] == 44.0 && units.windows(2).all(|w| w[1] <= w[0]), "{units:?}");
    }
}

/// spectraltools C4: a limit that is never reached gave nothing at all.
#[test]
fn a_limit_that_is_never_reached_leaves_the_strongest_level_and_says_so() {
    let mut m = trained();
    let report = run("metric_based", json!({ "max_change": 1e6, "step": 25.0 }), &mut m).unwrap();
    assert!(report.summary.contains("never reached"), "{}", report.summary);
    assert_eq!(
        (numbers(&report, 0), report.detail["limit_reached"].clone()),
        (vec![0.0, 25.0, 50.0, 75.0, 100.0], json!(false))
    );
    assert!(same(&m, &at(100.0)));
}

/// spectraltools C4: already the first level is outside; any change counts where that is asked for.
#[test]
fn nothing_is_pruned_where_the_first_level_is_outside() {
    let mut m = trained();
    let config = json!({ "max_change": 0.0, "step": 50.0, "metric": "loss", "direction": "any" });
    let report = run("metric_based", config, &mut m).unwrap();
    assert!(report.summary.contains("nothing was pruned"), "{}", report.summary);
    assert!(same(&m, &trained()) && m.meta.history.is_empty());
}

/// spectraltools C4: a metric of 0 at the start was divided by.
#[test]
fn a_metric_of_zero_at_the_start_is_refused_and_an_absolute_limit_is_not() {
    let mut m = trained();
    set(&mut m, "dense1.bias", &[1e6, 0.0, 0.0, 0.0]);
    let never: Vec<usize> = (0..200).filter(|i| i % CLASSES != 0).collect();
    let held_out = validation().subset(&never).unwrap();
    let before = m.content_hash().unwrap();
    let error = run_on("metric_based", json!({}), &mut m, &held_out).unwrap_err().to_string();
    assert!(error.contains("`accuracy` is 0 at the start") && error.contains("relative = false"), "{error}");
    assert_eq!(m.content_hash().unwrap(), before);
    let absolute = json!({ "relative": false, "max_change": 0.1, "step": 50.0 });
    assert!(run_on("metric_based", absolute, &mut m, &held_out).is_ok());
}

/// spectraltools C4: the criterion and the granularity can be chosen, and levels can be trained.
#[test]
fn levels_of_weights_can_be_retrained() {
    let plain = json!({ "prune": { "criterion": "magnitude" }, "step": 20.0, "max_change": 3.0 });
    let mut with = plain.clone();
    with["retrain"] = phase(1);
    let (mut bare, mut retrained) = (trained(), trained());
    let first = run("metric_based", plain, &mut bare).unwrap();
    let second = run("metric_based", with, &mut retrained).unwrap();
    assert!(numbers(&second, 0).len() >= numbers(&first, 0).len());
    assert!(
        retrained.params().kept() <= bare.params().kept() && retrained.params().kept() < retrained.params().total()
    );
    assert_ne!(values(&retrained, "dense1.bias"), values(&bare, "dense1.bias"));
}

#[test]
fn requests_that_make_no_sense_are_refused_and_change_nothing() {
    let dense =
        || Network::new(FEATURES).dense(8, Relu).dense(CLASSES, Identity).build(&spectral_core::Reference, Seed(1));
    for (name, config, word) in [
        ("metric_based", json!({ "step": 0.0 }), "`step` is 0"),
        ("metric_based", json!({ "step": -5 }), "`step` is -5"),
        ("metric_based", json!({ "step": 101.0 }), "`step` is 101"),
        ("metric_based", json!({ "max_change": -1.0 }), "`max_change` is -1"),
        ("metric_based", json!({ "metric": "f1" }), "f1"),
        ("metric_based", json!({ "prune": { "criterion": "eigenvalue", "amount": 0.5 } }), "no budget"),
        ("metric_based", json!({ "prune": { "criterion": "eigenvalues" } }), "did you mean `eigenvalue`"),
        ("metric_based", json!({ "retrain": { "batch": 0 } }), "`batch` is 0"),
        ("pretrain", json!({ "cut": { "step": 0.0 } }), "`step` is 0"),
        ("pretrain", json!({ "train": { "batch": 0 } }), "`batch` is 0"),
        ("distil", json!({ "prune": { "criterion": "eigenvalue" } }), "say how much"),
        ("distil", json!({ "prune": { "criterion": "eigenvalue", "percentile": 101 } }), "between 0 and 100"),
        ("distil", json!({ "finetune": { "batch": 0 } }), "`batch` is 0"),
    ] {
        let mut m = fresh();
        let error = run(name, config.clone(), &mut m).unwrap_err().to_string();
        assert!(error.contains(word), "{name} {config}: {error}");
        assert!(same(&m, &fresh()));
    }
    for name in ["metric_based", "pretrain", "distil"] {
        let mut m = dense().unwrap();
        let error = run(name, json!({}), &mut m).unwrap_err().to_string();
        assert!(error.contains("spectral"), "{name}: {error}");
        assert_eq!(m.content_hash().unwrap(), dense().unwrap().content_hash().unwrap());
    }
}

fn trainables(model: &Model) -> Vec<Trainable> {
    model.params().iter().map(|(_, p)| p.trainable.clone()).collect()
}

/// Entries of `name` that are not pruned, with their values in both models.
fn kept(a: &Model, b: &Model, name: &str) -> Vec<(f64, f64)> {
    let gone = pruned(a, name);
    let pairs = values(a, name).into_iter().zip(values(b, name)).enumerate();
    pairs.filter(|(k, _)| !gone.contains(k)).map(|(_, pair)| pair).collect()
}

/// spectraltools B9: bases and eigenvalues of inputs are frozen, all else trains, the found weights stay, and what may
/// train is as the layers say in the end.
#[test]
fn pretraining_moves_eigenvalues_over_frozen_bases_and_keeps_what_it_found() {
    let mut m = trained();
    let before = trained();
    let report = run("pretrain", json!({ "restart": false, "train": phase(2), "cut": { "max_change": 5.0 } }), &mut m);
    assert!(report.unwrap().summary.contains("percentile"));
    for layer in ["spectral1", "spectral2"] {
        assert!(kept(&m, &before, &format!("{layer}.basis")).iter().all(|(a, b)| a == b));
        assert!(kept(&m, &before, &format!("{layer}.lambda_out")).iter().all(|(a, b)| a != b));
        assert_eq!(values(&m, &format!("{layer}.lambda_in")), values(&before, &format!("{layer}.lambda_in")));
    }
    assert!(kept(&m, &before, "dense1.bias").iter().all(|(a, b)| a != b));
    assert_eq!(trainables(&m), trainables(&before));
    assert!(m.params().kept() < m.params().total());
}

/// spectraltools B9: a restart draws anew; the original always did, and said it did not.
#[test]
fn a_restart_and_a_reinitialisation_draw_anew_under_the_masks() {
    let seed = |purpose| Seed(Seed(3).key(purpose, 0));
    let mut m = trained();
    run("pretrain", json!({ "train": phase(2) }), &mut m).unwrap();
    let mut drawn = trained();
    drawn.redraw(seed("restart")).unwrap();
    assert!(kept(&m, &drawn, "spectral1.basis").iter().all(|(a, b)| a == b));
    assert!(kept(&m, &drawn, "dense1.weight").iter().all(|(a, b)| a != b));
    run("pretrain", json!({ "train": phase(2), "reinitialise": true }), &mut m).unwrap();
    drawn.redraw(seed("reinitialise")).unwrap();
    for (_, p) in m.params().iter() {
        assert!(kept(&m, &drawn, &p.name).iter().all(|(a, b)| a == b), "{}", p.name);
    }
    assert!(m.params().kept() < m.params().total());
}

/// spectraltools B9: the loop went on for ever where even percentile 100 was inside, and what came back was the first
/// model outside the limit.
#[test]
fn pretraining_ends_and_returns_the_last_model_inside_the_limit() {
    let mut m = fresh();
    let report = run("pretrain", json!({ "train": phase(1), "cut": { "max_change": 1e9 } }), &mut m).unwrap();
    assert!(report.summary.contains("never reached"), "{}", report.summary);
    let mut m = fresh();
    let report = run("pretrain", json!({ "train": phase(3), "cut": { "max_change": 5.0 } }), &mut m).unwrap();
    let (accuracies, inside) = (numbers(&report, 1), report.tables[0].rows.len() - 2);
    assert!((metric("accuracy", &m) - accuracies[inside]).abs() < 1e-12, "{report:?}");
    assert!(accuracies[inside] >= 0.95 * accuracies[0] - 1e-6 && accuracies[inside + 1] < 0.95 * accuracies[0]);
}

/// spectraltools B9: eigenvalues that a layer freezes are trained by the pre-training, and frozen again after it.
#[test]
fn eigenvalues_that_a_layer_freezes_are_thawed_for_the_phase_alone() {
    let frozen = Factors { lambda_out: false, ..Factors::<bool>::default() };
    let layer = Spectral { trainable: frozen, ..Spectral::new(16, Relu) };
    let network = Network::new(FEATURES).layer_named("s", layer).dense(CLASSES, Identity);
    let mut m = network.build(&spectral_core::Reference, Seed(1)).unwrap();
    let before = trainables(&m);
    run("pretrain", json!({ "train": phase(1), "finetune": phase(0) }), &mut m).unwrap();
    assert!(values(&m, "s.lambda_out").iter().all(|l| *l != 1.0));
    assert_eq!(trainables(&m), before);
}

/// spectraltools B10, B11: the percentile decides the sizes, and units are really gone. Its defect: only the sizes of
/// the layers survived the pruning.
#[test]
fn distillation_keeps_the_found_weights_in_a_smaller_network() {
    let mut distilled = trained();
    let cut = json!({ "criterion": "eigenvalue", "granularity": "unit", "percentile": 70.0 });
    let config = |compact: bool, reinitialise: bool, finetune: usize| {
        json!({ "restart": false, "train": phase(2), "prune": cut, "compact": compact,
            "reinitialise": reinitialise, "finetune": phase(finetune) })
    };
    let report = run("distil", config(true, false, 0), &mut distilled).unwrap();
    assert_eq!(report.tables[0].rows.len(), 3);
    let mut masked = trained();
    run("distil", config(false, false, 0), &mut masked).unwrap();
    let living: Vec<usize> =
        ["spectral1", "spectral2"].map(|l| param(&masked, &format!("{l}.lambda_out")).kept()).to_vec();
    assert_eq!(living.iter().sum::<usize>(), 12, "40 eigenvalues, the 28 below the 70th percentile are cut");
    assert_eq!(distilled.widths(), [vec![FEATURES], living, vec![CLASSES]].concat());
    for name in ["spectral1.lambda_out", "spectral2.lambda_out"] {
        let found: Vec<f64> = values(&masked, name).into_iter().filter(|v| *v != 0.0).collect();
        assert_eq!(values(&distilled, name), found);
    }
    let (mut tuned, mut again) = (trained(), trained());
    run("distil", config(true, false, 2), &mut tuned).unwrap();
    assert_eq!(tuned.widths(), distilled.widths());
    assert!(values(&tuned, "spectral1.basis") != values(&distilled, "spectral1.basis"), "bases train again");
    assert!(metric("accuracy", &tuned) > 0.8, "{}", metric("accuracy", &tuned));
    run("distil", config(true, true, 0), &mut again).unwrap();
    assert_eq!(again.widths(), distilled.widths());
    assert!(values(&again, "spectral1.lambda_out").iter().all(|l| *l == 1.0), "drawn anew");
    let bases = tuned.params().iter().filter(|(_, p)| p.role == Role::Basis);
    assert!(bases.into_iter().all(|(_, p)| p.is_trainable()));
}

/// Every strategy that is linked; one that needs parameters of its own gets them here.
#[test]
fn every_strategy_conforms() {
    let (train, validation, unfit) = (blobs(160, FEATURES, 1), blobs(80, FEATURES, 2), blobs(40, FEATURES + 1, 3));
    let models = [1, 3]
        .map(|threads| trained().to_backend(&Cpu::with_threads(threads).unwrap(), spectral_core::DType::F32).unwrap());
    let sparse =
        models.each_ref().map(|m| spectral_sparse::sparsify(m, &spectral_sparse::Policy::Always).unwrap().model);
    let entries = all::<StrategyEntry>().unwrap();
    assert!(entries.len() >= 7, "strategies are not linked");
    for entry in entries {
        let parameters = match entry.name {
            "metric_based" => json!({ "retrain": phase(1), "step": 20.0 }),
            "pretrain" => json!({ "train": phase(1), "cut": { "step": 20.0 }, "finetune": phase(1) }),
            "distil" => json!({ "train": phase(1), "finetune": phase(1) }),
            "learn_classes" => json!({ "new_classes": [3], "train": phase(1), "learn": phase(1) }),
            "mix" => json!({ "models": 2, "train": phase(1) }),
            "submodel" => json!({ "submodel": { "units": [12, 8] }, "train": phase(1) }),
            "subnetwork_search" => json!({ "amount": 0.4, "then": "freeze", "train": phase(1),
                "search": { "draws": 5, "batch": 40 } }),
            "dynamic_sparse" => json!({ "train": phase(2) }),
            _ => json!({}),
        };
        let models = if entry.name == "dynamic_sparse" { &sparse } else { &models };
        let trial = Trial { parameters, models, train: &train, validation: &validation, unfit: &unfit };
        conformance(entry, &trial).unwrap();
    }
}

#[test]
fn usual_parameters_are_those_of_the_type() {
    let entry = find::<StrategyEntry>("metric_based").unwrap();
    let usual: MetricBased = serde_json::from_value((entry.defaults)()).unwrap();
    assert_eq!(usual, MetricBased::default());
}

/// One output has the same "largest output" whatever is left of the network.
#[test]
fn values_have_no_accuracy_to_prune_by() {
    let values = |n, seed| {
        let blobs = blobs(n, FEATURES, seed);
        let targets = blobs.inputs().map_axis(Axis(1), |x| x.sum()).insert_axis(Axis(1));
        Samples::new("sums", blobs.inputs().to_owned(), Targets::Values(targets)).unwrap()
    };
    let (train, held_out) = (values(400, 1), values(200, 2));
    let network = Network::new(FEATURES).spectral(20, Tanh).dense(1, Identity);
    let mut m = network.build(&spectral_cpu::Cpu::new().unwrap(), Seed(1)).unwrap();
    Trainer::new(Adam { rate: 1e-2, ..Adam::default() }).epochs(30).batch(20).fit(&mut m, &train).unwrap();
    let untouched = m.duplicate().unwrap();
    let mut run = |strategy: MetricBased| {
        let mut cx = StrategyCx { train: &train, validation: &held_out, seed: Seed(3), watch: &mut Unwatched };
        strategy.run(&mut m, &mut cx)
    };
    let error = run(MetricBased::default()).unwrap_err().to_string();
    assert!(error.contains("the targets of sums are values") && error.contains("take the metric `loss`"), "{error}");
    run(MetricBased {
        metric: spectral_core::registry::ByName::new("loss"),
        max_change: 20.0,
        ..MetricBased::default()
    })
    .unwrap();
    let loss = |m: &Model| Evaluator::default().run(m, &held_out).unwrap().loss;
    assert!(loss(&m) <= 1.2 * loss(&untouched), "{} {}", loss(&m), loss(&untouched));
}
