//! Dynamic sparse topology: what changes at an update, what must not, and that it pays.

use crate::support::samples;
use ndarray::Array2;
use spectral_core::{
    Activation, BackendHandle, DType, EpochRecord, Flow, Mask, Metrics, Model, ParamId, Pattern, Progress, Result,
    Samples, Seed, Targets, TrainHook, Trainable,
};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::Sparse;
use spectral_prune::topology::{Every, NewWeights, Rigl, Set, Srigl, Topology, TopologyHook};
use spectral_train::{Adam, Evaluator, Loss, Momentum, Trainer};
use std::sync::Arc;

fn cpu(threads: usize) -> BackendHandle {
    Arc::new(Cpu::with_threads(threads).unwrap())
}

fn network(inputs: usize, hidden: usize, outputs: usize, density: f64, act: Activation) -> Network {
    let layer = |units, act| Sparse::new(units, act, density);
    Network::new(inputs).layer(layer(hidden, act)).layer(layer(hidden, act)).layer(layer(outputs, Activation::Identity))
}

fn weights(model: &Model) -> Vec<(ParamId, Arc<Pattern>, Vec<f64>)> {
    let stored = model.params().iter().filter_map(|(id, p)| Some((id, p.pattern.clone()?, p)));
    stored.map(|(id, pattern, p)| (id, pattern, model.backend().download(p.value()).unwrap())).collect()
}

fn methods() -> [Topology; 3] {
    let every = Every::Steps(3);
    [
        Topology::Set(Set { every, ..Set::default() }),
        Topology::Rigl(Rigl { every, until: 0.9, ..Rigl::default() }),
        Topology::Srigl(Srigl { every, until: 0.9, ..Srigl::default() }),
    ]
}

/// Hands the model to another hook, and to `check` with what it was before.
struct Around<'a, 'd, F> {
    inner: TopologyHook<'d>,
    check: F,
    seen: &'a mut usize,
}

impl<F: FnMut(&[(ParamId, Arc<Pattern>, Vec<f64>)], &Model) + Send> TrainHook for Around<'_, '_, F> {
    fn start(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        self.inner.start(model, at)
    }
    fn after_step(&mut self, model: &mut Model, at: &Progress) -> Result<Flow> {
        let (before, updates) = (weights(model), self.inner.records().len());
        let flow = self.inner.after_step(model, at)?;
        if self.inner.records().len() > updates {
            *self.seen += 1;
            (self.check)(&before, model);
        }
        Ok(flow)
    }
    fn after_epoch(&mut self, model: &mut Model, at: &Progress, record: &EpochRecord) -> Result<Flow> {
        self.inner.after_epoch(model, at, record)
    }
}

/// Trains with a check after every update; the number of updates.
fn watched(
    topology: Topology,
    model: &mut Model,
    data: &Samples,
    check: impl FnMut(&[(ParamId, Arc<Pattern>, Vec<f64>)], &Model) + Send,
) -> usize {
    let mut seen = 0;
    let inner = TopologyHook::new(topology, Seed(5)).unwrap().growing_on(data, Loss::CrossEntropy, 16);
    let mut hook = Around { inner, check, seen: &mut seen };
    let trainer = Trainer::new(Adam::default()).batch(10).epochs(3).seed(Seed(1));
    trainer.fit_with(model, data, &mut [&mut hook]).unwrap();
    seen
}

#[test]
fn counts_are_exact_patterns_valid_and_kept_weights_untouched_after_every_update() {
    let data = samples(60, 20, 4, 1);
    for topology in methods() {
        for act in [Activation::Relu, Activation::Gelu] {
            let mut model = network(20, 30, 4, 0.15, act).build(cpu(1), Seed(3)).unwrap();
            let new_is_zero = !matches!(topology, Topology::Set(_));
            let exact = !matches!(topology, Topology::Srigl(_));
            let mut moved = 0;
            let seen = watched(topology, &mut model, &data, |before, model| {
                for ((_, old, values), (_, new, after)) in before.iter().zip(weights(model)) {
                    Pattern::new(new.rows(), new.columns(), new.starts().to_vec(), new.indices().to_vec()).unwrap();
                    if exact {
                        assert_eq!(new.nonzeros(), old.nonzeros());
                    }
                    let mut kept = Mask::none(new.nonzeros());
                    old.in_common(&new, |i, j| {
                        assert_eq!(values[i].to_bits(), after[j].to_bits());
                        kept.insert(j);
                    });
                    moved += new.nonzeros() - kept.count();
                    if new_is_zero {
                        assert!(kept.complement().iter().all(|i| after[i].to_bits() == 0));
                    }
                }
            });
            assert_eq!(seen, 5, "{topology:?}");
            assert!(moved > 0, "nothing was exchanged");
        }
    }
}

