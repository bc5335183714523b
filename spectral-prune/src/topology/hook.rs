//! The training hook that carries exchanges out.

use super::exchange::Stored;
use super::gradient::DenseGradient;
use super::{Every, Method, NewWeights, Topology};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::{
    Batches, DType, EpochRecord, Flow, Gradients, LossKernel, Mode, Model, ParamId, Pattern, Progress, Samples, Seed,
    Shape, State, TrainHook, Trainable, Values, Workspace, hash64,
};
use spectral_train::Loss;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A training hook that exchanges stored weights by a [`Topology`] in every layer that stores its weights on a pattern.
///
/// Kept weights, their optimiser state and frozen weights are not touched. Which entries come and go depends on the
/// model, the seed, the step and (where gradients decide) the growth data alone; ties go to the entry that comes
/// first in the matrix.
#[derive(Debug)]
pub struct TopologyHook<'a> {
    topology: Topology,
    seed: Seed,
    growth: Option<Growth<'a>>,
    layers: Vec<Layer>,
    records: Vec<TopologyRecord>,
}

/// Where gradients of absent weights come from.
#[derive(Debug, Clone, Copy)]
struct Growth<'a> {
    data: &'a Samples,
    loss: Loss,
    batch: usize,
}

/// A parameter on a pattern, and the node it belongs to.
#[derive(Debug)]
struct Layer {
    node: usize,
    slot: usize,
    weight: ParamId,
    budget: usize,
    may_ablate: bool,
}

/// One update of a topology.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TopologyRecord {
    /// Steps done before it.
    pub step: u64,
    /// The epoch in which, or after which, it was; from 1.
    pub epoch: usize,
    /// Entries that were exchanged, over all layers.
    pub exchanged: usize,
    /// Entries stored before it.
    pub before: usize,
    /// Entries stored after it.
    pub stored: usize,
    /// Entries of the whole matrices.
    pub positions: u64,
    /// Units that have no inputs.
    pub ablated: usize,
}

/// What a layer is to be stored on.
struct Planned {
    layer: usize,
    pattern: Pattern,
}

impl<'a> TopologyHook<'a> {
    /// Updates by `topology`, drawing from `seed`.
    ///
    /// # Errors
    /// A setting is out of its range.
    pub fn new(topology: Topology, seed: Seed) -> Result<Self> {
        topology.check()?;
        Ok(Self { topology, seed, growth: None, layers: Vec::new(), records: Vec::new() })
    }

    /// Where gradients of absent weights are taken: `batch` samples of `data`, drawn anew for every update. RigL and
    /// SRigL need it.
    pub fn growing_on(mut self, data: &'a Samples, loss: Loss, batch: usize) -> Self {
        self.growth = Some(Growth { data, loss, batch });
        self
    }

    /// The updates so far, in order.
    pub fn records(&self) -> &[TopologyRecord] {
        &self.records
    }

    /// Finds the layers to work on.
    fn find_layers(&mut self, model: &Model) -> Result<()> {
        let (mut layers, mut owners) = (Vec::new(), BTreeMap::new());
        let last = model.graph().nodes().len() - 1;
        for (node, own) in model.graph().nodes().iter().enumerate() {
            for (slot, &weight) in own.params.iter().enumerate() {
                let param = model.params().get(weight);
                let Some(pattern) = param.pattern.as_ref().filter(|_| param.is_trainable()) else { continue };
                if let Some(other) = owners.insert(weight, node) {
                    let names = [other, node].map(|n| model.graph().nodes()[n].name.as_str());
                    let problem = format!("layers `{}` and `{}` share a weight; give each its own", names[0], names[1]);
                    return Err(Error::Config(problem));
                }
                layers.push(Layer { node, slot, weight, budget: pattern.nonzeros(), may_ablate: node != last });
            }
        }
        if layers.is_empty() {
            let problem = "a sparse topology needs layers that store their weights on a pattern; give layers the kind \
                           `sparse`, or convert the model with `sparsify`";
            return Err(Error::Config(problem.into()));
        }
        if self.topology.method().reads_gradient() {
            self.check_growth(model)?;
        }
        self.layers = layers;
        Ok(())
    }

