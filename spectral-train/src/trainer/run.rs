//! One training run.

use super::best::Best;
use super::clip::Clip;
use super::feed::{Feed, Totals};
use super::held_out::Sets;
use super::{Frozen, Trainer, finite};
use crate::{OptimizerState, ParamStep, Result, penalties};
use serde::{Deserialize, Serialize};
use spectral_core::{
    DType, EpochRecord, Error, Flow, GradientSync, Gradients, History, Hooks, Metrics, Mode, Model, Node, ParamId,
    Progress, Shape, State, TrainHook,
};
use std::sync::Arc;
use std::time::Instant;

/// Runs `trainer`.
pub(super) fn run(
    trainer: &Trainer,
    model: &mut Model,
    sets: &Sets<'_>,
    hooks: &mut [&mut dyn TrainHook],
    from: Option<&State>,
    frozen: &Frozen,
) -> Result<History> {
    Run::new(trainer, model, sets)?.train(model, hooks, from, frozen)
}

/// What changes in the course of a run.
struct Run<'a> {
    trainer: &'a Trainer,
    sets: &'a Sets<'a>,
    buffers: Buffers,
    state: OptimizerState,
    best: Best,
    history: History,
    at: Progress,
}

/// Everything that is allocated for the model as it is.
struct Buffers {
    feed: Feed,
    clip: Option<Clip>,
    /// The largest entries of the gradients.
    sizes: Vec<f64>,
    built_for: Form,
}

/// All that the sizes of buffers depend on.
struct Form {
    nodes: Vec<Node>,
    params: Vec<(Shape, DType, Trains)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trains {
    Yes,
    No,
}

/// What a saved state is of, for messages.
const WHAT: &str = "a training run";

/// What the saved state of a run says besides its parts.
#[derive(Serialize, Deserialize)]
struct Fields {
    at: Progress,
    history: History,
    frozen: Frozen,
}

/// What nodes were frozen for the run that `state` is of.
pub(super) fn frozen(state: &State) -> Result<Frozen> {
    Ok(state.read::<Fields>(WHAT)?.frozen)
}

/// What one epoch came to.
#[derive(Default)]
struct Epoch {
    sum: Totals,
    samples: usize,
    rate: f64,
    stop: Option<String>,
}

impl Epoch {
    /// Adds up what all machines came to.
    fn sync(&mut self, sync: &dyn GradientSync) -> Result<()> {
        let mut sums = [self.sum.loss, self.sum.right, self.samples as f64];
        sync.sum(&mut sums)?;
        (self.sum, self.samples) = (Totals { loss: sums[0], right: sums[1] }, sums[2] as usize);
        Ok(())
    }
}

impl<'a> Run<'a> {
    fn new(trainer: &'a Trainer, model: &Model, sets: &'a Sets<'a>) -> Result<Self> {
        let steps = trainer.steps(sets.train.len());
        Ok(Self {
            trainer,
            sets,
            buffers: Buffers::new(trainer, model, sets)?,
            state: OptimizerState::new(),
            best: Best::new(trainer.keep, trainer.min_delta),
            history: History::default(),
            at: Progress { step: 0, steps, epoch: 0, epochs: trainer.epochs },
        })
    }

    fn train(
        &mut self,
        model: &mut Model,
        hooks: &mut [&mut dyn TrainHook],
        from: Option<&State>,
        frozen: &Frozen,
    ) -> Result<History> {
        match from {
            Some(state) => self.load(model, hooks, state)?,
            None => Hooks(hooks).start(model, &self.at)?,
        }
        self.follow(model)?;
        while self.at.epoch < self.at.epochs && self.history.stopped.is_none() {
            self.epoch(model, hooks)?;
            if let Some(keep) = &self.trainer.keep_states {
                keep.keep(model, self.save(model, hooks, frozen)?)?;
            }
        }
        self.history.best_epoch = self.best.restore(model)?;
        Hooks(hooks).end(model, &self.at)?;
        Ok(std::mem::take(&mut self.history))
    }

