//! `train RECIPE --out FILE`

use super::saved;
use crate::Result;
use crate::context::Context;
use crate::files::check_writable;
use crate::output::Answer;
use crate::recipe::Recipe;
use crate::run::phases;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Recipe file, or the name of a built-in one
    recipe: String,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Change a value of the recipe
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of all randomness
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    let mut recipe = Recipe::load(Some(&options.recipe), &options.set)?;
    recipe.seed = options.seed.unwrap_or(recipe.seed);
    let cx = &cx.preferring(recipe.backend.as_deref())?;
    check_writable(&options.out)?;
    let data = cx.dataset_as(&recipe.data.origin())?;
    let mut model = phases::build(cx, &recipe, &data)?;
    let Recipe { seed, sparse_training: sparse, .. } = recipe;
    let phase = phases::Phase { name: "train", config: &recipe.train, seed, sparse };
    let (history, _) = phases::train(&mut model, &data.train, &phase, &mut [])?;
    let accuracy = phases::accuracy(&model, &data.test)?;
    let epochs = history.epochs.len();
    saved(&options.out, &model, &format!("trained {epochs} epochs to a test accuracy of {accuracy:.4}"))
}
