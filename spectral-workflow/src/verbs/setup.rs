//! `setup bench`, `setup cuda`, `setup torch`

mod cuda;
mod torch;
mod wheels;

use crate::output::{Answer, note};
use crate::{Failure, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python packages that benchmarks compare with.
const RIVALS: [&str; 6] = ["torch", "numpy", "scipy", "mkl", "onnxruntime", "onnx"];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A Python environment with PyTorch, SciPy, MKL and ONNX Runtime in .venv, for `bench --against torch`
    Bench,
    /// NVRTC, which compiles the kernels of `--backend cuda`, in .cuda; needs no GPU
    Cuda,
    /// A libtorch for the CPU, cut down to what `--backend torch` needs, in .libtorch
    Torch,
}

pub(crate) fn run(options: &Options) -> Result<Answer> {
    match options.what {
        What::Bench => bench(),
        What::Cuda => cuda::setup(),
        What::Torch => torch::setup(),
    }
}

/// The interpreter of the benchmark environment, if it was set up.
pub(crate) fn python() -> Option<PathBuf> {
    let path = Path::new(".venv/bin/python");
    path.exists().then(|| path.to_path_buf())
}

/// The program that measures Rust crates, if it was built.
pub(crate) fn crates() -> Option<PathBuf> {
    let path = Path::new(CRATES_TARGET).join("release/rivals");
    path.exists().then_some(path)
}

/// The folder of that program, and where it is built.
const CRATES: &str = "spectral-workflow/rivals";
const CRATES_TARGET: &str = "target/rivals";

fn bench() -> Result<Answer> {
    let python = Path::new(".venv/bin/python");
    if !python.exists() {
        note("making a Python environment in .venv");
        execute(Command::new("python3").args(["-m", "venv", ".venv"]))?;
    }
    note(format!("installing {}", RIVALS.join(", ")));
    execute(
        Command::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(RIVALS),
    )?;
    note("building the rivals that are Rust crates");
    let manifest = format!("{CRATES}/Cargo.toml");
    execute(
        Command::new("cargo")
            .args(["build", "--release", "--quiet", "--locked", "--manifest-path", &manifest])
            .env("CARGO_TARGET_DIR", CRATES_TARGET),
    )?;
    let text = "the benchmark environment is in .venv; now `cargo xtask bench --against torch`";
    Ok(Answer { text: text.into(), json: serde_json::json!({ "python": python.display().to_string() }) })
}

fn execute(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    // Standard output is for the answer.
    let status = command.stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Check(format!("{shown} ended with {status}; see its messages above"))),
        Err(e) => Err(Failure::input(format!("{shown}: {e}; install Python 3 with venv and pip"))),
    }
}
