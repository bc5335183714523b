//! The results of a suite.

use std::fmt::Display;

/// The outcome of a suite: how many cases it ran, and every one that failed.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was tested.
    pub suite: String,
    /// Cases that ran.
    pub cases: usize,
    /// Cases left out because they cannot be judged, for example next to a kink.
    pub skipped: usize,
    /// One readable line for each failure.
    pub failures: Vec<String>,
    /// The largest relative error among the cases that compare numbers.
    pub worst: f64,
}

/// Most failures that are printed.
const SHOWN: usize = 40;

impl Report {
    pub(crate) fn new(suite: impl Into<String>) -> Self {
        Self { suite: suite.into(), ..Self::default() }
    }

    /// Whether there is no failure and at least one case.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.cases > 0
    }

    /// The report, or an error that prints it if anything failed.
    ///
    /// # Errors
    /// A case failed, or there was none.
    pub fn into_result(self) -> Result<Self, Failed> {
        if self.passed() { Ok(self) } else { Err(Failed(self)) }
    }

    /// Counts a case, and a failure if `holds` is false.
    pub(crate) fn expect(&mut self, holds: bool, what: impl Display) {
        self.cases += 1;
        if !holds {
            self.failures.push(what.to_string());
        }
    }

    /// Counts a case that may return an error.
    pub(crate) fn attempt<T>(&mut self, what: impl Display, result: spectral_core::Result<T>) -> Option<T> {
        self.cases += 1;
        result.map_err(|e| self.failures.push(format!("{what}: {e}"))).ok()
    }

    /// Adds the cases of another report.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.cases += other.cases;
        self.skipped += other.skipped;
        self.worst = self.worst.max(other.worst);
        self.failures.extend(other.failures.into_iter().map(|f| format!("{}: {f}", other.suite)));
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} cases, {} failed", self.suite, self.cases, self.failures.len())?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        write!(f, ", worst relative error {:.1e}", self.worst)?;
        for failure in self.failures.iter().take(SHOWN) {
            write!(f, "\n  {failure}")?;
        }
        match self.failures.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// A suite that did not pass.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub Report);