#[test]
fn what_goes_is_smallest_and_what_comes_was_absent() {
    let data = samples(60, 20, 4, 2);
    for topology in &methods()[..2] {
        let mut model = network(20, 30, 4, 0.2, Activation::Relu).build(cpu(1), Seed(8)).unwrap();
        watched(*topology, &mut model, &data, |before, model| {
            for ((_, old, values), (_, new, _)) in before.iter().zip(weights(model)) {
                let mut stays = Mask::none(old.nonzeros());
                old.in_common(&new, |i, _| stays.insert(i));
                let smallest_kept = stays.iter().map(|i| values[i].abs()).fold(f64::INFINITY, f64::min);
                let largest_gone = stays.complement().iter().map(|i| values[i].abs()).fold(0.0, f64::max);
                assert!(largest_gone <= smallest_kept, "{largest_gone} went, {smallest_kept} stayed");
            }
        });
    }
}

#[test]
fn every_unit_of_srigl_has_the_same_fan_in_or_none() {
    let data = samples(80, 24, 4, 4);
    for gamma in [0.0, 0.5, 1.0] {
        let topology = Topology::Srigl(Srigl { every: Every::Steps(3), until: 0.9, gamma, ..Srigl::default() });
        let mut model = network(24, 40, 4, 0.2, Activation::Relu).build(cpu(1), Seed(2)).unwrap();
        let budgets: Vec<usize> = weights(&model).iter().map(|(_, p, _)| p.nonzeros() / p.rows() * p.rows()).collect();
        let mut ablated = 0;
        watched(topology, &mut model, &data, |_, model| {
            ablated = 0;
            for ((_, pattern, _), budget) in weights(model).iter().zip(&budgets) {
                let fans: Vec<usize> = (0..pattern.rows()).map(|r| pattern.row(r).len()).filter(|n| *n > 0).collect();
                assert!(fans.iter().all(|n| *n == fans[0]), "{fans:?}");
                assert_eq!(fans[0], (budget / fans.len()).min(pattern.columns()));
                ablated += pattern.rows() - fans.len();
                if pattern.rows() == 4 {
                    assert_eq!(fans.len(), 4, "an output unit was ablated");
                }
            }
        });
        assert_eq!(ablated > 0, gamma > 0.0, "gamma {gamma}: {ablated} units ablated");
        if ablated > 0 {
            let compact = spectral_prune::compact(&model).unwrap().model;
            let widths = |m: &Model| m.widths().iter().sum::<usize>();
            assert!(widths(&compact) <= widths(&model) - ablated, "compaction removes ablated units");
        }
    }
}

/// Only input 7 says anything about the class, and no stored weight of the first layer looks at it.
#[test]
fn rigl_grows_where_the_gradient_is() {
    let mut stream = Seed(9).stream("planted", 0);
    let labels: Vec<u32> = (0..200).map(|i| i % 2).collect();
    let inputs = Array2::from_shape_fn((200, 30), |(i, f)| match f {
        7 => 2.0 * labels[i] as f32 - 1.0,
        _ => 0.3 * stream.normal() as f32,
    });
    let data = Samples::new("planted", inputs, Targets::Classes { labels, classes: 2 }).unwrap();
    let mut model = Network::new(30)
        .layer(Sparse::new(20, Activation::Tanh, 0.1))
        .layer(Sparse::new(2, Activation::Identity, 1.0))
        .build(cpu(1), Seed(1))
        .unwrap();
    let (id, old, _) = weights(&model).swap_remove(0);
    let elsewhere: Vec<u64> = old.iter().map(|(r, c)| (r * 30 + if c == 7 { 8 } else { c }) as u64).collect();
    let mut elsewhere = elsewhere;
    elsewhere.dedup();
    let planted = Arc::new(Pattern::from_positions(20, 30, &elsewhere).unwrap());
    let (params, backend) = model.params_mut();
    params.rewire(backend, id, planted, |n| Ok(vec![0.1; n])).unwrap();
    let of_input = |m: &Model| weights(m)[0].1.iter().filter(|(_, c)| *c == 7).count();
    assert_eq!(of_input(&model), 0);
    let rigl = Rigl { share: 0.3, every: Every::Steps(5), until: 0.5 };
    let mut hook = TopologyHook::new(Topology::Rigl(rigl), Seed(1)).unwrap().growing_on(&data, Loss::CrossEntropy, 100);
    let trainer = Trainer::new(Momentum { rate: 0.1, momentum: 0.9 }).batch(20).epochs(2).seed(Seed(1));
    trainer.fit_with(&mut model, &data, &mut [&mut hook]).unwrap();
    let grown = hook.records()[0].exchanged;
    assert!(of_input(&model) >= grown * 3 / 4, "{} of {grown} looked at input 7", of_input(&model));
    assert!(Evaluator::default().run(&model, &data).unwrap().accuracy.unwrap() > 0.95);
}

