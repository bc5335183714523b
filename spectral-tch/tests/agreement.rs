//! Training and pruning on libtorch beside the CPU.

#![cfg(feature = "libtorch")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use spectral_core::{Activation, BackendHandle, BackendOptions, Model, PrunerEntry, Samples, Seed, Targets, registry};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_prune::Prune;
use spectral_tch::Torch;
use spectral_testkit::backend;
use spectral_train::{Adam, Trainer};
use std::sync::Arc;

fn torch(threads: usize) -> spectral_core::Result<BackendHandle> {
    Ok(Arc::new(Torch::new(&BackendOptions { threads: Some(threads) })?))
}

/// Three classes of which each raises every third value.
fn data() -> Samples {
    let (samples, features) = (240, 64);
    let mut stream = Seed(11).stream("data", 0);
    let labels: Vec<u32> = (0..samples as u32).map(|i| i % 3).collect();
    let inputs = ndarray::Array2::from_shape_fn((samples, features), |(s, f)| {
        let center = if f % 3 == labels[s] as usize { 1.0 } else { 0.0 };
        (center + 0.5 * stream.normal()) as f32
    });
    Samples::new("thirds", inputs, Targets::Classes { labels, classes: 3 }).unwrap()
}

fn network(backend: &BackendHandle) -> Model {
    Network::new(64)
        .reshape(&[1, 8, 8])
        .conv2d(4, 3, Activation::Relu)
        .flatten()
        .spectral(40, Activation::Tanh)
        .batch_norm()
        .masked(30, Activation::Gelu, 0.4)
        .dropout(0.1)
        .dense(3, Activation::Identity)
        .build(backend, Seed(3))
        .unwrap()
}

#[test]
fn a_training_run_has_the_loss_curve_of_the_cpu() {
    let cpu: BackendHandle = Arc::new(Cpu::with_threads(2).unwrap());
    let trainer = Trainer::new(Adam::default()).epochs(6).batch(32).seed(Seed(5));
    let report = backend::training(torch(2).unwrap(), &network(&cpu), &trainer, &data());
    println!("{}", report.into_result().unwrap());
}

#[test]
fn every_criterion_that_looks_at_weights_only_prunes_the_same_entries() {
    let cpu: BackendHandle = Arc::new(Cpu::with_threads(2).unwrap());
    let (model, torch) = (network(&cpu), torch(2).unwrap());
    let mut tried = 0;
    for entry in registry::all::<PrunerEntry>().unwrap() {
        let prune = Prune::by(entry.name).globally().amount(0.5).seed(Seed(9));
        let cut = |model: &mut Model| match prune.apply(model, None) {
            Ok(_) => Ok(()),
            Err(e) => Err(spectral_core::Error::Data(e.to_string())),
        };
        if cut(&mut model.duplicate().unwrap()).is_err() {
            // Needs data, or layers of another kind.
            continue;
        }
        backend::masks(&torch, &model, entry.name, cut).into_result().unwrap();
        tried += 1;
    }
    assert!(tried > 3, "only {tried} criteria");
}
