//! The command line of this workspace: every workflow verb, plus developer checks.

mod backends;
mod bench;
mod ci;
mod folders;
mod tidy;

#[cfg(feature = "bench")]
use peak_alloc::PeakAlloc;
use spectral_workflow::{Build, Extra, Failure, Program, Result};
use std::path::Path;
use std::process::ExitCode;

/// Knows how much memory was in use at most: `bench memory` asks.
#[cfg(feature = "bench")]
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let ci = clap::Command::new("ci")
        .about("Everything CI checks but the tests, cheapest first")
        .subcommand(clap::Command::new("backends").about("The conformance suite on every backend, for real"));
    let tidy = clap::Command::new("tidy")
        .about("House rules: file sizes, crate docs, places of unsafe code, traces of this machine");
    let mut extras = bench::verbs();
    extras.push(Extra::new(ci, |_, args| match args.subcommand() {
        Some(_) => backends::run(root()),
        None => ci::run(root()),
    }));
    extras.push(Extra::new(tidy, |_, _| tidy::run(root())));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let features = if cfg!(feature = "bench") { vec!["bench"] } else { Vec::new() };
    spectral_workflow::main_with(Program { extras, build: Some(Build { manifest, features }) })
}

/// The workspace's folder.
fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// All problems a check found, as one failure.
fn report(check: &str, problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::Check(format!("{check}:\n  {}", problems.join("\n  "))))
}
