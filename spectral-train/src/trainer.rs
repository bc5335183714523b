//! The trainer: what a run is made of. How it runs is in `trainer/run.rs`.

mod best;
mod clip;
mod feed;
mod finite;
mod frozen;
mod held_out;
mod run;

pub(crate) use feed::Feed;
use frozen::Frozen;

use crate::{Constant, Error, Loss, Optimizer, Result, Schedule, Warmup};
use spectral_core::{
    GradientSync, History, KeepState, Model, Penalty, Progress, Role, Samples, Seed, State, Train, TrainHook,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Trains a model by minibatch gradient descent.
///
/// Every epoch visits all samples once, in an order that depends on the seed and the epoch alone; the last batch
/// of an epoch may be smaller and is trained too, its gradient averaged over the samples it has. A steady-state
/// step allocates nothing. Nothing is printed: hooks get the [`Progress`] after every step.
///
/// Determinism: two runs with the same seed, data, model and settings give the same bits in every parameter, for
/// any number of threads of the backend.
#[derive(Debug, Clone)]
pub struct Trainer {
    pub(crate) optimizer: Arc<dyn Optimizer>,
    pub(crate) schedule: Arc<dyn Schedule>,
    pub(crate) warmup: Warmup,
    pub(crate) loss: Option<Loss>,
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    pub(crate) seed: Seed,
    pub(crate) validation: Option<f64>,
    pub(crate) held_out: Option<Arc<Samples>>,
    pub(crate) patience: Option<usize>,
    pub(crate) min_delta: f64,
    pub(crate) keep: Keep,
    pub(crate) clip_norm: Option<f64>,
    pub(crate) clip_norm_each: Option<f64>,
    pub(crate) clip_value: Option<f64>,
    pub(crate) only: Vec<String>,
    pub(crate) penalties: BTreeMap<Role, Penalty>,
    pub(crate) decays: BTreeMap<Role, Penalty>,
    pub(crate) sync: Option<Arc<dyn GradientSync>>,
    pub(crate) keep_states: Option<Arc<dyn KeepState>>,
}

/// Which parameters a run leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those of the last epoch.
    Last,
    /// Those of the epoch with the least loss.
    Best,
}

impl Trainer {
    /// One epoch in batches of 100, at a constant rate, of the loss that suits the targets; every other setting by the
    /// methods below.
    pub fn new(optimizer: impl Optimizer) -> Self {
        Self::with_optimizer(Box::new(optimizer))
    }

    /// As [`new`](Self::new), with an optimiser from the registry.
    pub fn with_optimizer(optimizer: Box<dyn Optimizer>) -> Self {
        Self {
            optimizer: optimizer.into(),
            schedule: Arc::new(Constant {}),
            warmup: Warmup::default(),
            loss: None,
            epochs: 1,
            batch: 100,
            seed: Seed(0),
            validation: None,
            held_out: None,
            patience: None,
            min_delta: 0.0,
            keep: Keep::Last,
            clip_norm: None,
            clip_norm_each: None,
            clip_value: None,
            only: Vec::new(),
            penalties: BTreeMap::new(),
            decays: BTreeMap::new(),
            sync: None,
            keep_states: None,
        }
    }

    /// How often every sample is visited. 0 trains nothing.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Samples per step, at least 1.
    pub fn batch(mut self, samples: usize) -> Self {
        self.batch = samples;
        self
    }

