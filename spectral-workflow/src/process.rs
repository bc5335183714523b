//! Other programs that a verb runs, and this program built again with more in it.

use crate::backends::{self, libtorch};
use crate::output::note;
use crate::{Failure, Result};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Runs a program to its end. What it prints goes to standard error, because standard output is for the answer.
/// If it cannot be started, the error ends with `advice`.
pub fn execute(command: &mut Command, advice: &str) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Check(format!("{shown} ended with {status}; see its messages above"))),
        Err(e) => Err(Failure::input(format!("{shown}: {e}; {advice}"))),
    }
}

/// What a program was built from, so that it can be built again with another cargo feature.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// Its cargo features that are on now. Those of backends may be left out.
    pub features: Vec<&'static str>,
}

impl Build {
    /// Builds the program with `feature` as well and replaces this process by it, with the same arguments. Returns
    /// only if that is impossible.
    pub(crate) fn with(&self, feature: &'static str) -> Failure {
        let mut features = [&self.features[..], &backends::built(), &[feature]].concat();
        features.sort_unstable();
        features.dedup();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args(["run", "--release", "--manifest-path"]).arg(&self.manifest);
        command.args(["--features", &features.join(","), "--"]).args(std::env::args_os().skip(1));
        if let Ok(folder) = std::path::absolute(libtorch()) {
            command.env("LIBTORCH", folder);
        }
        // Threads of libtorch that spin while they wait cost a time slice a kernel where others want the cores too.
        if std::env::var_os("OMP_WAIT_POLICY").is_none() {
            command.env("OMP_WAIT_POLICY", "passive");
        }
        note(format!("building this program with its feature `{feature}`"));
        become_(&mut command)
    }
}

/// Replaces this process; where the system cannot, waits for the other and ends as it does.
#[cfg(unix)]
fn become_(command: &mut Command) -> Failure {
    use std::os::unix::process::CommandExt;
    Failure::input(format!("cargo: {}", command.exec()))
}

#[cfg(not(unix))]
fn become_(command: &mut Command) -> Failure {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(e) => Failure::input(format!("cargo: {e}")),
    }
}
