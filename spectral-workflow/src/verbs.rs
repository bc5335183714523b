//! One module a verb: its options, and the few calls into other crates that answer it.

pub(crate) mod compact;
pub(crate) mod data;
pub(crate) mod delta;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod finetune;
pub(crate) mod inspect;
pub(crate) mod new;
pub(crate) mod plugins;
pub(crate) mod prove;
pub(crate) mod prune;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod sparsify;
pub(crate) mod train;
pub(crate) mod undo;

use crate::context::Context;
use crate::output::{Answer, bytes};
use crate::run::difference_found;
use crate::{Failure, Result};
use spectral_core::{Model, Named, prove};
use std::path::Path;

/// Seeds that a recipe can hold: TOML has no larger whole numbers.
fn seeds() -> clap::builder::RangedU64ValueParser {
    clap::builder::RangedU64ValueParser::new().range(..=i64::MAX as u64)
}

/// Saves a model and says how big its file is.
fn saved(path: &Path, model: &Model, words: &str) -> Result<Answer> {
    let report = spectral_io::save(path, model)?;
    let size = bytes(report.bytes);
    let text = format!("{words}; wrote {} ({size})", path.display());
    let json = serde_json::json!({ "file": path.display().to_string(), "bytes": report.bytes, "did": words });
    Ok(Answer { text, json })
}

/// Proves that a step kept the function, before its result is written; returns the number of inputs compared.
fn prove_step(cx: &Context, before: &Model, after: &Model) -> Result<usize> {
    let data = cx.own_test_data(before)?;
    let after = [Named { name: "after", model: after }];
    let proofs = prove(Named { name: "before", model: before }, &after, data.as_ref(), None)?;
    match proofs.iter().find(|p| !p.equal) {
        None => Ok(proofs.iter().map(|p| p.inputs).sum()),
        Some(p) => Err(Failure::Check(format!(
            "the result is not equal to the model it was made from ({}); nothing was written",
            difference_found(p)
        ))),
    }
}
