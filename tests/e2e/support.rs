//! Running the command line and inspecting its results.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A finished command.
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("not one JSON document ({e}): {}\n{}", self.out, self.err))
    }
}

/// Runs the command line in `folder`.
pub fn xtask(folder: &Path, args: &[&str]) -> Done {
    done(command(folder, args).output().unwrap())
}

pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spectral-tests"));
    command.args(args).current_dir(folder);
    command
}

pub fn done(output: Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// As [`xtask`], which must succeed.
pub fn ok(folder: &Path, args: &[&str]) -> Done {
    let done = xtask(folder, args);
    assert_eq!(done.code, 0, "{args:?}: {}{}", done.out, done.err);
    done
}

/// A recipe on the digits that takes about a second.
pub const SMALL: &str = r#"
name = "small"
seed = 3

[data]
set = "digits"

[network]
layers = [
    { kind = "spectral", units = 40, activation = "relu" },
    { kind = "dense", units = 20, activation = "sigmoid" },
    { kind = "dense", units = 10 },
]

[train]
epochs = 3
batch = 50

[prune]
criterion = "magnitude"
granularity = "unit"
amount = 0.6

[finetune]
epochs = 30
batch = 50

[report]
sweep = [0.5]
"#;

/// A folder with [`SMALL`] as `small.toml`, changed by `replace` pairs.
pub fn folder(replace: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = SMALL.to_string();
    for (from, to) in replace {
        assert!(text.contains(from), "the recipe has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(folder.path().join("small.toml"), text).unwrap();
    folder
}

/// Names of the files in a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(folder).map(|r| r.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect());
    let mut names: Vec<String> = entries.unwrap_or_default();
    names.sort();
    names
}

/// The folder of MNIST and Fashion-MNIST. If it is not known, prints that a test was skipped.
pub fn data_dir(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("SPECTRAL_DATA").map(PathBuf::from);
    if dir.is_none() {
        // Not `eprintln`, because the test harness captures it.
        let line = format!("SKIPPED {test}: set SPECTRAL_DATA to a folder with mnist/ and fashion-mnist/\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    dir
}
