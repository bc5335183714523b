//! Times truly sparse training with SET: seconds an epoch, and what of them the exchange of weights takes.
//!
//! `cargo run --release -p spectral-prune --example sparse_epochs -- [UNITS [EPSILON [EPOCHS [BATCH [THREADS]]]]]`
//! trains 3312-UNITS-UNITS-UNITS-5 on 203 random samples, as in the "lung" experiment of Mocanu et al.

use ndarray::Array2;
use spectral_core::{
    Activation, BackendHandle, Density, EpochRecord, Flow, Model, Progress, Result, Samples, Seed, Targets, TrainHook,
};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_prune::topology::{Set, Topology, TopologyHook};
use spectral_sparse::Sparse;
use spectral_train::{Momentum, Trainer};
use std::sync::Arc;
use std::time::Instant;

/// Times another hook.
struct Timed<'a> {
    inner: TopologyHook<'a>,
    seconds: Vec<f64>,
}

impl TrainHook for Timed<'_> {
    fn start(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        self.inner.start(model, at)
    }
    fn after_step(&mut self, model: &mut Model, at: &Progress) -> Result<Flow> {
        self.inner.after_step(model, at)
    }
    fn after_epoch(&mut self, model: &mut Model, at: &Progress, record: &EpochRecord) -> Result<Flow> {
        let start = Instant::now();
        let flow = self.inner.after_epoch(model, at, record);
        self.seconds.push(start.elapsed().as_secs_f64());
        println!("epoch {}: loss {:.4}, {:.4} s of training", record.epoch, record.train.loss, record.seconds);
        flow
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let given: Vec<f64> = std::env::args().skip(1).map(|a| a.parse()).collect::<std::result::Result<_, _>>()?;
    let or = |i: usize, usual: f64| given.get(i).copied().unwrap_or(usual);
    let (units, epsilon, epochs) = (or(0, 3000.0) as usize, or(1, 20.0), or(2, 5.0) as usize);
    let (batch, threads) = (or(3, 2.0) as usize, or(4, 1.0) as usize);
    let mut stream = Seed(1).stream("data", 0);
    let inputs = Array2::from_shape_fn((203, 3312), |_| stream.normal() as f32);
    let labels = (0..203).map(|i| i % 5).collect();
    let data = Samples::new("noise", inputs, Targets::Classes { labels, classes: 5 })?;
    let backend: BackendHandle = Arc::new(Cpu::with_threads(threads)?);

    let start = Instant::now();
    let layer = |units, act| Sparse::new(units, act, 0.0);
    let relu = Activation::Relu;
    let mut model = Network::new(3312)
        .layer(layer(units, relu))
        .layer(layer(units, relu))
        .layer(layer(units, relu))
        .layer(layer(5, Activation::Identity))
        .density(Density::Epsilon(epsilon))
        .build(&backend, Seed(1))?;
    println!("{} stored, built in {:.2} s", model.params().total(), start.elapsed().as_secs_f64());

    let mut hook = Timed { inner: TopologyHook::new(Topology::Set(Set::default()), Seed(1))?, seconds: Vec::new() };
    let trainer = Trainer::new(Momentum { rate: 0.01, momentum: 0.9 }).batch(batch).epochs(epochs);
    let history = trainer.fit_with(&mut model, &data, &mut [&mut hook])?;
    let median = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    };
    let training = median(history.epochs.iter().map(|e| e.seconds).collect());
    println!("median epoch: {training:.4} s of training, {:.4} s of exchange", median(hook.seconds));
    Ok(())
}
