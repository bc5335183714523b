//! What most programs need: `use spectral::prelude::*;`

pub use crate::{ModelExt, prove};
pub use spectral_core::Activation::{Gelu, Identity, Relu, Sigmoid, Softmax, Softplus, Tanh};
pub use spectral_core::{
    Activation, Backend, DType, Evaluate, Loader, MixedLoader, Model, Plan, Pruner, Role, Samples, Seed, Session,
    Target, Targets, Train, TrainHook,
};
#[cfg(feature = "cpu")]
pub use spectral_cpu::Cpu;
#[cfg(feature = "io")]
pub use spectral_io::{load, load_delta, save, save_delta};
pub use spectral_layers::Network;
#[cfg(feature = "prune")]
pub use spectral_prune::{GradualPruning, Prune};
#[cfg(feature = "sparse")]
pub use spectral_sparse::{Measured, Policy, SparseTrainer, SparseTraining};
#[cfg(feature = "train")]
pub use spectral_train::{Adam, AdamW, Cosine, DistanceTracker, Evaluator, Loss, Sgd, Trainer, Warmup};
