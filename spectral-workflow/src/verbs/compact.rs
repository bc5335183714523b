//! `compact MODEL --out FILE`

use super::{check_writable, saved};
use crate::context::Context;
use crate::output::Answer;
use crate::stage::hidden_units;
use crate::{Failure, Result};
use spectral_core::{Named, prove};
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
    let proofs =
        prove(Named { name: "model", model: &model }, &[Named { name: "compact", model: &compact }], None, None)?;
    if let Some(proof) = proofs.iter().find(|p| !p.equal) {
        return Err(Failure::Check(format!(
            "the compact model differs by {:.1e} (relative); nothing was written",
            proof.max_rel_diff
        )));
    }
    let (before, after) = (hidden_units(&model), hidden_units(&compact));
    let words = format!("removed {} of {before} hidden units, proven equal on random inputs", before - after);
    saved(&options.out, &compact, &words)
}
