//! `finetune MODEL --out FILE`

use super::{saved, seeds};
use crate::context::Context;
use crate::files::check_writable;
use crate::output::{Answer, note};
use crate::recipe::Recipe;
use crate::run::phases::{self, Sets};
use crate::{Result, stage};
use spectral_core::registry::ByName;
use spectral_sparse::SparseTraining;
use spectral_train::TrainConfig;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file to start from
    model: PathBuf,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Recipe whose [finetune] (or else [train]) says how
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    /// Passes over the data
    #[arg(long)]
    epochs: Option<usize>,
    /// Samples a step
    #[arg(long)]
    batch: Option<usize>,
    /// Optimiser, by name
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// Learning rate
    #[arg(long)]
    rate: Option<f64>,
    /// Data set (the one the model was trained on, if not given)
    #[arg(long, value_name = "SET")]
    data: Option<String>,
    /// Seed of the shuffling
    #[arg(long, default_value_t = 0, value_parser = seeds())]
    seed: u64,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    let recipe = options.recipe.as_deref().map(|recipe| Recipe::load(Some(recipe), &[])).transpose()?;
    let cx = &cx.preferring(recipe.as_ref().and_then(|r| r.backend.as_deref()))?;
    let sparse = recipe.as_ref().map_or_else(SparseTraining::default, |r| r.sparse_training);
    let config = config(options, recipe);
    check_writable(&options.out)?;
    let mut model = cx.model(&options.model)?;
    let data = cx.dataset_of(&model, options.data.as_deref())?;
    let share = (config.validation > 0.0).then_some(config.validation);
    let trained = model.meta.history.iter().any(|entry| entry.detail["epochs"].as_u64() > Some(0));
    let remembered = model.meta.held_out;
    let sets = Sets::of(&mut model, data.train, share, options.seed)?;
    if trained && model.meta.held_out != remembered {
        note("warning: the model was trained without held-out samples, so it knows those it is validated on now");
    }
    let phase = phases::Phase { name: "finetune", config: &config, seed: options.seed, sparse };
    let (history, _) = phases::train(&mut model, &sets, &phase, &mut [])?;
    let metrics = stage::evaluate(&model, &data.test)?;
    let epochs = history.epochs.len();
    let mut answer = saved(&options.out, &model, &format!("fine-tuned {epochs} epochs to a test {metrics}"))?;
    phases::tell(&mut answer, &history, metrics);
    Ok(answer)
}

/// The recipe's section with the flags laid over it.
fn config(options: &Options, recipe: Option<Recipe>) -> TrainConfig {
    let mut config = recipe.map_or_else(TrainConfig::default, |r| r.finetune.unwrap_or(r.train));
    config.epochs = options.epochs.unwrap_or(config.epochs);
    config.batch = options.batch.unwrap_or(config.batch);
    if let Some(name) = &options.optimizer {
        config.optimizer = ByName::new(name);
    }
    if let Some(rate) = options.rate {
        config.optimizer = config.optimizer.with("rate", rate);
    }
    config
}
