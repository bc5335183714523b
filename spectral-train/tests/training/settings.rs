//! What is trained and how far a step goes: single layers, clipping, penalties, with every registered optimiser.

use crate::support::{bits, blobs, small, values};
use spectral_core::registry::all;
use spectral_core::{DType, Mask, Model, Penalty, Role, Seed, Trainable};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_train::{Adam, OptimizerEntry, Sgd, TrainConfig, Trainer};

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
