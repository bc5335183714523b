//! `bench [SUITE ...]`

use crate::bench::{self, Rival};
use crate::context::Context;
use crate::output::{Answer, note};
use crate::{Failure, Result};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Suites to run (all but set-large, if none is named): dense, spectral, train, sparse-infer, grid, sparse-train,
    /// set, set-large, compact, file, memory
    suites: Vec<String>,
    /// What to compare with, side by side: torch (with MKL, SciPy and ONNX Runtime)
    #[arg(long, value_name = "RIVAL")]
    against: Option<Rival>,
    /// File to write the figures to as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// File to write the figures to as a page of Markdown, with a plot (.svg) beside it
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Fail if a bar is missed
    #[arg(long, requires = "against")]
    strict: bool,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    let cx = &cx.preferring(Some("cpu"))?;
    if cx.backend()?.name() != "cpu" {
        return Err(Failure::input("bench measures the backend `cpu` only; leave --backend out"));
    }
    let report = bench::run(cx, &options.suites, options.against)?;
    let answer = Answer::new(report.table(), &report)?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&answer.json).unwrap_or_default();
        std::fs::write(path, text).map_err(|e| Failure::writing(path, e))?;
    }
    if let Some(path) = &options.document {
        let plot = path.with_extension("svg");
        let drawn = report.plot();
        if let Some(drawn) = &drawn {
            std::fs::write(&plot, drawn).map_err(|e| Failure::writing(&plot, e))?;
        }
        let plot = drawn.and(plot.file_name()).map(|name| name.to_string_lossy());
        std::fs::write(path, report.document(plot.as_deref())).map_err(|e| Failure::writing(path, e))?;
    }
    let missed: Vec<&str> = report.rows.iter().filter(|r| r.pass == Some(false)).map(|r| r.name.as_str()).collect();
    if options.strict && !missed.is_empty() {
        note(&answer.text);
        return Err(Failure::Check(format!("missed the bar: {}", missed.join(", "))));
    }
    Ok(answer)
}
