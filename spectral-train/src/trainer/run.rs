//! One training run.

use super::best::Best;
use super::clip::Clip;
use super::feed::{Feed, Totals};
use super::held_out::Sets;
use super::{Trainer, finite};
use crate::{OptimizerState, ParamStep, Result};
use spectral_core::{
    DType, EpochRecord, Flow, GradientSync, Gradients, History, Hooks, Metrics, Mode, Model, Node, ParamId, Penalty,
    Progress, Shape, TrainHook,
};
use std::sync::Arc;
use std::time::Instant;

/// Runs `trainer`.
pub(super) fn run(
    trainer: &Trainer,
    model: &mut Model,
    sets: &Sets<'_>,
    hooks: &mut [&mut dyn TrainHook],
) -> Result<History> {
    Run::new(trainer, model, sets)?.train(model, hooks)
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

    fn train(&mut self, model: &mut Model, hooks: &mut [&mut dyn TrainHook]) -> Result<History> {
        Hooks(hooks).start(model, &self.at)?;
        self.follow(model)?;
        while self.at.epoch < self.at.epochs && self.history.stopped.is_none() {
            self.epoch(model, hooks)?;
        }
        self.history.best_epoch = self.best.restore(model)?;
        for hook in hooks.iter_mut() {
            hook.end(model, &self.at)?;
        }
        Ok(std::mem::take(&mut self.history))
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
            penalty: penalty(self.trainer, model)? + outputs,
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
        feed.batches.forward(model, &self.sets.train, rows, Mode::Train, self.trainer.seed.key("step", self.at.step))?;
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

/// `sum over parameters of l1 sum |w| + l2 sum w^2`, frozen ones included.
fn penalty(trainer: &Trainer, model: &Model) -> Result<f64> {
    let mut sum = 0.0;
    for (_, param) in model.params().iter() {
        let extra = trainer.extra(param.role);
        let Penalty { l1, l2 } = Penalty { l1: param.penalty.l1 + extra.l1, l2: param.penalty.l2 + extra.l2 };
        if l1 != 0.0 || l2 != 0.0 {
            let values = model.backend().download(param.value())?;
            sum += values.iter().map(|w| l1 * w.abs() + l2 * w * w).sum::<f64>();
        }
    }
    Ok(sum)
}
