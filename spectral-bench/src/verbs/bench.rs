//! `bench [SUITE ...]`

use crate::bench::{self, Rival};
use crate::{Failure, Result};
use clap::{ArgMatches, Args, Command};
use spectral_workflow::Context;
use spectral_workflow::output::{Answer, note};
use spectral_workflow::{Extra, cli, files};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
struct Options {
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

pub(crate) fn verb() -> Extra {
    let command = Command::new("bench").about("Benchmarks, side by side with what people use otherwise");
    Extra::new(Options::augment_args(command), run)
}

fn run(cx: &Context, matches: &ArgMatches) -> Result<()> {
    let options: Options = cli::options(matches)?;
    let cx = &cx.preferring(Some("cpu"))?;
    if cx.backend()?.name() != "cpu" {
        return Err(Failure::input("bench measures the backend `cpu` only; leave --backend out"));
    }
    let report = bench::run(cx, &options.suites, options.against)?;
    let answer = Answer::new(report.table(), &report)?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&answer.json).unwrap_or_default();
        files::write(path, &text)?;
    }
    if let Some(path) = &options.document {
        let plot = path.with_extension("svg");
        let drawn = report.plot();
        if let Some(drawn) = &drawn {
            files::write(&plot, drawn)?;
        }
        let plot = drawn.and(plot.file_name()).map(|name| name.to_string_lossy());
        files::write(path, &report.document(plot.as_deref()))?;
    }
    let missed: Vec<&str> = report.rows.iter().filter(|r| r.pass == Some(false)).map(|r| r.name.as_str()).collect();
    if options.strict && !missed.is_empty() {
        note(&answer.text);
        return Err(Failure::Check(format!("missed the bar: {}", missed.join(", "))));
    }
    answer.print(cx.format)
}