    /// All that the rest of the run depends on, besides the model, the data and the settings.
    fn save(&self, model: &Model, hooks: &mut [&mut dyn TrainHook], frozen: &Frozen) -> Result<State> {
        let parts = vec![self.state.save(&**model.backend())?, self.best.save(model)?, Hooks(hooks).save()?];
        let fields = Fields { at: self.at, history: self.history.clone(), frozen: frozen.clone() };
        Ok(State { parts, ..State::of(&fields)? })
    }

    fn load(&mut self, model: &mut Model, hooks: &mut [&mut dyn TrainHook], state: &State) -> Result<()> {
        let Fields { at, history, .. } = state.read(WHAT)?;
        let [optimizer, best, of_hooks] = state.parts.as_slice() else {
            return Err(Error::config(format!("saved state of {WHAT}"), "has not the parts of one").into());
        };
        if (at.steps, at.epochs) != (self.at.steps, self.at.epochs) {
            let (was, is) = ((at.epochs, at.steps), (self.at.epochs, self.at.steps));
            let problem = format!(
                "is of {} epochs with {} steps, and this run has {} with {}; go on with the same settings and data",
                was.0, was.1, is.0, is.1
            );
            return Err(Error::config(format!("saved state of {WHAT}"), problem).into());
        }
        (self.at, self.history) = (at, history);
        self.state = OptimizerState::load(optimizer, model.params(), &**model.backend())?;
        self.best.load(model, best)?;
        Ok(Hooks(hooks).load(model, of_hooks)?)
    }

    fn epoch(&mut self, model: &mut Model, hooks: &mut [&mut dyn TrainHook]) -> Result<()> {
        let start = Instant::now();
        let mut epoch = Epoch::default();
        let order = self.sets.train.epoch_order(self.trainer.seed, self.at.epoch as u64);
        for rows in order.chunks(self.trainer.batch) {
            epoch.rate = self.trainer.rate(&self.at);
            epoch.sum += self.step(model, rows, epoch.rate)?;
            epoch.samples += rows.len();
            self.at.step += 1;
            if Hooks(hooks).after_step(model, &self.at)? == Flow::Stop {
                epoch.stop = Some(format!("a hook stopped it after step {}", self.at.step));
            }
            if !hooks.is_empty() {
                self.follow(model)?;
            }
            if epoch.stop.is_some() {
                break;
            }
        }
        // The last update of an epoch is followed by no forward pass that would notice.
        finite::check_parameters(model, self.at.step)?;
        self.at.epoch += 1;
        let outputs = self.buffers.feed.batches.workspace.output_penalty(model)?;
        let validation = match &self.sets.held_out {
            Some(data) => Some(self.buffers.feed.measure(model, data)?),
            None => None,
        };
        if let Some(sync) = &self.trainer.sync {
            epoch.sync(&**sync)?;
        }
        let record = EpochRecord {
            epoch: self.at.epoch,
            train: epoch.sum.metrics(epoch.samples, self.sets.train.targets()),
            validation,
            penalty: penalties::of_parameters(model, |role| self.trainer.extra(role))? + outputs,
            rate: epoch.rate,
            kept: model.params().kept(),
            seconds: start.elapsed().as_secs_f64(),
        };
        self.judge(model, &record, &mut epoch)?;
        self.history.epochs.push(record.clone());
        if Hooks(hooks).after_epoch(model, &self.at, &record)? == Flow::Stop {
            epoch.stop = Some(format!("a hook stopped it after epoch {}", self.at.epoch));
        }
        self.follow(model)?;
        self.history.stopped = epoch.stop;
        Ok(())
    }

    /// Compares this epoch with the best one.
    fn judge(&mut self, model: &Model, record: &EpochRecord, epoch: &mut Epoch) -> Result<()> {
        let (loss, of) = match record.validation {
            Some(Metrics { loss, .. }) => (loss, "validation loss"),
            None => (record.train.loss, "training loss"),
        };
        if !loss.is_finite() {
            return Err(finite::error(format!("the {of}"), self.at.step).into());
        }
        self.best.see(model, record.epoch, loss)?;
        if let (Some(patience), None) = (self.trainer.patience, &epoch.stop)
            && self.best.waited >= patience
            && self.at.epoch < self.at.epochs
        {
            epoch.stop = Some(format!("no lower {of} in {} epochs", self.best.waited));
        }
        Ok(())
    }

