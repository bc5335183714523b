//! The command line of this workspace: every workflow verb, plus developer checks.

mod backends;
mod ci;
mod folders;
mod tidy;

use peak_alloc::PeakAlloc;
use spectral_workflow::{Extra, Failure, Program, Result};
use std::path::Path;
use std::process::ExitCode;

/// Knows how much memory was in use at most: `bench memory` asks.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let extras = vec![
        Extra {
            command: clap::Command::new("ci")
                .about("Everything CI checks but the tests, cheapest first")
                .subcommand(clap::Command::new("backends").about("The conformance suite on every backend, for real")),
            run: |args| if args.subcommand().is_some() { backends::run(root()) } else { ci::run(root()) },
        },
        Extra {
            command: clap::Command::new("tidy")
                .about("House rules: file sizes, crate docs, places of unsafe code, traces of this machine"),
            run: |_| tidy::run(root()),
        },
    ];
    let manifest = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    spectral_workflow::main_with(Program { extras, manifest })
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
