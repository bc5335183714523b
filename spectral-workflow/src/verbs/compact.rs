//! `compact MODEL --out FILE`

use super::{prove_step, saved};
use crate::Result;
use crate::context::Context;
use crate::files::check_writable;
use crate::output::Answer;
use crate::stage::hidden_units;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file to compact
    model: PathBuf,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    check_writable(&options.out)?;
    let model = cx.model(&options.model)?;
    let compact = spectral_prune::compact(&model)?.model;
    let inputs = prove_step(cx, &model, &compact)?;
    let (before, after) = (hidden_units(&model), hidden_units(&compact));
    let words = format!("removed {} of {before} hidden units, proven equal on {inputs} inputs", before - after);
    saved(&options.out, &compact, &words)
}
