//! Gradients that are never written down: the same run, bit for bit, as with written ones.

use crate::support::{bits, blobs};
use spectral_core::registry::all;
use spectral_core::{DType, Graph, Mask, Model, Node, Penalty, Role, Samples, Seed, Targets, Trainable, ndarray};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::Sparse;
use spectral_layers::prelude::*;
use spectral_train::{Momentum, OptimizerEntry, Sgd, Trainer};

/// 4 -> 70 spectral -> 33 masked -> 90 stored at 60 % -> 9 spectral with both eigenvalues -> 3 dense, with pruned and
/// frozen weights.
fn model(backend: &Cpu, dtype: DType) -> Model {
    let mut both = Spectral::new(9, Tanh);
    both.trainable.lambda_in = true;
    let network = Network::new(4).spectral(70, Tanh).masked(33, Relu, 0.6).layer(Sparse::new(90, Tanh, 0.6));
    let network = network.layer(both).dense(3, Identity);
    let mut model = network.dtype(dtype).build(backend, Seed(5)).unwrap();
    let (params, backend) = model.params_mut();
    let basis = params.by_name("spectral1.basis").unwrap();
    params.prune(backend, basis, &Mask::from_fn(280, |i| i % 7 == 2)).unwrap();
    params.set_trainable(basis, Trainable::Only(Mask::from_fn(280, |i| i % 4 != 1))).unwrap();
    let stored = params.by_name("sparse1.weight").unwrap();
    params.prune(backend, stored, &Mask::from_fn(params.get(stored).value().len(), |i| i % 5 == 1)).unwrap();
    model
}

/// Clipping at what no entry exceeds: it reads all gradients, so they are written.
fn written(trainer: &Trainer) -> Trainer {
    trainer.clone().clip_value(f64::MAX)
}

#[test]
fn every_optimiser_takes_the_same_steps_by_products_as_by_written_gradients() {
    let data = blobs(61, 3, 1);
    // A plug-in of another test has no kernel.
    let own = |entry: &&OptimizerEntry| (entry.build)((entry.defaults)()).unwrap().kernel(1).is_some();
    for entry in all::<OptimizerEntry>().unwrap().into_iter().filter(own) {
        for (batch, dtype) in [(1, DType::F32), (2, DType::F32), (7, DType::F64), (20, DType::F32)] {
            let optimizer = (entry.build)((entry.defaults)()).unwrap();
            let penalty = Penalty { l1: 1e-3, l2: 1e-2 };
            let trainer = Trainer::with_optimizer(optimizer).batch(batch).epochs(2).penalty(Role::Basis, penalty);
            let run = |trainer: &Trainer, threads| {
                let mut model = model(&Cpu::with_threads(threads).unwrap(), dtype);
                trainer.fit(&mut model, &data).unwrap();
                bits(&model)
            };
            let want = run(&written(&trainer), 1);
            for threads in [1, 2, 3] {
                let same = run(&trainer, threads) == want;
                assert!(same, "{}, batches of {batch}, {dtype}, {threads} threads", entry.name);
            }
        }
    }
}

#[test]
fn a_weight_of_two_layers_gets_the_sum_of_both_gradients() {
    let shared = || {
        let network = Network::new(4).dense(4, Tanh).dense(4, Tanh).dense(3, Identity);
        let apart = network.build(&Cpu::with_threads(2).unwrap(), Seed(4)).unwrap();
        let mut graph = Graph::new(apart.graph().input()).unwrap();
        for (i, node) in apart.graph().nodes().iter().enumerate() {
            let params = apart.graph().nodes()[if i == 1 { 0 } else { i }].params.clone();
            graph.add(Node { params, ..node.clone() }).unwrap();
        }
        let params = apart.params().duplicate().unwrap();
        Model::from_parts(graph, params, apart.backend().clone(), apart.dtype(), apart.meta.clone()).unwrap()
    };
    let trainer = Trainer::new(Momentum::default()).batch(8).epochs(2);
    let run = |trainer: &Trainer| {
        let mut model = shared();
        trainer.fit(&mut model, &blobs(40, 3, 2)).unwrap();
        bits(&model)
    };
    assert_eq!(run(&trainer), run(&written(&trainer)));
}

/// Two samples of inputs near the largest number, weights of 0 that they meet, and behind those the weights
/// `[[factor, 0], [0, factor]]`: the loss is small, the first gradient up to `factor / 2` times the inputs.
fn steep(factor: f64) -> (Model, Samples) {
    let inputs = ndarray::arr2(&[[1e38, -1e38, 0.0], [-1e38, 1e38, 0.5e38]]);
    let data = Samples::new("steep", inputs, Targets::Classes { labels: vec![0, 1], classes: 2 }).unwrap();
    let network = Network::new(3).dense(2, Identity).dense(2, Identity);
    let mut model = network.build(&Cpu::with_threads(1).unwrap(), Seed(2)).unwrap();
    let (params, backend) = model.params_mut();
    for (name, values) in [("dense1.weight", &[0.0; 6][..]), ("dense2.weight", &[factor, 0.0, 0.0, factor])] {
        let id = params.by_name(name).unwrap();
        params.edit(backend, id, |t| backend.write(values, t)).unwrap();
    }
    (model, data)
}

#[test]
fn a_product_that_might_overflow_is_looked_at_before_anything_moves() {
    // Of the second gradient only the bound is too large, of the third the entries.
    for (factor, fails) in [(1.0, false), (4.0, false), (100.0, true)] {
        let run = |trainer: &Trainer| {
            let (mut model, data) = steep(factor);
            let before = bits(&model);
            let result = trainer.fit(&mut model, &data).map(|_| ()).map_err(|e| e.to_string());
            assert_eq!((result.is_err(), bits(&model) == before), (fails, fails), "{factor}: {result:?}");
            (result, bits(&model))
        };
        let trainer = Trainer::new(Sgd { rate: 1e-38 }).batch(2);
        assert_eq!(run(&trainer), run(&written(&trainer)), "{factor}");
    }
}