    /// Finds the layers to work on and gives each the pattern its method starts from.
    fn prepare(&mut self, model: &mut Model) -> Result<()> {
        self.find_layers(model)?;
        let planned = self.plan(model, None, 0, |method, stored, _, stream| method.prepare(stored, stream))?;
        self.carry_out(model, planned, NewWeights::Init, 0)?;
        for layer in &mut self.layers {
            layer.budget = model.params().get(layer.weight).value().len();
        }
        Ok(())
    }

    fn check_growth(&self, model: &Model) -> Result<()> {
        let Some(Growth { data, batch, .. }) = self.growth else {
            return Err(Error::Config("this topology grows by gradients: give it data, `growing_on`".into()));
        };
        let (features, outputs) = (model.graph().input().len(), model.graph().output().len());
        if batch == 0 || data.features() != features || data.targets().outputs() != outputs {
            let (has, gives) = (data.features(), data.targets().outputs());
            return Err(Error::Config(format!(
                "growing on {batch} samples of {} ({has} features, {gives} outputs) does not fit a model of {features} \
                 features and {outputs} outputs",
                data.name
            )));
        }
        Ok(())
    }

    fn update(&mut self, model: &mut Model, at: &Progress, epoch: usize) -> Result<()> {
        let Some(share) = self.topology.method().timing().share_at(at) else { return Ok(()) };
        let before = self.layers.iter().map(|l| model.params().get(l.weight).value().len()).sum();
        let gradients = match (self.growth, self.topology.method().reads_gradient()) {
            (Some(growth), true) => Some(growth.passes(model, self.seed, at.step)?),
            _ => None,
        };
        let planned = self.plan(model, gradients, at.step, |method, stored, gradient, stream| {
            method.exchange(stored, share, gradient, stream)
        })?;
        let exchanged = self.carry_out(model, planned, self.topology.method().new_weights(), at.step)?;
        let mut record =
            TopologyRecord { step: at.step, epoch, exchanged, before, stored: 0, positions: 0, ablated: 0 };
        for layer in &self.layers {
            let Some(pattern) = &model.params().get(layer.weight).pattern else { continue };
            record.stored += pattern.nonzeros();
            record.positions += pattern.nonzeros() as u64 + pattern.absent();
            record.ablated += pattern.starts().windows(2).filter(|w| w[0] == w[1]).count();
        }
        self.records.push(record);
        Ok(())
    }

    /// Asks `choose` for the new pattern of every layer, from the last to the first. Changes nothing.
    fn plan(
        &self,
        model: &Model,
        mut gradients: Option<(Workspace, usize)>,
        step: u64,
        choose: impl Fn(
            &dyn Method,
            &Stored<'_>,
            Option<&DenseGradient<'_>>,
            &mut spectral_core::Stream,
        ) -> Result<Option<Pattern>>,
    ) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for node in (0..model.graph().nodes().len()).rev() {
            for (index, layer) in self.layers.iter().enumerate().filter(|(_, l)| l.node == node) {
                let param = model.params().get(layer.weight);
                let Some(pattern) = &param.pattern else { continue };
                let widened;
                let values = match (param.value().host::<f32>(), param.value().host::<f64>()) {
                    (Ok(v), _) => Values::F32(v),
                    (_, Ok(v)) => Values::F64(v),
                    _ => {
                        widened = model.backend().download(param.value())?;
                        Values::F64(&widened)
                    }
                };
                let trainable = match &param.trainable {
                    Trainable::Only(mask) => Some(mask),
                    _ => None,
                };
                let (budget, may_ablate) = (layer.budget, layer.may_ablate);
                let stored = Stored { pattern, values, trainable, budget, may_ablate };
                let gradient = match &gradients {
                    Some((workspace, _)) => DenseGradient::new(model, workspace, node)?,
                    None => None,
                };
                let mut stream = self.seed.stream("topology", hash64(step, index as u64));
                if let Some(pattern) = choose(self.topology.method(), &stored, gradient.as_ref(), &mut stream)? {
                    planned.push(Planned { layer: index, pattern });
                }
            }
            if let Some((workspace, from)) = &mut gradients
                && node <= *from
            {
                workspace.backward_node(model, node)?;
            }
        }
        Ok(planned)
    }

    /// Stores the layers on their new patterns, and says how many entries are new.
    fn carry_out(&self, model: &mut Model, planned: Vec<Planned>, new: NewWeights, step: u64) -> Result<usize> {
        let mut exchanged = 0;
        for Planned { layer: index, pattern } in planned {
            let layer = &self.layers[index];
            let node = &model.graph().nodes()[layer.node];
            let spec = node.layer.params(&model.graph().input_shapes(&node.inputs))?.swap_remove(layer.slot);
            let key = hash64(step, index as u64);
            let grown = |count| {
                let mut weights = vec![0.0; count];
                if new == NewWeights::Init {
                    spec.init.fill(&mut weights, spec.fan, &mut self.seed.stream("grown weights", key))?;
                }
                Ok(weights)
            };
            let (params, backend) = model.params_mut();
            exchanged += params.rewire(backend, layer.weight, Arc::new(pattern), grown)?;
        }
        Ok(exchanged)
    }
}

