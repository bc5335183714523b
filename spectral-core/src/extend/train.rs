//! What crates that do not know each other agree on about training.

use crate::base::Result;
use crate::model::Model;
use crate::samples::Samples;
use serde::{Deserialize, Serialize};

/// Trains a model: the trainer itself, or a procedure around it.
pub trait Train {
    /// Trains `model` on `data`, calling `hooks` as it goes.
    ///
    /// # Errors
    /// The data does not fit, a number turned NaN or infinite, or a hook or the device failed.
    fn train(&self, model: &mut Model, data: &Samples, hooks: &mut [&mut dyn TrainHook]) -> Result<History>;
}

/// Something that happens during training: a pruning schedule, a progress bar, a tracker.
pub trait TrainHook: Send {
    /// Called once before the first step.
    ///
    /// # Errors
    /// Stops the training.
    fn start(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        let _ = (model, at);
        Ok(())
    }

    /// Called after every optimiser step; may prune and may stop the training.
    ///
    /// # Errors
    /// Stops the training.
    fn after_step(&mut self, model: &mut Model, at: &Progress) -> Result<Flow> {
        let _ = (model, at);
        Ok(Flow::Continue)
    }

    /// Called after every epoch; may prune and may stop the training.
    ///
    /// # Errors
    /// Stops the training.
    fn after_epoch(&mut self, model: &mut Model, at: &Progress, record: &EpochRecord) -> Result<Flow> {
        let _ = (model, at, record);
        Ok(Flow::Continue)
    }
}

/// Whether training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop after this.
    Stop,
}

/// Where a training run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Epochs planned.
    pub epochs: usize,
}

/// How well a model does on some data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mean loss per sample, without penalties.
    pub loss: f64,
    /// Share of samples whose largest output is the right one.
    pub accuracy: f64,
    /// Samples looked at.
    pub samples: usize,
}

/// Measures a model on data.
pub trait Evaluate {
    /// Loss and accuracy of `model` on `data`.
    ///
    /// # Errors
    /// The data does not fit or the device failed.
    fn evaluate(&self, model: &Model, data: &Samples) -> Result<Metrics>;
}

/// One epoch of a [`History`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// On the training data, averaged while it trained.
    pub train: Metrics,
    /// On the validation data, if there is any.
    pub validation: Option<Metrics>,
    /// Penalties on the parameters at the end of the epoch.
    pub penalty: f64,
    /// Learning rate of the last step.
    pub rate: f64,
    /// Entries that are not pruned.
    pub kept: usize,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// The course of a training run, for plots and decisions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One record an epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose parameters were kept, if the best one was.
    pub best_epoch: Option<usize>,
    /// Why training ended before the planned number of epochs, if it did.
    pub stopped: Option<String>,
}
