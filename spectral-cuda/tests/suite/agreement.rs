//! Whole pieces of work beside the CPU: training, and pruning by criteria that look at weights only.

use spectral_core::{
    Activation, BackendHandle, Error, IntoBackend, Model, PrunerEntry, Samples, Seed, Targets, registry,
};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_prune::Prune;
use spectral_testkit::backend;
use spectral_train::{Adam, Trainer};

/// Three classes of which each raises every third value.
fn data() -> Samples {
    let (samples, features) = (96, 64);
    let mut stream = Seed(11).stream("data", 0);
    let labels: Vec<u32> = (0..samples as u32).map(|i| i % 3).collect();
    let inputs = ndarray::Array2::from_shape_fn((samples, features), |(s, f)| {
        let centre = f64::from(u8::from(f % 3 == labels[s] as usize));
        (centre + 0.5 * stream.normal()) as f32
    });
    Samples::new("thirds", inputs, Targets::Classes { labels, classes: 3 }).unwrap()
}

/// A layer of every family on the CPU.
fn network() -> Model {
    let network = Network::new(64).reshape(&[1, 8, 8]).conv2d(4, 3, Activation::Relu).flatten();
    let network = network.spectral(30, Activation::Tanh).batch_norm().masked(20, Activation::Gelu, 0.4).dropout(0.1);
    network.dense(3, Activation::Identity).build(&Cpu::with_threads(1).unwrap(), Seed(3)).unwrap()
}

/// The loss curve is that of the CPU.
pub(crate) fn training(backend: impl IntoBackend) {
    let trainer = Trainer::new(Adam::default()).epochs(4).batch(32).seed(Seed(5));
    println!("{}", backend::training(backend, &network(), &trainer, &data()).into_result().unwrap());
}

/// The same entries are pruned as on the CPU.
pub(crate) fn masks(backend: impl IntoBackend) {
    let (model, handle): (_, BackendHandle) = (network(), backend.into_backend());
    let mut tried = 0;
    for entry in registry::all::<PrunerEntry>().unwrap() {
        let prune = Prune::by(entry.name).globally().amount(0.5).seed(Seed(9));
        let cut = |model: &mut Model| prune.apply(model, None).map(drop).map_err(|e| Error::Data(e.to_string()));
        // Some need data, or layers of another kind.
        if cut(&mut model.duplicate().unwrap()).is_ok() {
            backend::masks(&handle, &model, entry.name, cut).into_result().unwrap();
            tried += 1;
        }
    }
    println!("{tried} criteria prune the same entries");
    assert!(tried > 3, "only {tried} criteria");
}
