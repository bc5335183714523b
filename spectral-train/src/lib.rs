//! Trains models: losses, optimisers, learning-rate schedules, the trainer and the evaluator.
//!
//! ```
//! use spectral_core::Seed;
//! use spectral_train::{Adam, Cosine, Loss, Trainer, Warmup};
//!
//! let trainer = Trainer::new(Adam::default())
//!     .loss(Loss::CrossEntropy)
//!     .schedule(Cosine::default())
//!     .warmup(Warmup::Epochs(1))
//!     .epochs(10)
//!     .batch(100)
//!     .validation(0.1)
//!     .patience(5)
//!     .keep_best()
//!     .seed(Seed(1));
//! # let _ = trainer;
//! // let history = trainer.fit(&mut model, &train)?;
//! ```
//!
//! Optimisers and schedules are registered by name ([`register_optimizer!`], [`register_schedule!`]), so that a
//! plug-in crate's can be asked for in a recipe; see [`TrainConfig`].
//!
//! Never does: printing, reading files, pruning, knowing a layer or a device by type. Depends on `spectral-core`
//! only.

mod config;
mod error;
mod evaluator;
mod loss;
mod metric;
mod optimizer;
mod penalties;
mod schedule;
mod tracker;
mod trainer;

pub use config::TrainConfig;
pub use error::{Error, Result};
pub use evaluator::{Evaluator, Logits};
pub use loss::Loss;
pub use metric::{Accuracy, MeanLoss, Metric, MetricEntry, TopK};
pub use optimizer::{
    Adam, AdamW, Adamax, Momentum, MomentumRestart, Nesterov, Optimizer, OptimizerEntry, OptimizerState, ParamStep,
    RmsProp, Sgd, SignAgreement, StepContext, UpdateRule,
};
pub use schedule::{Constant, Cosine, Schedule, ScheduleEntry, StepDecay, Warmup};
pub use tracker::{Checkpoint, ClassDistances, DistanceTracker};
pub use trainer::Trainer;
