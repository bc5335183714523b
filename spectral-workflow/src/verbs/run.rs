//! `run [RECIPE]`

use super::seeds;
use crate::context::Context;
use crate::output::Answer;
use crate::recipe::Recipe;
use crate::run::{self, Job};
use crate::{Failure, Result};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Recipe file, or the name of a built-in one [default: digits]
    recipe: Option<String>,
    /// Folder for the results [default: target/spectral/<recipe>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a value of the recipe
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of all randomness
    #[arg(long, value_parser = seeds())]
    seed: Option<u64>,
    /// Take the choices of kernels from this model file instead of measuring
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<()> {
    let mut recipe = Recipe::load(options.recipe.as_deref(), &options.set)?;
    recipe.seed = options.seed.unwrap_or(recipe.seed);
    let cx = &cx.preferring(recipe.backend.as_deref())?;
    let out = options.out.clone().unwrap_or_else(|| Path::new("target/spectral").join(&recipe.name));
    let report = run::run(cx, &Job { recipe, out: out.clone(), plan: options.plan.as_deref() })?;
    let text = format!("{}\nresults: {}", report.table(), out.join("report.html").display());
    Answer::new(text, &report)?.print(cx.format)?;
    run::failed(&report).map_or(Ok(()), |why| Err(Failure::Check(why)))
}
