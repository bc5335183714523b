//! Training that stores only weights that are not pruned, where that is faster.

use crate::Result;
use crate::convert::{convertible, store_kept, weight_of};
use serde::{Deserialize, Serialize};
use spectral_core::{
    EpochRecord, Flow, History, Hooks, Mask, Model, Param, ParamId, Progress, Samples, State, Train, TrainHook,
    Trainable,
};
use std::collections::BTreeMap;

/// Whether training stores only the weights that are not pruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SparseTraining {
    /// In layers with so few weights left that it is faster: at most 30 % on the backend `cpu`, none on others.
    #[default]
    Auto,
    /// In no layer.
    Never,
    /// In every layer with pruned weights, at any cost.
    Always,
}

/// Trains as another trainer does, but layers with few weights left train on stored weights only.
///
/// If few weights of a layer are left, at the start or because a hook has just pruned, they are stored on a pattern
/// until the run ends. Values, gradients and optimiser state of those weights keep what they had. What is pruned later
/// is dropped as well. Afterwards the matrices are whole and masked again: within rounding, the model is the same as
/// after masked training, and its history does not mention this.
///
/// Only layers that compute and train `act(W x + b)` and can store `W` take part. Those that share a parameter, draw
/// weights at random, train factors of `W` or have a frozen `W` stay as they are.
///
/// Determinism: what is stored depends only on masks, so the same seed gives the same bits for any number of threads.
///
/// ```
/// use spectral_core::{Activation::*, Samples, Seed, Targets, Train};
/// use spectral_sparse::SparseTrainer;
/// # use spectral_core::ndarray::Array2;
/// # let targets = Targets::Classes { labels: vec![0, 1, 0, 1], classes: 2 };
/// # let data = Samples::new("four", Array2::from_shape_fn((4, 20), |(i, j)| ((i * j) % 5) as f32), targets)?;
///
/// let network = spectral_layers::Network::new(20).masked(30, Relu, 0.1).dense(2, Identity);
/// let mut model = network.build(&spectral_cpu::Cpu::new()?, Seed(7))?;
/// let trainer = spectral_train::Trainer::new(spectral_train::Adam::default()).epochs(2).batch(2);
/// SparseTrainer::new(&trainer).train(&mut model, &data, &mut [])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SparseTrainer<'a> {
    trainer: &'a dyn Train,
    when: SparseTraining,
}

/// How a layer with a masked matrix was trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainedLayer {
    /// Node name.
    pub name: String,
    /// Units and inputs.
    pub shape: [usize; 2],
    /// Weights that are not pruned.
    pub kept: usize,
    /// Steps done before only those were stored; absent if the whole matrix trained all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why.
    pub reason: String,
}

impl<'a> SparseTrainer<'a> {
    /// Trains as `trainer` does, with stored weights where that is faster.
    pub fn new(trainer: &'a dyn Train) -> Self {
        Self { trainer, when: SparseTraining::Auto }
    }

    /// Sets when weights are stored; default: [`SparseTraining::Auto`].
    pub fn when(mut self, when: SparseTraining) -> Self {
        self.when = when;
        self
    }

    /// Trains `model`, and reports how every layer with a masked matrix was trained; nothing if no layer may be
    /// converted.
    ///
    /// # Errors
    /// As the trainer's, or the device failed.
    pub fn fit(
        &self,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> spectral_core::Result<(History, Vec<TrainedLayer>)> {
        let most = match self.when {
            SparseTraining::Auto => faster_up_to(model.backend().name()),
            SparseTraining::Never => 0.0,
            SparseTraining::Always => 1.0,
        };
        if most == 0.0 {
            return Ok((self.trainer.train(model, data, hooks)?, Vec::new()));
        }
        let mut storing = Storing { when: self.when, most, stored: BTreeMap::new(), seen: None };
        // It is the last hook, so that it sees what the others have pruned.
        let trained = self.trainer.train(model, data, &mut [&mut Hooks(hooks), &mut storing]);
        // Even if training failed, the model gets its whole matrices back.
        let layers = storing.finish(model);
        Ok((trained?, layers?))
    }
}

impl Train for SparseTrainer<'_> {
    fn train(
        &self,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> spectral_core::Result<History> {
        Ok(self.fit(model, data, hooks)?.0)
    }
}

/// The share of kept weights up to which a layer trains faster on stored weights than as a whole matrix with a mask; 0
/// for backends that were never measured.
///
/// A constant of the backend, never measured at run time, because the kernel that trains must depend only on the model.
/// For `cpu` it was measured on networks from 64-32-10 to 3072-1024-512-10 with Adam and momentum, in batches of 100,
/// on one and two threads of an AVX-512 Xeon: steps on stored entries take as long as masked ones at about 50 %; at 30
/// % they are at least 1.3 times as fast.
fn faster_up_to(backend: &str) -> f64 {
    match backend {
        "cpu" => 0.3,
        _ => 0.0,
    }
}

/// Converts layers during a run.
struct Storing {
    when: SparseTraining,
    /// The share of kept weights up to which a layer is converted.
    most: f64,
    /// By node: what to restore.
    stored: BTreeMap<usize, Stored>,
    /// The mask version at the last look.
    seen: Option<u64>,
}

/// A weight that is stored while the run lasts.
#[derive(Serialize, Deserialize)]
struct Stored {
    since: u64,
    /// Which entries of the whole matrix trained.
    trainable: Trainable,
}

impl TrainHook for Storing {
    fn start(&mut self, model: &mut Model, at: &Progress) -> spectral_core::Result<()> {
        Ok(self.follow(model, at.step)?)
    }