    /// One optimiser step on the samples at `rows`.
    fn step(&mut self, model: &mut Model, rows: &[usize], rate: f64) -> Result<Totals> {
        let Buffers { feed, clip, sizes, .. } = &mut self.buffers;
        let step = self.at.step + 1;
        feed.batches.forward(
            model,
            &self.sets.train,
            rows,
            Mode::Train,
            self.trainer.seed.key("step", self.at.step),
        )?;
        let totals = feed.loss(&**model.backend(), Some(1.0 / rows.len() as f64))?;
        if !totals.loss.is_finite() {
            return Err(finite::bad_loss(model, &feed.batches.workspace, totals.loss, step)?.into());
        }
        feed.batches.workspace.backward(model, feed.node)?;
        if let Some(sync) = &self.trainer.sync {
            sync.sync(model, &mut feed.batches.workspace, &self.at)?;
        }
        finite::check_gradients(model, &mut feed.batches.workspace, sizes, step)?;
        if let Some(limit) = self.trainer.clip_value {
            for index in 0..model.params().len() {
                if let Some(gradient) = feed.batches.workspace.param_grad_mut(ParamId(index as u32)) {
                    model.backend().clamp(limit, gradient)?;
                }
            }
        }
        if let Some(clip) = clip {
            clip.measure(model, &mut feed.batches.workspace, step)?;
        }
        for index in 0..model.params().len() {
            let id = ParamId(index as u32);
            let Some(gradient) = feed.batches.workspace.gradient(model, id) else { continue };
            let (params, backend) = model.params_mut();
            let penalty = self.trainer.extra(params.get(id).role);
            let decay = self.trainer.decay_of(params.get(id).role);
            let gradient_scale = clip.as_ref().map_or(1.0, |clip| clip.factor(id));
            let op = ParamStep { id, gradient, rate, gradient_scale, penalty, decay };
            self.state.step(&*self.trainer.optimizer, params, backend, &op)?;
        }
        Ok(totals)
    }

    /// Adapts to what hooks did to the model: masks, frozen parameters, other shapes.
    fn follow(&mut self, model: &Model) -> Result<()> {
        let (params, backend) = (model.params(), &**model.backend());
        if !self.buffers.built_for.is(model) {
            self.trainer.loss_on(&self.sets.train).check(model, &self.sets.train)?;
            self.buffers = Buffers::new(self.trainer, model, self.sets)?;
        }
        Ok(self.state.follow_masks(params, backend)?)
    }
}

impl Buffers {
    fn new(trainer: &Trainer, model: &Model, sets: &Sets<'_>) -> Result<Self> {
        let batch = trainer.batch.min(sets.train.len());
        let reads_gradients = trainer.clips() || trainer.sync.is_some() || trainer.optimizer.kernel(1).is_none();
        let gradients = if reads_gradients { Gradients::Parameters } else { Gradients::Products };
        Ok(Self {
            feed: Feed::new(model, trainer.loss_on(&sets.train), batch, gradients)?,
            clip: Clip::new(trainer, model)?,
            sizes: Vec::new(),
            built_for: Form::of(model),
        })
    }
}

impl Form {
    fn of(model: &Model) -> Self {
        Self { nodes: model.graph().nodes().to_vec(), params: params(model).collect() }
    }

    fn is(&self, model: &Model) -> bool {
        let same =
            |(a, b): (&Node, &Node)| Arc::ptr_eq(&a.layer, &b.layer) && a.inputs == b.inputs && a.params == b.params;
        let nodes = model.graph().nodes();
        nodes.len() == self.nodes.len()
            && nodes.iter().zip(&self.nodes).all(same)
            && params(model).eq(self.params.iter().copied())
    }
}

fn params(model: &Model) -> impl Iterator<Item = (Shape, DType, Trains)> + '_ {
    model.params().iter().map(|(_, p)| {
        let trains = if p.is_trainable() { Trains::Yes } else { Trains::No };
        (p.value().shape(), p.value().dtype(), trains)
    })
}
