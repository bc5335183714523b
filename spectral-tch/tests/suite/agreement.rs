//! Training and pruning on libtorch beside the CPU.

use spectral_core::{BackendOptions, Model, Seed};
use spectral_cpu::Cpu;
use spectral_prune::Prune;
use spectral_tch::Torch;
use spectral_testkit::backend;
use spectral_train::{Adam, Trainer};

// Linked for what it registers.
use spectral_layers as _;

#[test]
fn whole_pieces_of_work_come_out_as_on_the_cpu() {
    let (cpu, torch) = (Cpu::with_threads(2).unwrap(), Torch::new(&BackendOptions { threads: Some(2) }).unwrap());
    let trainer = Trainer::new(Adam::default()).epochs(4).batch(32).seed(Seed(5));
    let prune = |by: &str, model: &mut Model| Prune::by(by).globally().amount(0.5).seed(Seed(9)).apply(model, None);
    println!("{}", backend::agreement(&cpu, &torch, &trainer, prune).into_result().unwrap());
}
