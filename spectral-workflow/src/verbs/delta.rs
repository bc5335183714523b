//! `delta MODEL --base BASE --out FILE` and `apply FILE --base BASE --out MODEL`

use super::saved;
use crate::Result;
use crate::context::Context;
use crate::files::check_writable;
use crate::output::{Answer, bytes};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file to write the difference of
    model: PathBuf,
    /// Model file it differs from: the same layers with other values, masks or frozen entries
    #[arg(long, value_name = "BASE")]
    base: PathBuf,
    /// Delta file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ApplyOptions {
    /// Delta file to apply
    delta: PathBuf,
    /// Model file it was made from; another one is refused
    #[arg(long, value_name = "BASE")]
    base: PathBuf,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    check_writable(&options.out)?;
    let (base, model) = (cx.model(&options.base)?, cx.model(&options.model)?);
    let report = spectral_io::save_delta(&options.out, &base, &model)?;
    let entries: usize = report.changed.iter().map(|(_, count)| count).sum();
    let text = format!(
        "{entries} of {} entries differ; wrote {} ({})",
        model.params().total(),
        options.out.display(),
        bytes(report.bytes)
    );
    let changed: serde_json::Map<_, _> = report.changed.into_iter().map(|(name, n)| (name, n.into())).collect();
    let json = serde_json::json!({
        "file": options.out.display().to_string(), "bytes": report.bytes,
        "base": report.base, "hash": report.hash, "changed": changed,
    });
    Ok(Answer { text, json })
}

pub(crate) fn apply(cx: &Context, options: &ApplyOptions) -> Result<Answer> {
    check_writable(&options.out)?;
    let model = spectral_io::load_delta(&options.delta, &cx.model(&options.base)?)?;
    saved(&options.out, &model, &format!("applied {}", options.delta.display()))
}