    fn after_step(&mut self, model: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
        self.follow(model, at.step)?;
        Ok(Flow::Continue)
    }

    fn after_epoch(&mut self, model: &mut Model, at: &Progress, _: &EpochRecord) -> spectral_core::Result<Flow> {
        self.follow(model, at.step)?;
        Ok(Flow::Continue)
    }

    fn save(&self) -> spectral_core::Result<State> {
        State::of(&self.stored)
    }

    fn load(&mut self, model: &mut Model, state: &State) -> spectral_core::Result<()> {
        self.stored = state.read("training on stored weights")?;
        self.seen = Some(model.params().mask_version());
        Ok(())
    }
}

impl Storing {
    /// Stores the entries that the masks keep, if the masks have changed.
    fn follow(&mut self, model: &mut Model, step: u64) -> Result<()> {
        if self.seen == Some(model.params().mask_version()) {
            return Ok(());
        }
        for index in 0..model.graph().nodes().len() {
            let Some(id) = pruned_matrix(model, index) else { continue };
            if model.params().get(id).pattern.is_some() {
                if self.stored.contains_key(&index) {
                    store_kept(model, index, id)?;
                }
            } else if self.pays(model.params().get(id)) && may_be_stored(model, index, id) {
                self.store(model, index, id, step)?;
            }
        }
        self.seen = Some(model.params().mask_version());
        Ok(())
    }

    fn pays(&self, weight: &Param) -> bool {
        share(weight) <= self.most
    }

    fn store(&mut self, model: &mut Model, index: usize, weight: ParamId, since: u64) -> Result<()> {
        let trainable = model.params().get(weight).trainable.clone();
        store_kept(model, index, weight)?;
        self.stored.insert(index, Stored { since, trainable });
        Ok(())
    }

    /// Stores the weights as whole matrices again.
    fn finish(self, model: &mut Model) -> Result<Vec<TrainedLayer>> {
        for (&index, stored) in &self.stored {
            // If another hook has replaced a converted layer, the new layer stays.
            let Some(weight) = weight_of(model, index) else { continue };
            let (params, backend) = model.params_mut();
            if params.get(weight).pattern.is_none() {
                continue;
            }
            params.store(backend, weight, None)?;
            let param = params.get(weight);
            if let (Trainable::Only(now), Trainable::Only(before)) = (&param.trainable, &stored.trainable) {
                // Entries that were not stored get their earlier setting back.
                let gone = |i| param.pruned().is_some_and(|m| m.contains(i));
                let all = Mask::from_fn(before.len(), |i| now.contains(i) || before.contains(i) && gone(i));
                params.set_trainable(weight, Trainable::Only(all))?;
            }
        }
        Ok(self.layers(model))
    }

    fn layers(&self, model: &Model) -> Vec<TrainedLayer> {
        let mut layers = Vec::new();
        for (index, node) in model.graph().nodes().iter().enumerate() {
            let weight = pruned_matrix(model, index).map(|id| model.params().get(id));
            let Some(weight) = weight.filter(|w| w.pattern.is_none()) else { continue };
            let since = self.stored.get(&index).map(|s| s.since);
            let (kept, most) = (100.0 * share(weight), 100.0 * self.most);
            let reason = match since {
                Some(_) if self.when == SparseTraining::Always => "sparse: asked for".into(),
                Some(_) => {
                    format!("sparse: {kept:.0} % of its weights are left, up to {most:.0} % train faster stored")
                }
                None if !self.pays(weight) => format!("dense: {kept:.0} % of its weights are left, above {most:.0} %"),
                None => "dense: would lose something as a sparse layer".into(),
            };
            let shape = [weight.full_shape().rows(), weight.full_shape().columns()];
            layers.push(TrainedLayer { name: node.name.clone(), shape, kept: weight.kept(), since, reason });
        }
        layers
    }
}

/// The matrix of a node, if some of it is pruned.
fn pruned_matrix(model: &Model, index: usize) -> Option<ParamId> {
    let is_pruned = |p: &Param| p.role.is_matrix() && p.full_shape().rank() == 2 && p.pruned().is_some();
    model.graph().nodes()[index].params.iter().copied().find(|id| is_pruned(model.params().get(*id)))
}

/// Whether training the stored entries of a weight is the same as training the weight.
fn may_be_stored(model: &Model, index: usize, weight: ParamId) -> bool {
    model.params().get(weight).is_trainable() && weight_of(model, index) == Some(weight) && convertible(model, index)
}

/// The share of a matrix that is not pruned.
fn share(weight: &Param) -> f64 {
    weight.kept() as f64 / weight.full_shape().len() as f64
}
