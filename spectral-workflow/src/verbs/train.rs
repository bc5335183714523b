//! `train RECIPE --out FILE`

use super::{saved, seeds};
use crate::context::Context;
use crate::files::check_writable;
use crate::output::{Answer, note};
use crate::recipe::Recipe;
use crate::run::phases::{self, Sets};
use crate::run::warnings;
use crate::{Result, stage};
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
    #[arg(long, value_parser = seeds())]
    seed: Option<u64>,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    let mut recipe = Recipe::load(Some(&options.recipe), &options.set)?;
    recipe.seed = options.seed.unwrap_or(recipe.seed);
    let cx = &cx.preferring(recipe.backend.as_deref())?;
    check_writable(&options.out)?;
    let data = cx.dataset_as(&recipe.data.origin())?;
    if let Some(warning) = warnings::of_classes(&data) {
        note(format!("warning: {warning}"));
    }
    let mut model = phases::build(cx, &recipe, &data)?;
    let sets = Sets::of(&mut model, data.train, recipe.held_out(), recipe.seed)?;
    let Recipe { seed, sparse_training: sparse, .. } = recipe;
    let phase = phases::Phase { name: "train", config: &recipe.train, seed, sparse };
    let (history, _) = phases::train(&mut model, &sets, &phase, &mut [])?;
    let metrics = stage::evaluate(&model, &data.test)?;
    let epochs = history.epochs.len();
    let mut answer = saved(&options.out, &model, &format!("trained {epochs} epochs to a test {metrics}"))?;
    phases::tell(&mut answer, &history, metrics);
    Ok(answer)
}