impl Growth<'_> {
    /// A forward pass over a batch drawn for `step`, its loss's gradient in place, and the node that has it.
    fn passes(&self, model: &Model, seed: Seed, step: u64) -> Result<(Workspace, usize)> {
        let backend = &**model.backend();
        let mut stream = seed.stream("growth", step);
        let drawn = stream.choose(self.data.len() as u64, self.batch.min(self.data.len()));
        let rows: Vec<usize> = drawn.into_iter().map(|row| row as usize).collect();
        let mut batches = Batches::with_targets(model, rows.len(), Gradients::Parameters)?;
        batches.forward(model, self.data, &rows, Mode::Train, seed.key("growth", step))?;
        let mut totals = backend.zeros(Shape::vector(2), DType::F64)?;
        let node = self.loss.node(model).map_err(spectral_core::Error::from)?;
        let (workspace, targets) = batches.with_loss()?;
        let (outputs, slot) = workspace.output_and_slot(node);
        let gradient_scale = 1.0 / rows.len() as f64;
        let op = LossKernel { kind: self.loss.kind(), outputs, targets, gradient_scale };
        backend.loss(&op, &mut totals, slot)?;
        Ok((batches.workspace, node))
    }
}

impl TrainHook for TopologyHook<'_> {
    fn start(&mut self, model: &mut Model, _: &Progress) -> spectral_core::Result<()> {
        Ok(self.prepare(model)?)
    }

    fn after_step(&mut self, model: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
        if let Every::Steps(steps) = self.topology.method().timing().every
            && at.step.is_multiple_of(steps)
        {
            self.update(model, at, at.epoch + 1)?;
        }
        Ok(Flow::Continue)
    }

    fn after_epoch(&mut self, model: &mut Model, at: &Progress, _: &EpochRecord) -> spectral_core::Result<Flow> {
        if let Every::Epochs(epochs) = self.topology.method().timing().every
            && at.epoch.is_multiple_of(epochs)
        {
            self.update(model, at, at.epoch)?;
        }
        Ok(Flow::Continue)
    }

    fn save(&self) -> spectral_core::Result<State> {
        let budgets: Vec<usize> = self.layers.iter().map(|l| l.budget).collect();
        State::of(&(budgets, &self.records))
    }

    fn load(&mut self, model: &mut Model, state: &State) -> spectral_core::Result<()> {
        let (budgets, records): (Vec<usize>, Vec<TopologyRecord>) = state.read("a sparse topology")?;
        self.find_layers(model)?;
        if budgets.len() != self.layers.len() {
            let problem = format!("a state of {} layers does not fit {}", budgets.len(), self.layers.len());
            return Err(Error::Config(problem).into());
        }
        self.layers.iter_mut().zip(budgets).for_each(|(layer, budget)| layer.budget = budget);
        self.records = records;
        Ok(())
    }
}