#[test]
fn the_same_seed_gives_the_same_bits_for_any_number_of_threads_and_another_does_not() {
    let data = samples(60, 20, 4, 6);
    for topology in methods() {
        let run = |threads, seed| {
            let mut model = network(20, 64, 4, 0.2, Activation::Relu).build(cpu(threads), Seed(3)).unwrap();
            let hook = TopologyHook::new(topology, Seed(seed)).unwrap();
            let mut hook = hook.growing_on(&data, Loss::CrossEntropy, 16);
            let trainer = Trainer::new(Adam::default()).batch(10).epochs(2).seed(Seed(1));
            trainer.fit_with(&mut model, &data, &mut [&mut hook]).unwrap();
            model.content_hash().unwrap()
        };
        assert_eq!(run(1, 5), run(2, 5), "{topology:?}");
        assert_ne!(run(1, 5), run(1, 6), "{topology:?}");
    }
}

#[test]
fn frozen_weights_stay_stored_with_their_bits() {
    let data = samples(60, 20, 4, 7);
    for topology in &methods()[..2] {
        let mut model = network(20, 30, 4, 0.2, Activation::Relu).build(cpu(1), Seed(3)).unwrap();
        let (id, pattern, values) = weights(&model).swap_remove(1);
        let frozen = |i: usize| i.is_multiple_of(3);
        let train = Mask::from_fn(values.len(), |i| !frozen(i));
        model.params_mut().0.set_trainable(id, Trainable::Only(train)).unwrap();
        watched(*topology, &mut model, &data, |_, _| ());
        let (_, after, now) = weights(&model).swap_remove(1);
        let mut found = 0;
        pattern.in_common(&after, |i, j| {
            if frozen(i) {
                found += 1;
                assert_eq!(values[i].to_bits(), now[j].to_bits());
            }
        });
        assert_eq!(found, (0..values.len()).filter(|i| frozen(*i)).count());
        let Trainable::Only(mask) = &model.params().get(id).trainable else { panic!("thawed") };
        assert_eq!(mask.complement().count(), found);
    }
}

#[test]
fn what_cannot_work_is_said_before_training() {
    let data = samples(20, 6, 3, 1);
    let fit = |model: &mut Model, hook: &mut TopologyHook<'_>| {
        let trainer = Trainer::new(Adam::default()).batch(5);
        trainer.fit_with(model, &data, &mut [hook]).unwrap_err().to_string()
    };
    let build = |net: &Network| net.build(cpu(1), Seed(1)).unwrap();
    let mut dense = build(&Network::new(6).dense(3, Activation::Identity));
    let error = fit(&mut dense, &mut TopologyHook::new(Topology::default(), Seed(1)).unwrap());
    assert!(error.contains("kind `sparse`"), "{error}");
    let mut sparse = build(&network(6, 5, 3, 0.5, Activation::Relu));
    let error = fit(&mut sparse, &mut TopologyHook::new(Topology::Rigl(Rigl::default()), Seed(1)).unwrap());
    assert!(error.contains("growing_on"), "{error}");
    let other = samples(20, 7, 3, 1);
    let hook = TopologyHook::new(Topology::Rigl(Rigl::default()), Seed(1)).unwrap();
    let error = fit(&mut sparse, &mut hook.growing_on(&other, Loss::CrossEntropy, 5));
    assert!(error.contains("7 features"), "{error}");
    let (id, _, values) = weights(&sparse).swap_remove(0);
    sparse.params_mut().0.set_trainable(id, Trainable::Only(Mask::from_fn(values.len(), |i| i > 0))).unwrap();
    let hook = TopologyHook::new(Topology::Srigl(Srigl::default()), Seed(1)).unwrap();
    let error = fit(&mut sparse, &mut hook.growing_on(&data, Loss::CrossEntropy, 5));
    assert!(error.contains("frozen"), "{error}");
}

