//! What crates that do not know each other agree on about training.

use crate::base::{Error, Result};
use crate::extend::State;
use crate::model::Model;
use crate::run::Workspace;
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
///
/// Calls come in this order: [`start`](Self::start), then [`after_step`](Self::after_step) for every step and
/// [`after_epoch`](Self::after_epoch) for every epoch, then [`end`](Self::end).
///
/// A hook that remembers something from call to call writes it down in [`save`](Self::save) and takes it back in
/// [`load`](Self::load), so that a run that stopped goes on to the same bits.
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

    /// Called once after the last step, also where patience or a hook ended the run early; not after an error.
    ///
    /// # Errors
    /// What the hook promised was not reached: the run fails.
    fn end(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        let _ = (model, at);
        Ok(())
    }

    /// Writes down what the hook remembers. Hooks that remember nothing need not.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self) -> Result<State> {
        Ok(State::default())
    }

    /// Takes back what [`save`](Self::save) wrote. Called in place of [`start`](Self::start) where a run goes on, on
    /// the model as it was.
    ///
    /// # Errors
    /// It was written by something else.
    fn load(&mut self, model: &mut Model, state: &State) -> Result<()> {
        let _ = model;
        match state.is_empty() {
            true => Ok(()),
            false => {
                Err(Error::config("saved state of a hook", "is of a hook that remembers something, and this does not"))
            }
        }
    }
}

/// Several hooks as one: each is called in turn, and one that stops stops all.
pub struct Hooks<'a, 'h>(pub &'a mut [&'h mut dyn TrainHook]);

impl TrainHook for Hooks<'_, '_> {
    fn start(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        self.0.iter_mut().try_for_each(|hook| hook.start(model, at))
    }

    fn after_step(&mut self, model: &mut Model, at: &Progress) -> Result<Flow> {
        self.0.iter_mut().try_fold(Flow::Continue, |flow, hook| Ok(flow.and(hook.after_step(model, at)?)))
    }

    fn after_epoch(&mut self, model: &mut Model, at: &Progress, record: &EpochRecord) -> Result<Flow> {
        self.0.iter_mut().try_fold(Flow::Continue, |flow, hook| Ok(flow.and(hook.after_epoch(model, at, record)?)))
    }

    fn end(&mut self, model: &mut Model, at: &Progress) -> Result<()> {
        self.0.iter_mut().try_for_each(|hook| hook.end(model, at))
    }

    fn save(&self) -> Result<State> {
        let parts = self.0.iter().map(|hook| hook.save()).collect::<Result<_>>()?;
        Ok(State { parts, ..State::default() })
    }

    fn load(&mut self, model: &mut Model, state: &State) -> Result<()> {
        if state.parts.len() != self.0.len() {
            let problem = format!("is of {} hooks, and there are {}", state.parts.len(), self.0.len());
            return Err(Error::config("saved state of hooks", problem));
        }
        self.0.iter_mut().zip(&state.parts).try_for_each(|(hook, state)| hook.load(model, state))
    }
}

impl std::fmt::Debug for Hooks<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}

/// Takes what a run would need to go on, after each of its epochs.
pub trait KeepState: std::fmt::Debug + Send + Sync {
    /// Keeps the state of a run, and the model it is in.
    ///
    /// # Errors
    /// Stops the training.
    fn keep(&self, model: &Model, state: State) -> Result<()>;
}

/// The seam between backward and step: what several machines do with gradients and sums, or who inspects them.
///
/// A trainer without one pays nothing. With one, all gradients are written down.
pub trait GradientSync: std::fmt::Debug + Send + Sync {
    /// Called once in every step, after backward and before gradients are checked, clipped and used. May change them: a
    /// mean over machines.
    ///
    /// # Errors
    /// Stops the training.
    fn sync(&self, model: &Model, gradients: &mut Workspace, at: &Progress) -> Result<()>;

    /// Adds up numbers over machines, in place: sums of losses, right answers and samples. One machine has nothing to
    /// add.
    ///
    /// # Errors
    /// Stops the training.
    fn sum(&self, values: &mut [f64]) -> Result<()> {
        let _ = values;
        Ok(())
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

impl Flow {
    /// Stops if one of the two does.
    pub fn and(self, other: Self) -> Self {
        if self == Self::Stop { self } else { other }
    }
}

/// Where a training run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Share of samples whose largest output is the right one. `None` where the targets are values and not classes;
    /// NaN where the loss is, because an output that is not a number ranks nowhere.
    pub accuracy: Option<f64>,
    /// Samples looked at.
    pub samples: usize,
}

impl Metrics {
    /// The mean of several measurements, and the samples of all; zeros for none.
    pub fn mean(all: &[Self]) -> Self {
        let n = all.len().max(1) as f64;
        let accuracies: Option<Vec<f64>> = all.iter().map(|m| m.accuracy).collect();
        Self {
            loss: all.iter().map(|m| m.loss).sum::<f64>() / n,
            accuracy: accuracies.map(|a| a.iter().sum::<f64>() / n),
            samples: all.iter().map(|m| m.samples).sum(),
        }
    }
}

impl std::fmt::Display for Metrics {
    /// `accuracy 0.9750` where there are classes, `loss 0.0812` otherwise.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.accuracy {
            Some(accuracy) => write!(f, "accuracy {accuracy:.4}"),
            None => write!(f, "loss {:.4}", self.loss),
        }
    }
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
