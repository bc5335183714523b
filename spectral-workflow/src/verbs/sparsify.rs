//! `sparsify MODEL --out FILE`

use super::{prove_step, saved};
use crate::Result;
use crate::context::Context;
use crate::files::check_writable;
use crate::output::{Answer, left_columns};
use crate::run::phases;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file to convert
    model: PathBuf,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Take the choices of kernels from this model file instead of measuring
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    check_writable(&options.out)?;
    let model = cx.model(&options.model)?;
    let policy = phases::policy(cx, options.plan.as_deref())?;
    let sparse = spectral_sparse::sparsify(&model, &policy)?;
    let rows: Vec<Vec<String>> = sparse
        .plan
        .layers
        .iter()
        .flat_map(|(layer, classes)| {
            classes
                .iter()
                .map(move |(batch, c)| vec![layer.clone(), batch.to_string(), c.kernel.to_string(), c.reason.clone()])
        })
        .collect();
    let inputs = prove_step(cx, &model, &sparse.model)?;
    let words = format!("chose a kernel for every layer, proven equal on {inputs} inputs");
    let mut answer = saved(&options.out, &sparse.model, &words)?;
    answer.text = format!("{}\n{}", left_columns(&["layer", "batch", "kernel", "reason"], &rows), answer.text);
    answer.json["plan"] = serde_json::to_value(&sparse.plan).unwrap_or_default();
    Ok(answer)
}
