//! The examples of the documentation run.

#[path = "../../spectral/examples/prune.rs"]
mod prune;
#[path = "../../spectral/examples/pruner.rs"]
mod pruner;
#[path = "../../spectral/examples/train.rs"]
mod train;

#[test]
fn train_runs() {
    train::main().unwrap();
}

#[test]
fn prune_runs() {
    prune::main().unwrap();
}

#[test]
fn pruner_runs() {
    pruner::main().unwrap();
}
