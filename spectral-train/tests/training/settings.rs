//! What is trained and how far a step goes: single layers, clipping, penalties, with every registered optimiser.

use crate::support::{bits, blobs, small, values};
use spectral_core::registry::{ByName, all};
use spectral_core::{DType, Mask, Model, Penalty, Reference, Role, Samples, Seed, Targets, Trainable};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_train::{Adam, Evaluator, Loss, MetricEntry, OptimizerEntry, Sgd, TrainConfig, Trainer};

/// A trainer with every registered optimiser but the one that this program registers to break rules.
fn trainers() -> Vec<(&'static str, Trainer)> {
    let entries = all::<OptimizerEntry>().unwrap().into_iter().filter(|e| e.name != "careless");
    entries.map(|e| (e.name, Trainer::with_optimizer((e.build)((e.defaults)()).unwrap()))).collect()
}

/// For each parameter that may train, how many entries have other bits.
fn moved(model: &Model, before: &[Vec<f64>]) -> Vec<(String, usize)> {
    let count = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    let now = values(model);
    let trained = model.params().iter().filter(|(_, p)| p.is_trainable());
    trained.map(|(id, p)| (p.name.clone(), count(&now[id.index()], &before[id.index()]))).collect()
}

fn trainable(model: &Model) -> Vec<Trainable> {
    model.params().iter().map(|(_, p)| p.trainable.clone()).collect()
}

/// Sparana F3 (`backward_layers`, `train_final_layer`): nothing outside the named layers moves.
#[test]
fn only_named_layers_train_with_every_optimiser() {
    let data = blobs(40, 3, 1);
    for (name, trainer) in trainers() {
        let mut model = small(3, DType::F32);
        let (before, train) = (values(&model), trainable(&model));
        let trainer = trainer.only(["dense2"]).epochs(3).batch(8).penalty(Role::Basis, Penalty { l1: 0.1, l2: 0.1 });
        trainer.fit(&mut model, &data).unwrap();
        for (param, count) in moved(&model, &before) {
            assert_eq!(count > 0, param.starts_with("dense2."), "{name}: {count} entries of {param} moved");
        }
        assert_eq!(trainable(&model), train, "what was frozen for the run stays frozen");
    }
}

#[test]
fn what_was_frozen_before_a_run_of_single_layers_is_frozen_after_it() {
    let mut model = small(3, DType::F32);
    let id = model.params().by_name("dense1.weight").unwrap();
    let some = Trainable::Only(Mask::from_fn(30, |i| i < 7));
    model.params_mut().0.set_trainable(id, some.clone()).unwrap();
    let basis = model.params().by_name("spectral1.basis").unwrap();
    model.params_mut().0.set_trainable(basis, Trainable::None).unwrap();
    let trainer = Trainer::new(Adam::default()).only(["dense2", "spectral1"]);
    trainer.fit(&mut model, &blobs(40, 3, 1)).unwrap();
    assert_eq!(model.params().get(id).trainable, some);
    assert_eq!(model.params().get(basis).trainable, Trainable::None);
    // Also where the run fails.
    let failing = Trainer::new(Sgd { rate: 1e300 }).only(["dense2"]);
    assert!(failing.fit(&mut model, &blobs(40, 3, 1)).is_err());
    assert_eq!(model.params().get(id).trainable, some);
}

#[test]
fn layers_that_do_not_exist_or_cannot_train_are_named() {
    let data = blobs(40, 3, 1);
    let mut model = Network::new(4).dense(5, Relu).dropout(0.5).dense(3, Identity).build(&Cpu::new().unwrap(), Seed(1));
    let model = model.as_mut().unwrap();
    let before = bits(model);
    for (layer, words) in [("dense3", ["unknown layer `dense3`", "did you mean"]), ("dropout1", ["`only`", "no param"])]
    {
        let config = TrainConfig { only: vec![layer.into()], ..TrainConfig::default() };
        let error = config.build(Seed(1)).unwrap().fit(model, &data).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    }
    assert_eq!(bits(model), before);
}

