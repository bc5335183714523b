//! The single phases of a run, as the verbs share them.

use crate::context::Context;
use crate::progress::Bar;
use crate::recipe::Recipe;
use crate::{Failure, Result};
use spectral_core::{Evaluate, History, HistoryEntry, Model, Samples, Seed, TrainHook};
use spectral_data::Dataset;
use spectral_layers::Network;
use spectral_sparse::{Policy, SparseTrainer, SparseTraining, TrainedLayer};
use spectral_train::{Evaluator, TrainConfig};
use std::path::Path;

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

/// Refuses a batch that the data cannot fill.
pub(crate) fn check_batch(config: &TrainConfig, data: &Samples) -> Result<()> {
    let (batch, samples) = (config.batch, data.len());
    let problem = || format!("a batch of {batch} is larger than the {samples} training samples; lower `batch`");
    if batch > samples { Err(Failure::input(problem())) } else { Ok(()) }
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
    data: &Samples,
    phase: &Phase<'_>,
    hooks: &mut [&mut dyn TrainHook],
) -> Result<(History, Vec<TrainedLayer>)> {
    let &Phase { name, config, seed, sparse } = phase;
    check_batch(config, data)?;
    let trainer = config.build(Seed(seed))?;
    let parent = model.content_hash()?;
    let mut bar = Bar::new(name);
    let mut all: Vec<&mut dyn TrainHook> = vec![&mut bar];
    for hook in hooks.iter_mut() {
        all.push(&mut **hook);
    }
    let steps = model.meta.history.len();
    let (history, layers) = SparseTrainer::new(&trainer).when(sparse).fit(model, data, &mut all)?;
    // A hook that prunes records the whole phase itself.
    if model.meta.history.len() == steps {
        let detail = serde_json::json!({ "epochs": history.epochs.len(), "seed": seed, "loss": config.loss.name() });
        let action = name.split(' ').next().unwrap_or(name);
        model.meta.history.push(HistoryEntry { action: action.into(), parent, detail });
    }
    Ok((history, layers))
}

/// Share of `data` that `model` labels right.
pub(crate) fn accuracy(model: &Model, data: &Samples) -> Result<f64> {
    Ok(Evaluator::default().evaluate(model, data)?.accuracy)
}

/// How kernels are chosen: by measuring, or as a model file says.
pub(crate) fn policy(cx: &Context, plan: Option<&Path>) -> Result<Policy> {
    let Some(path) = plan else { return Ok(Policy::default()) };
    let plan = cx.model(path)?.meta.plan;
    let missing =
        || Failure::input(format!("{}: holds no plan; give a model that `sparsify` or `run` wrote", path.display()));
    Ok(Policy::Replay(plan.ok_or_else(missing)?))
}