    /// What the order of samples, the validation split and random layers derive from.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = seed;
        self
    }

    /// What is made small. Without it, or with `None`: [`Loss::for_targets`].
    pub fn loss(mut self, loss: impl Into<Option<Loss>>) -> Self {
        self.loss = loss.into();
        self
    }

    /// How the learning rate changes.
    pub fn schedule(self, schedule: impl Schedule) -> Self {
        self.with_schedule(Box::new(schedule))
    }

    /// As [`schedule`](Self::schedule), with one from the registry.
    pub fn with_schedule(mut self, schedule: Box<dyn Schedule>) -> Self {
        self.schedule = schedule.into();
        self
    }

    /// How long the learning rate rises before the schedule begins.
    pub fn warmup(mut self, warmup: Warmup) -> Self {
        self.warmup = warmup;
        self
    }

    /// Share of the samples, inside `0..1`, that is not trained on but measured after every epoch; the same share
    /// of every class.
    ///
    /// They are drawn once in the life of a model, by the seed of the trainer that first asks for some.
    /// [`Meta::held_out`](spectral_core::Meta::held_out) remembers them, and every later run on the same data leaves
    /// out the same ones, whatever its own share and seed: samples that were once trained on tell nothing.
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = Some(share);
        self
    }

    /// Measures these samples after every epoch and trains on all that [`fit`](Self::fit) is given, instead of holding
    /// out a [share](Self::validation) of it.
    pub fn validate_on(mut self, held_out: impl Into<Arc<Samples>>) -> Self {
        self.held_out = Some(held_out.into());
        self
    }

    /// Stops after that many epochs in a row, at least 1, without a lower loss: the validation loss, or the
    /// training loss where nothing is held out.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = Some(epochs);
        self
    }

    /// By how much a loss must be lower to count as lower.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }

    /// Leaves the parameters of the epoch with the lowest loss behind, bit for bit, instead of the last ones.
    ///
    /// Epochs before the masks last changed do not compete: a model with fewer pruned entries is another model.
    pub fn keep_best(mut self) -> Self {
        self.keep = Keep::Best;
        self
    }

    /// Scales gradients down so that their Euclidean norm over all trained entries, penalties not included, is at
    /// most `norm`. Pascanu et al. 2013.
    pub fn clip_norm(mut self, norm: f64) -> Self {
        self.clip_norm = Some(norm);
        self
    }

    /// As [`clip_norm`](Self::clip_norm) for the gradient of every parameter alone, before the norm of all is taken.
    pub fn clip_norm_each(mut self, norm: f64) -> Self {
        self.clip_norm_each = Some(norm);
        self
    }

    /// Limits every entry of a gradient, penalties not included, to `-limit..=limit`, before the norm is taken.
    pub fn clip_value(mut self, limit: f64) -> Self {
        self.clip_value = Some(limit);
        self
    }

    /// Trains the parameters of these nodes alone (all, if there are none); the others are frozen while the run
    /// lasts and can train again after it. A hook may thaw them. Source: Sparana (`backward_layers`).
    pub fn only<N: Into<String>>(mut self, nodes: impl IntoIterator<Item = N>) -> Self {
        self.only = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// What happens to gradients between backward and step, and to sums at the end of an epoch: training on several
    /// machines, inspection.
    pub fn sync(mut self, sync: impl GradientSync + 'static) -> Self {
        self.sync = Some(Arc::new(sync));
        self
    }

    /// Hands the state of the run to `keep` after every epoch, for [`resume`](Self::resume).
    pub fn keep_states(mut self, keep: impl KeepState + 'static) -> Self {
        self.keep_states = Some(Arc::new(keep));
        self
    }

    /// Adds a penalty on all parameters of one role to those the parameters carry.
    pub fn penalty(mut self, role: Role, penalty: Penalty) -> Self {
        self.penalties.insert(role, penalty);
        self
    }

    /// Lets all parameters of one role decay beside every step of the optimiser: `w -= rate (l2 w + l1 sign(w))`, with
    /// `w` as before the step. Unlike a [`penalty`](Self::penalty) it is not part of the gradient, so momentum and
    /// running means do not see it.
    pub fn decay(mut self, role: Role, decay: Penalty) -> Self {
        self.decays.insert(role, decay);
        self
    }

    /// Trains `model` on `data`.
    ///
    /// # Errors
    /// A setting is out of its range, the data does not fit the model, the device failed, or a loss, gradient or
    /// parameter is NaN or infinite. The model then has the parameters of the last good step.
    pub fn fit(&self, model: &mut Model, data: &Samples) -> Result<History> {
        self.fit_with(model, data, &mut [])
    }

    /// Trains `model` on `data`, calling `hooks` in order after every step and every epoch.
    ///
    /// A hook may prune, freeze, or replace parameters by ones of another shape; the run follows.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), or a hook failed.
    pub fn fit_with(&self, model: &mut Model, data: &Samples, hooks: &mut [&mut dyn TrainHook]) -> Result<History> {
        self.run(model, data, hooks, None)
    }

    /// Goes on with a run that stopped: `state` is what [`keep_states`](Self::keep_states) was given, and `model` the
    /// model as it was then. With the same settings, data and hooks the rest of the run gives the same bits.
    ///
    /// # Errors
    /// As [`fit_with`](Self::fit_with), or the state is of another run.
    pub fn resume(
        &self,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
        state: &State,
    ) -> Result<History> {
        self.run(model, data, hooks, Some(state))
    }

    fn run(
        &self,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
        from: Option<&State>,
    ) -> Result<History> {
        self.check_for(model, data)?;
        let sets = held_out::Sets::of(self, model, data)?;
        check_averages(model, self.batch.min(sets.train.len()))?;
        let frozen = match from {
            Some(state) => run::frozen(state)?,
            None => Frozen::all_but(&self.only, model)?,
        };
        let result = run::run(self, model, &sets, hooks, from, &frozen);
        frozen.thaw(model)?;
        result
    }

    /// The loss that is made small on `data`.
    pub(crate) fn loss_on(&self, data: &Samples) -> Loss {
        self.loss.unwrap_or_else(|| Loss::for_targets(data.targets()))
    }

    /// Optimiser steps that a run on this many samples takes, held-out ones not counted.
    pub fn steps(&self, samples: usize) -> u64 {
        self.epochs as u64 * samples.div_ceil(self.batch.max(1)) as u64
    }

    /// Finds everything that would stop [`fit`](Self::fit) from training `model` on `data`, without training: settings
    /// out of range, sizes and targets that do not fit, unknown layers.
    ///
    /// # Errors
    /// The first problem.
    pub fn check_for(&self, model: &Model, data: &Samples) -> Result<()> {
        self.check()?;
        let loss = self.loss_on(data);
        loss.check(model, data)?;
        if let Some(held_out) = &self.held_out {
            loss.check(model, held_out)?;
        }
        check_averages(model, self.batch.min(data.len()))?;
        frozen::check(&self.only, model)
    }

    /// Learning rate of the step after `at`.
    pub fn rate(&self, at: &Progress) -> f64 {
        self.optimizer.rate() * self.warmup.factor(&*self.schedule, at)
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// One is out of its range.
    pub fn check(&self) -> Result<()> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let not_negative = |v: f64| v.is_finite() && v >= 0.0;
        let require = |holds: bool, setting, value: &dyn ToString, requirement| {
            if holds { Ok(()) } else { Err(Error::setting(setting, value.to_string(), requirement)) }
        };
        require(self.batch >= 1, "batch", &self.batch, "a step needs at least 1 sample")?;
        if let Some(share) = self.validation {
            require(share > 0.0 && share < 1.0, "validation", &share, "the share must be between 0 and 1")?;
        }
        if let Some(epochs) = self.patience {
            require(epochs >= 1, "patience", &epochs, "it must be at least 1 epoch")?;
        }
        require(not_negative(self.min_delta), "min_delta", &self.min_delta, "it must be a finite number, 0 or more")?;
        for (setting, limit) in
            [("clip_norm", self.clip_norm), ("clip_norm_each", self.clip_norm_each), ("clip_value", self.clip_value)]
        {
            if let Some(limit) = limit {
                require(positive(limit), setting, &limit, "it must be a finite number above 0")?;
            }
        }
        for (setting, by_role) in [("penalty", &self.penalties), ("decay", &self.decays)] {
            for value in by_role.values().flat_map(|p| [p.l1, p.l2]) {
                require(not_negative(value), setting, &value, "factors must be finite numbers, 0 or more")?;
            }
        }
        self.optimizer.check()?;
        Ok(self.schedule.check()?)
    }

    /// Whether it limits gradients.
    pub(crate) fn clips(&self) -> bool {
        self.clip_norm.is_some() || self.clip_norm_each.is_some() || self.clip_value.is_some()
    }

    /// How parameters of `role` decay beside the step.
    pub(crate) fn decay_of(&self, role: Role) -> Penalty {
        self.decays.get(&role).copied().unwrap_or_default()
    }

    /// The penalty this run adds to parameters of `role`.
    pub(crate) fn extra(&self, role: Role) -> Penalty {
        self.penalties.get(&role).copied().unwrap_or_default()
    }
}

/// Refuses a network that standardises over batches which have nothing to standardise over.
fn check_averages(model: &Model, batch: usize) -> Result<()> {
    let graph = model.graph();
    for node in graph.nodes() {
        let averages = node.params.iter().any(|&id| model.params().get(id).averaged().is_some());
        let values = node.inputs.first().map_or(0, |&source| graph.shape(source).columns() * batch);
        if averages && values == 1 {
            let requirement = "a layer that standardises over the batch needs 2 or more samples";
            return Err(Error::setting("batch", format!("1 in front of layer `{}`", node.name), requirement));
        }
    }
    Ok(())
}

impl Train for Trainer {
    fn train(
        &self,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> spectral_core::Result<History> {
        Ok(self.fit_with(model, data, hooks)?)
    }
}
