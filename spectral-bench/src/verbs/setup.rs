//! `setup bench`

use crate::Result;
use clap::{ArgMatches, Command};
use spectral_workflow::output::{Answer, note};
use spectral_workflow::process::execute;
use spectral_workflow::{Context, Extra};
use std::path::{Path, PathBuf};
use std::process;

/// The Python packages that benchmarks compare with.
const RIVALS: [&str; 6] = ["torch", "numpy", "scipy", "mkl", "onnxruntime", "onnx"];

/// The interpreter of the benchmark environment.
const PYTHON: &str = ".venv/bin/python";

/// The folder of the program that measures Rust crates, and where it is built.
const CRATES: &str = "spectral-bench/rivals";
const CRATES_TARGET: &str = "target/rivals";

pub(crate) fn verb() -> Extra {
    let about = "A Python environment with PyTorch, SciPy, MKL and ONNX Runtime in .venv, for `bench --against torch`";
    Extra::new(Command::new("bench").about(about), run).under("setup")
}

/// The interpreter, if it was set up.
pub(crate) fn python() -> Option<PathBuf> {
    let path = Path::new(PYTHON);
    path.exists().then(|| path.to_path_buf())
}

/// The program that measures Rust crates, if it was built.
pub(crate) fn crates() -> Option<PathBuf> {
    let path = Path::new(CRATES_TARGET).join("release/rivals");
    path.exists().then_some(path)
}

fn run(cx: &Context, _: &ArgMatches) -> Result<()> {
    let advice = "install Python 3 with venv and pip";
    if !Path::new(PYTHON).exists() {
        note("making a Python environment in .venv");
        execute(process::Command::new("python3").args(["-m", "venv", ".venv"]), advice)?;
    }
    note(format!("installing {}", RIVALS.join(", ")));
    let mut pip = process::Command::new(PYTHON);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(RIVALS);
    execute(&mut pip, advice)?;
    note("building the rivals that are Rust crates");
    let mut cargo = process::Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--locked", "--manifest-path", &format!("{CRATES}/Cargo.toml")]);
    execute(cargo.env("CARGO_TARGET_DIR", CRATES_TARGET), "install Rust with cargo")?;
    let text = "the benchmark environment is in .venv; now `cargo xtask bench --against torch`";
    Answer { text: text.into(), json: serde_json::json!({ "python": PYTHON }) }.print(cx.format)
}
