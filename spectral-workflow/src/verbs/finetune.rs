//! `finetune MODEL --out FILE`

use super::saved;
use crate::Result;
use crate::context::Context;
use crate::files::check_writable;
use crate::output::Answer;
use crate::recipe::Recipe;
use crate::run::phases;
use spectral_sparse::SparseTraining;
use spectral_train::{ByName, TrainConfig};
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
    #[arg(long, default_value_t = 0)]
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
    let phase = phases::Phase { name: "finetune", config: &config, seed: options.seed, sparse };
    phases::train(&mut model, &data.train, &phase, &mut [])?;
    let accuracy = phases::accuracy(&model, &data.test)?;
    saved(&options.out, &model, &format!("fine-tuned {} epochs to a test accuracy of {accuracy:.4}", config.epochs))
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