#[test]
fn full_layers_exchange_nothing_and_dense_growth_is_capped() {
    let data = samples(60, 8, 4, 3);
    for density in [1.0, 0.95] {
        let mut model = network(8, 10, 4, density, Activation::Relu).build(cpu(1), Seed(3)).unwrap();
        let before = weights(&model);
        let set = Set { share: 0.9, every: Every::Steps(2), until: 1.0, new_weights: NewWeights::Zero };
        let seen = watched(Topology::Set(set), &mut model, &data, |before, model| {
            for ((_, old, _), (_, new, _)) in before.iter().zip(weights(model)) {
                assert_eq!(old.nonzeros(), new.nonzeros());
                let mut common = 0;
                old.in_common(&new, |_, _| common += 1);
                assert_eq!((old.nonzeros() - common) as u64, old.absent());
            }
        });
        assert!(seen > 0);
        if density == 1.0 {
            assert!(before.iter().zip(weights(&model)).all(|((_, a, _), (_, b, _))| **a == *b));
        }
    }
}

/// Training can be cut in two by a file: patterns and values come back, and exchange goes on from there.
#[test]
fn a_model_saved_midway_comes_back_with_its_pattern_and_trains_on() {
    let data = samples(60, 20, 4, 3);
    let mut model = network(20, 30, 4, 0.2, Activation::Relu).build(cpu(1), Seed(3)).unwrap();
    let start = weights(&model);
    watched(methods()[0], &mut model, &data, |_, _| ());
    assert!(start.iter().zip(weights(&model)).any(|((_, a, _), (_, b, _))| **a != *b));
    let mut loaded = spectral_io::from_bytes(&spectral_io::to_bytes(&model).unwrap(), cpu(1)).unwrap();
    assert_eq!(loaded.content_hash().unwrap(), model.content_hash().unwrap());
    for m in [&mut model, &mut loaded] {
        watched(methods()[0], m, &data, |_, _| ());
    }
    assert_eq!(loaded.content_hash().unwrap(), model.content_hash().unwrap());
}

/// Mocanu et al. 2018, in small: at 5 % of the weights a topology that moves beats one that stays.
#[test]
fn on_digits_a_moving_topology_beats_the_same_network_with_a_fixed_one() {
    let digits = spectral_data::load("digits", &spectral_data::DataOptions::default()).unwrap();
    let accuracy = |topology: Option<Topology>, seed: u64| {
        let net = network(64, 100, 10, 0.05, Activation::Relu);
        let mut model = net.build(cpu(1), Seed(seed)).unwrap();
        let trainer = Trainer::new(Adam::default()).batch(32).epochs(30).seed(Seed(seed));
        let mut hook = topology.map(|t| TopologyHook::new(t, Seed(seed)).unwrap());
        hook = hook.map(|h| h.growing_on(&digits.train, Loss::CrossEntropy, 32));
        let mut hooks: Vec<&mut dyn TrainHook> = hook.iter_mut().map(|h| h as _).collect();
        trainer.fit_with(&mut model, &digits.train, &mut hooks).unwrap();
        let Metrics { accuracy, .. } = Evaluator::default().run(&model, &digits.test).unwrap();
        accuracy.unwrap()
    };
    let mean = |topology: Option<Topology>| (0..5).map(|seed| accuracy(topology, seed)).sum::<f64>() / 5.0;
    let fixed = mean(None);
    let set = mean(Some(Topology::Set(Set { until: 0.9, ..Set::default() })));
    let rigl = mean(Some(Topology::Rigl(Rigl { every: Every::Epochs(1), ..Rigl::default() })));
    let srigl = mean(Some(Topology::Srigl(Srigl { every: Every::Epochs(1), ..Srigl::default() })));
    println!("fixed {fixed:.4}, set {set:.4}, rigl {rigl:.4}, srigl {srigl:.4}");
    assert!(set > fixed && rigl > fixed && srigl > fixed, "fixed {fixed}, set {set}, rigl {rigl}, srigl {srigl}");
}

#[test]
fn f64_networks_exchange_too() {
    let data = samples(40, 12, 3, 3);
    for topology in methods() {
        let net = network(12, 16, 3, 0.3, Activation::Tanh).dtype(DType::F64);
        let mut model = net.build(cpu(1), Seed(3)).unwrap();
        assert!(watched(topology, &mut model, &data, |_, _| ()) > 0);
    }
}
