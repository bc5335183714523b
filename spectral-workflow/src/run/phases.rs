//! The single phases of a run, as the verbs share them.

use crate::context::Context;
use crate::output::Answer;
use crate::progress::Bar;
use crate::recipe::Recipe;
use crate::{Failure, Result, stage};
use spectral_core::{HeldOut, History, HistoryEntry, Hooks, Metrics, Model, Samples, Seed, TrainHook};
use spectral_data::Dataset;
use spectral_layers::Network;
use spectral_sparse::{Policy, SparseTrainer, SparseTraining, TrainedLayer};
use spectral_train::{Loss, TrainConfig, Trainer};
use std::path::Path;
use std::sync::Arc;

/// Builds the network of a recipe for its data.
pub(crate) fn build(cx: &Context, recipe: &Recipe, data: &Dataset) -> Result<Model> {
    let mut network = Network::from_specs(data.train.features(), &recipe.network.layers).dtype(recipe.network.dtype);
    if let Some(rule) = recipe.network.density {
        network = network.density(rule);
    }
    let mut model = network.build(cx.backend()?, Seed(recipe.seed))?;
    let (outputs, wanted) = (model.graph().output().len(), data.train.targets().outputs());
    if outputs != wanted {
        return Err(Failure::input(format!("the network has {outputs} outputs, {} needs {wanted}", data.origin.name)));
    }
    model.meta.data = Some(data.origin.clone());
    model.meta.preprocessing = data.preprocessing;
    Ok(model)
}

/// What training may use of a data set.
pub(crate) struct Sets {
    /// What is trained on.
    pub(crate) train: Samples,
    /// What is measured after every epoch where a phase asks for validation, and by strategies. The same samples in
    /// every phase of a run and in everything that continues its model.
    pub(crate) held_out: Option<Arc<Samples>>,
}

impl Sets {
    /// Takes the held-out samples out of the training data: those that `model` remembers, or else a share of it, which
    /// the model remembers from then on.
    pub(crate) fn of(model: &mut Model, train: Samples, share: Option<f64>, seed: u64) -> Result<Self> {
        let remembered = model.meta.held_out.map(|h| h.again(&train)).transpose()?.flatten();
        let (train, held_out) = match (remembered, share) {
            (Some((rest, held_out)), _) => (rest, Some(held_out.into())),
            (None, Some(share)) => {
                let drawn = HeldOut::draw(share, Seed(seed), &train);
                let (record, rest, held_out) = drawn.map_err(|e| Failure::input(format!("validation: {e}")))?;
                model.meta.held_out = Some(record);
                (rest, Some(held_out.into()))
            }
            (None, None) => (train, None),
        };
        Ok(Self { train, held_out })
    }

    /// Finds what would stop a training phase, before anything is trained.
    pub(crate) fn check(&self, config: &TrainConfig, model: &Model) -> Result<()> {
        let (batch, samples) = (config.batch, self.train.len());
        if batch > samples {
            let problem = format!("a batch of {batch} is larger than the {samples} training samples; lower `batch`");
            return Err(Failure::input(problem));
        }
        Ok(self.trainer(config, 0)?.check_for(model, &self.train)?)
    }

    /// The trainer of a phase.
    fn trainer(&self, config: &TrainConfig, seed: u64) -> Result<Trainer> {
        let trainer = config.build(Seed(seed))?;
        Ok(match &self.held_out {
            Some(held_out) if config.validation > 0.0 => trainer.validate_on(held_out.clone()),
            _ => trainer,
        })
    }
}

/// A training phase.
pub(crate) struct Phase<'a> {
    pub(crate) name: &'a str,
    pub(crate) config: &'a TrainConfig,
    pub(crate) seed: u64,
    pub(crate) sparse: SparseTraining,
}

/// Trains a model behind a progress bar and records it in the history. Also says how layers with masked
/// matrices were trained.
pub(crate) fn train(
    model: &mut Model,
    sets: &Sets,
    phase: &Phase<'_>,
    hooks: &mut [&mut dyn TrainHook],
) -> Result<(History, Vec<TrainedLayer>)> {
    let &Phase { name, config, seed, sparse } = phase;
    // A phase that names no loss goes on with that of the model.
    let config = TrainConfig { loss: config.loss.or(stage::loss_of(model)), ..config.clone() };
    sets.check(&config, model)?;
    let trainer = sets.trainer(&config, seed)?;
    let parent = model.content_hash()?;
    let mut bar = Bar::new(name);
    let steps = model.meta.history.len();
    let (history, layers) =
        SparseTrainer::new(&trainer).when(sparse).fit(model, &sets.train, &mut [&mut bar, &mut Hooks(hooks)])?;
    // A hook that prunes records the whole phase itself.
    if model.meta.history.len() == steps {
        let loss = config.loss.unwrap_or_else(|| Loss::for_targets(sets.train.targets()));
        let detail = serde_json::json!({ "epochs": history.epochs.len(), "seed": seed, "loss": loss.name() });
        let action = name.split(' ').next().unwrap_or(name);
        model.meta.history.push(HistoryEntry { action: action.into(), parent, detail });
    }
    Ok((history, layers))
}

/// Adds how a training phase went to the answer of a verb.
pub(crate) fn tell(answer: &mut Answer, history: &History, test: Metrics) {
    answer.json["test"] = serde_json::json!(test);
    answer.json["epochs"] = serde_json::json!(history.epochs);
    answer.json["stopped"] = serde_json::json!(history.stopped);
    if let Some(validation) = history.epochs.last().and_then(|e| e.validation) {
        answer.text = format!("validation {validation} on {} held-out samples; {}", validation.samples, answer.text);
    }
}

/// How kernels are chosen: by measuring, or as a model file says.
pub(crate) fn policy(cx: &Context, plan: Option<&Path>) -> Result<Policy> {
    let Some(path) = plan else { return Ok(Policy::default()) };
    let plan = cx.model(path)?.meta.plan;
    let missing =
        || Failure::input(format!("{}: holds no plan; give a model that `sparsify` or `run` wrote", path.display()));
    Ok(Policy::Replay(plan.ok_or_else(missing)?))
}