/// Sparana F2: every entry of a gradient is limited before the optimiser sees it, penalties are not.
#[test]
fn clipping_by_value_limits_every_entry_of_the_gradient() {
    let data = blobs(40, 3, 1);
    let step = |limit: Option<f64>, penalty: Penalty| {
        let mut model = small(3, DType::F64);
        let before = values(&model).concat();
        let mut trainer = Trainer::new(Sgd { rate: 1.0 }).batch(40);
        for role in Role::ALL {
            trainer = trainer.penalty(role, penalty);
        }
        trainer = limit.map_or(trainer.clone(), |limit| trainer.clip_value(limit));
        trainer.fit(&mut model, &data).unwrap();
        let moved = values(&model).concat().iter().zip(&before).map(|(a, b)| b - a).collect::<Vec<f64>>();
        (before, moved)
    };
    let (before, free) = step(None, Penalty::default());
    let (_, clipped) = step(Some(0.01), Penalty { l1: 0.0, l2: 2.0 });
    assert!(free.iter().any(|g| g.abs() > 0.01) && free.iter().any(|g| g.abs() < 0.01));
    for ((w, free), clipped) in before.iter().zip(&free).zip(clipped) {
        assert!((free.clamp(-0.01, 0.01) + 4.0 * w - clipped).abs() < 1e-12);
    }
    assert_eq!(step(Some(1e6), Penalty::default()).1, free);
}

/// Sparana F1: the original trains no biases once a regulariser is set, and nothing at all with L1 alone.
#[test]
fn weights_and_biases_train_under_any_regulariser_with_every_optimiser() {
    let data = blobs(60, 3, 1);
    for (name, trainer) in trainers() {
        let train = |l1, l2| {
            let mut model = small(3, DType::F64);
            let before = values(&model);
            let mut trainer = trainer.clone().epochs(4).batch(10);
            for role in [Role::Weight, Role::Bias, Role::Basis] {
                trainer = trainer.penalty(role, Penalty { l1, l2 });
            }
            let history = trainer.fit(&mut model, &data).unwrap();
            for (param, count) in moved(&model, &before) {
                assert!(count > 0, "{name} with l1 {l1}, l2 {l2}: {param} did not move");
            }
            assert!(history.epochs[3].train.loss < history.epochs[0].train.loss, "{name} with l1 {l1}, l2 {l2}");
            values(&model).concat()
        };
        let norm = |v: &[f64]| v.iter().map(|w| w.abs()).sum::<f64>();
        let plain = train(0.0, 0.0);
        for penalised in [train(0.01, 0.0), train(0.0, 0.01), train(0.01, 0.01)] {
            assert!(norm(&penalised) < norm(&plain), "{name}");
        }
    }
}

#[test]
fn every_optimiser_gives_the_same_bits_for_any_number_of_threads() {
    let data = blobs(130, 4, 1);
    for (name, trainer) in trainers() {
        let train = |threads: usize| {
            let cpu = Cpu::with_threads(threads).unwrap();
            let mut model = Network::new(4).spectral(70, Relu).dense(4, Identity).build(&cpu, Seed(3)).unwrap();
            trainer.clone().epochs(2).batch(30).clip_value(0.2).seed(Seed(5)).fit(&mut model, &data).unwrap();
            bits(&model)
        };
        let one = train(1);
        assert!(train(2) == one && train(5) == one, "{name}");
    }
}

