//! Rivals, each in a process of its own that works when it is told to.

use crate::verbs::setup;
use crate::{Failure, Result};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The program that measures what there is in Python.
const SCRIPT: &str = include_str!("../../rivals/rivals.py");

/// What can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// What `setup bench` put into the project folder: PyTorch, MKL, SciPy, ONNX Runtime, sprs and faer
    Torch,
}

/// All rivals.
#[derive(Default)]
pub(super) struct Rivals(Vec<Process>);

/// One way in which a rival does a piece of work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variant {
    pub(super) name: String,
    /// Mean absolute value of what it gave, or what the kind of work says.
    pub(super) answer: Option<f64>,
    /// Which process it is of.
    process: usize,
}

#[cfg(test)]
impl Variant {
    pub(super) fn answering(name: &str, answer: Option<f64>) -> Self {
        Self { name: name.into(), answer, process: 0 }
    }
}

impl Rivals {
    /// Starts everything that `setup bench` installed.
    pub(super) fn start() -> Result<Self> {
        let missing = || Failure::input("no benchmark environment; run `cargo xtask setup bench` first");
        let python = setup::python().ok_or_else(missing)?;
        let crates = setup::crates().ok_or_else(missing)?;
        let kinds = &["matmul", "mlp", "train", "spectral", "masked", "set", "load"];
        Ok(Self(vec![
            // Threads that wait for more work give up after 10 ms instead of 200, so that they are gone when others
            // run.
            Process::start(Command::new(python).args(["-c", SCRIPT]).env("KMP_BLOCKTIME", "10"), kinds, usize::MAX)?,
            // Both crates multiply on one thread.
            Process::start(&mut Command::new(crates), &["matmul"], 1)?,
        ]))
    }

    /// Prepares a piece of work for `threads` threads; the ways in which it can be done with so many.
    pub(super) fn make(&mut self, kind: &str, threads: usize, arguments: &str) -> Result<Vec<Variant>> {
        let mut variants = Vec::new();
        let able = |p: &Process| p.kinds.contains(&kind) && threads <= p.threads;
        for (at, process) in self.0.iter_mut().enumerate().filter(|(_, p)| able(p)) {
            for text in process.order(&format!("make {kind} {threads} {arguments}"))? {
                let odd = || Failure::Check(format!("a rival answered `{text}` instead of a variant"));
                let (name, answer) = text.rsplit_once('=').ok_or_else(odd)?;
                variants.push(Variant { name: name.into(), answer: answer.parse().ok(), process: at });
            }
        }
        Ok(variants)
    }

    /// Milliseconds of single runs of one variant of what was made last, for about `span`.
    pub(super) fn times(&mut self, variant: &Variant, span: Duration) -> Result<Vec<f64>> {
        let order = format!("time {} {}", variant.name.replace(' ', "_"), span.as_secs_f64());
        let numbers = self.0[variant.process].order(&order)?;
        let odd = |n: &str| Failure::Check(format!("a rival answered `{n}` instead of a time"));
        numbers.iter().map(|n| n.parse().map_err(|_| odd(n))).collect()
    }

    /// What the table calls a variant: PyTorch's with its version, `torch-csr-i64 2.13.0`.
    pub(super) fn title(&self, variant: &Variant) -> String {
        let versions = &self.0[variant.process].version;
        let torch = versions.strip_prefix("torch ").and_then(|v| v.split(',').next());
        match torch.filter(|_| variant.name.starts_with("torch")) {
            Some(version) => format!("{} {version}", variant.name),
            None => variant.name.clone(),
        }
    }

    /// Versions, for the report.
    pub(super) fn versions(&self) -> Vec<String> {
        self.0.iter().map(|p| p.version.clone()).collect()
    }
}

/// A running rival.
struct Process {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
    version: String,
    kinds: &'static [&'static str],
    /// The most it can use.
    threads: usize,
}

impl Process {
    fn start(command: &mut Command, kinds: &'static [&'static str], threads: usize) -> Result<Self> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|e| {
            let next = "run `cargo xtask setup bench`";
            Failure::input(format!("the benchmark environment does not start: {e}; {next}"))
        })?;
        let broken = || Failure::Check("the rival's process has no pipes".into());
        let ask = child.stdin.take().ok_or_else(broken)?;
        let answer = BufReader::new(child.stdout.take().ok_or_else(broken)?);
        let mut process = Self { child, ask, answer, version: String::new(), kinds, threads };
        process.version = process.order("version")?.join("");
        Ok(process)
    }

    /// Sends one order and returns the words it answers with.
    fn order(&mut self, order: &str) -> Result<Vec<String>> {
        let died = |e: std::io::Error| Failure::Check(format!("the rival's process ended: {e}"));
        writeln!(self.ask, "{order}").and_then(|()| self.ask.flush()).map_err(died)?;
        let mut line = String::new();
        if self.answer.read_line(&mut line).map_err(died)? == 0 {
            return Err(Failure::Check(format!("the rival's process ended on `{order}`; see its messages above")));
        }
        Ok(line.split('\t').map(|s| s.trim().to_string()).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its standard input closes with it; if it does not end by itself, it is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
