//! Training stored entries is masked dense training.

use crate::networks::{ACTIVATIONS, WIRINGS, Wiring, cpu, masked};
use spectral_core::{Accum, Activation, DType, Gradients, Mode, Model, Seed, Workspace};
use spectral_layers::Network;
use spectral_layers::Sparse;
use spectral_sparse::{Policy, sparsify_with};
use std::sync::Arc;

const BATCH: usize = 19;

fn gradients(model: &Model, step: u64) -> Workspace {
    let mut ws = Workspace::new(model, BATCH, Gradients::ParametersAndInput).unwrap();
    pass(model, &mut ws, step);
    ws
}

/// One forward and backward pass of `sum(weights * output)`, with as many samples as there is room for.
fn pass(model: &Model, ws: &mut Workspace, step: u64) {
    let batch = ws.capacity();
    let mut stream = Seed(step).stream("x", 0);
    let x: Vec<f64> = (0..model.graph().input().len() * batch).map(|_| stream.uniform(-1.0, 1.0)).collect();
    let backend = model.backend();
    backend.write(&x, ws.begin(model, batch).unwrap()).unwrap();
    ws.forward(model, Mode::Train, step).unwrap();
    let last = model.graph().nodes().len() - 1;
    let mut dy = backend.zeros(ws.output(last).shape(), model.dtype()).unwrap();
    let d: Vec<f64> = (0..dy.len()).map(|_| stream.uniform(-1.0, 1.0)).collect();
    backend.write(&d, &mut dy).unwrap();
    ws.seed_gradient(model, last, &dy).unwrap();
    ws.backward(model, last).unwrap();
}

/// `w -= rate * gradient` for every parameter.
fn descend(model: &mut Model, ws: &Workspace) {
    let ids: Vec<_> = model.params().iter().map(|(id, _)| id).collect();
    for id in ids {
        let (params, backend) = model.params_mut();
        let gradient = ws.param_grad(id).unwrap();
        params.edit(backend, id, |w| backend.scale(-0.05, gradient, w, Accum::Add)).unwrap();
    }
}

/// Values, and what of them a sparse parameter of the same name stores.
fn at_stored(values: &[f64], sparse: &spectral_core::Param) -> Vec<f64> {
    match &sparse.pattern {
        Some(p) => p.iter().map(|(r, c)| values[r * p.columns() + c]).collect(),
        None => values.to_vec(),
    }
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = a.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / size
}

#[test]
fn gradients_and_steps_agree_on_stored_entries() {
    let mut failures = Vec::new();
    for wiring in WIRINGS.into_iter().filter(|w| *w != Wiring::Spectral) {
        for act in ACTIVATIONS {
            for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-12)] {
                let mut dense = masked(wiring, act, dtype, 0.3, 11);
                let mut sparse = sparsify_with(&dense, &Policy::Always).unwrap();
                let mut worst: f64 = 0.0;
                for step in 0..4 {
                    let (a, b) = (gradients(&dense, step), gradients(&sparse, step));
                    let host = |m: &Model, t| m.backend().download(t).unwrap();
                    let inputs = [&a, &b].map(|w| host(&dense, w.input_grad().unwrap()));
                    worst = worst.max(apart(&inputs[0], &inputs[1]));
                    for (id, p) in sparse.params().iter() {
                        let other = dense.params().by_name(&p.name).unwrap();
                        let wanted = at_stored(&host(&dense, a.param_grad(other).unwrap()), p);
                        worst = worst.max(apart(&wanted, &host(&sparse, b.param_grad(id).unwrap())));
                        let value = at_stored(&host(&dense, dense.params().get(other).value()), p);
                        worst = worst.max(apart(&value, &host(&sparse, p.value())));
                    }
                    descend(&mut dense, &a);
                    descend(&mut sparse, &b);
                }
                if worst > tolerance {
                    failures.push(format!("{wiring:?} {act:?} {dtype}: {worst:e} apart"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Sparana B14: never built there.
#[test]
fn a_sparse_softmax_layer_is_built_from_a_recipe_and_learns() {
    let config = serde_json::json!({ "units": 4, "density": 0.5, "activation": "softmax" });
    let spec = spectral_layers::LayerSpec::new("sparse", config.as_object().unwrap().clone());
    let network = spectral_layers::Network::from_specs(6, &[spec]).dtype(DType::F64);
    let mut model = network.build(crate::networks::cpu(), Seed(4)).unwrap();
    let probabilities = |model: &Model| {
        let ws = gradients(model, 9);
        model.backend().download(ws.output(1)).unwrap()
    };
    let before = probabilities(&model);
    for sample in 0..BATCH {
        let column: Vec<f64> = before.iter().skip(sample).step_by(BATCH).copied().collect();
        assert!((column.iter().sum::<f64>() - 1.0).abs() < 1e-12 && column.iter().all(|p| *p > 0.0));
    }
    // `gradients` is of a weighted sum of the outputs, which descending lowers.
    let mut stream = Seed(9).stream("x", 0);
    let drawn: Vec<f64> = (0..10 * BATCH).map(|_| stream.uniform(-1.0, 1.0)).collect();
    let weights = &drawn[6 * BATCH..];
    let sum = |p: &[f64]| p.iter().zip(weights).map(|(p, w)| p * w).sum::<f64>();
    for _ in 0..20 {
        let ws = gradients(&model, 9);
        descend(&mut model, &ws);
    }
    let stored = model.params().iter().next().unwrap().1.pattern.as_ref().unwrap().nonzeros();
    assert_eq!((stored, sum(&probabilities(&model)) < sum(&before) - 0.1), (12, true));
}

#[test]
fn nothing_of_the_size_of_the_matrix_is_kept() {
    let mut dense = spectral_layers::Network::new(400).masked(300, ACTIVATIONS[4], 0.01);
    dense = dense.dtype(DType::F32);
    let sparse = sparsify_with(&dense.build(crate::networks::cpu(), Seed(1)).unwrap(), &Policy::Always).unwrap();
    let (id, weight) = sparse.params().iter().next().unwrap();
    let pattern = weight.pattern.as_ref().unwrap();
    assert_eq!((weight.value().len(), pattern.nonzeros()), (1_200, 1_200));
    let run = 4 * (weight.value().len() + pattern.indices().len() + pattern.starts().len());
    assert_eq!(run, 8 * 1_200 + 4 * 301);
    let by = pattern.by_column();
    assert_eq!(4 * (by.rows.len() + by.positions.len() + by.starts.len()), 8 * 1_200 + 4 * 401);
    assert_eq!(gradients(&sparse, 0).param_grad(id).unwrap().len(), 1_200);
    assert_eq!(sparse.params().total(), 1_200 + 300);
}

/// A gradient that is left as a product needs the pattern; after an exchange nobody else does.
#[test]
fn a_pattern_is_let_go_when_the_next_step_begins() {
    let network = Network::new(30).layer(Sparse::new(40, Activation::Identity, 0.5));
    let model = network.build(cpu(), Seed(1)).unwrap();
    let holders = || model.params().iter().find_map(|(_, p)| p.pattern.as_ref().map(Arc::strong_count));
    let before = holders().unwrap();
    let mut ws = Workspace::new(&model, 2, Gradients::Products).unwrap();
    pass(&model, &mut ws, 1);
    assert_eq!(holders(), Some(before + 1));
    ws.begin(&model, 2).unwrap();
    assert_eq!(holders(), Some(before));
}