/// Keras' `clipnorm`: the norm of every gradient alone; then, if asked for, that of all of them.
#[test]
fn clipping_by_the_norm_of_each_gradient_scales_it_alone() {
    let data = blobs(40, 3, 1);
    let step = |each: Option<f64>, all: Option<f64>| {
        let mut model = small(3, DType::F64);
        let before = values(&model);
        let mut trainer = Trainer::new(Sgd { rate: 1.0 }).batch(40);
        trainer = each.map_or(trainer.clone(), |limit| trainer.clip_norm_each(limit));
        trainer = all.map_or(trainer.clone(), |limit| trainer.clip_norm(limit));
        trainer.fit(&mut model, &data).unwrap();
        let moved = |(now, was): (&Vec<f64>, &Vec<f64>)| was.iter().zip(now).map(|(b, a)| b - a).collect::<Vec<f64>>();
        values(&model).iter().zip(&before).map(moved).collect::<Vec<_>>()
    };
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let free = step(None, None);
    let limit = norm(&free[0]) / 2.0;
    let factor = |g: &[f64]| if norm(g) > limit { limit / norm(g) } else { 1.0 };
    assert!(free.iter().any(|g| factor(g) == 1.0) && free.iter().any(|g| factor(g) < 1.0));
    let near = |a: &[Vec<f64>], b: &[Vec<f64>]| a.concat().iter().zip(b.concat()).all(|(a, b)| (a - b).abs() < 1e-12);
    let each: Vec<Vec<f64>> = free.iter().map(|g| g.iter().map(|v| v * factor(g)).collect()).collect();
    assert!(near(&step(Some(limit), None), &each));
    let all = norm(&each.concat()) / 3.0;
    let both: Vec<Vec<f64>> = each.iter().map(|g| g.iter().map(|v| v / 3.0).collect()).collect();
    assert!(near(&step(Some(limit), Some(all)), &both));
}

/// spectraltools C4: Keras' loss counts the penalties of the layers, on parameters and on outputs.
#[test]
fn metrics_are_registered_and_the_loss_can_count_penalties() {
    let data = blobs(50, 3, 1);
    let layer = Dense { output_penalty: Penalty { l1: 0.5, l2: 0.0 }, ..Dense::new(5, Tanh) };
    let mut model =
        Network::new(4).dtype(DType::F64).layer(layer).dense(3, Identity).build(&Reference, Seed(3)).unwrap();
    let weight = model.params().by_name("dense1.weight").unwrap();
    model.params_mut().0.set_penalty(weight, Penalty { l1: 0.0, l2: 0.25 });
    let measure = |metric: ByName| {
        let metric = metric.build::<MetricEntry>().unwrap();
        metric.measure(&model, &data, Some(Loss::CrossEntropy)).unwrap()
    };
    let metrics = Evaluator::default().run(&model, &data).unwrap();
    assert_eq!(measure(ByName::new("loss")), metrics.loss);
    let w = model.backend().download(model.params().get(weight).value()).unwrap();
    let on_weights: f64 = w.iter().map(|w| 0.25 * w * w).sum();
    let hidden = model.first_layers(1).unwrap();
    let outputs = Evaluator::default().logits(&hidden, &of_five(&data)).unwrap();
    let on_outputs = outputs.values().iter().map(|y| 0.5 * y.abs()).sum::<f64>() / 50.0;
    let with = measure(ByName::new("loss").with("penalties", true));
    assert!((with - (metrics.loss + on_weights + on_outputs)).abs() < 1e-12);
    assert!((0.0..=1.0).contains(&measure(ByName::new("accuracy"))));
    assert_eq!(measure(ByName::new("top_k").with("k", 3)), 1.0);
    let (x, y) = (data.inputs().to_owned(), ndarray::Array2::zeros((50, 3)));
    let values = Samples::new("values", x, Targets::Values(y)).unwrap();
    for name in ["accuracy", "top_k"] {
        let metric = ByName::new(name).build::<MetricEntry>().unwrap();
        let error = metric.measure(&model, &values, None).unwrap_err().to_string();
        assert!(error.contains("values, which have no accuracy"), "{error}");
    }
    let bad = ByName::new("top_k").with("k", 0).build::<MetricEntry>().unwrap_err().to_string();
    assert!(bad.contains("`k` is 0"), "{bad}");
}

/// The same inputs, for a network with five outputs.
fn of_five(data: &Samples) -> Samples {
    let targets = Targets::Classes { labels: vec![0; data.len()], classes: 5 };
    Samples::new("inputs", data.inputs().to_owned(), targets).unwrap()
}
