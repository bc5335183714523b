//! Rivals that run in Python, in a process of their own that works when it is told to.

use crate::verbs::setup;
use crate::{Failure, Result};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The program that measures PyTorch.
const SCRIPT: &str = include_str!("torch.py");

/// What can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// PyTorch, at its best of foreach and fused optimisers
    Torch,
}

/// A running rival.
pub(crate) struct Process {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

/// One thing a rival can be told to do.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    /// What the table calls it.
    pub(crate) name: String,
    /// What the process is told.
    pub(crate) order: String,
}

impl Process {
    /// Starts PyTorch with as many threads as we use.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let missing = || Failure::input("no benchmark environment; run `cargo xtask setup bench` first");
        let python = setup::python().ok_or_else(missing)?;
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, &threads.to_string()])
            .env("OMP_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| {
                Failure::input(format!("the benchmark environment does not start: {e}; run `cargo xtask setup bench`"))
            })?;
        let broken = || Failure::Check("the rival's process has no pipes".into());
        let ask = child.stdin.take().ok_or_else(broken)?;
        let answer = BufReader::new(child.stdout.take().ok_or_else(broken)?);
        Ok(Self { child, ask, answer })
    }

    /// Sends one order and returns the numbers it answers with.
    pub(crate) fn order(&mut self, order: &str) -> Result<Vec<String>> {
        let died = |e: std::io::Error| Failure::Check(format!("the rival's process ended: {e}"));
        writeln!(self.ask, "{order}").and_then(|()| self.ask.flush()).map_err(died)?;
        let mut line = String::new();
        if self.answer.read_line(&mut line).map_err(died)? == 0 {
            return Err(Failure::Check(format!("the rival's process ended on `{order}`; see its messages above")));
        }
        Ok(line.split('\t').map(|s| s.trim().to_string()).collect())
    }

    /// Milliseconds of every repetition of one piece of work.
    pub(crate) fn times(&mut self, work: &Work) -> Result<Vec<f64>> {
        let numbers = self.order(&work.order)?;
        numbers
            .iter()
            .map(|n| n.parse().map_err(|_| Failure::Check(format!("the rival answered `{n}` instead of a time"))))
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its standard input closes with it; if it does not end by itself, it is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
