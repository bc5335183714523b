//! Benchmarks: our kernels and what people use otherwise, interleaved in one run.

mod contest;
mod document;
mod file;
mod grid;
mod inference;
mod memory;
mod plot;
mod rival;
mod set;
mod sparse_infer;
mod sparse_train;
mod train;

pub(crate) use rival::Rival;

use crate::{Failure, Result};
use contest::{Contest, Times};
use rival::{Rivals, Variant};
use serde::Serialize;
use spectral_core::registry::Unknown;
use spectral_workflow::Context;
use spectral_workflow::machine;
use spectral_workflow::output::columns;
use spectral_workflow::progress::during;
use spectral_workflow::report::Machine;

/// What a run of benchmarks gave; the JSON form is a contract.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    schema: u32,
    machine: Machine,
    /// What the machine reaches at best, for every number of threads.
    limits: Vec<Limit>,
    /// Who was measured beside us.
    rivals: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// The best that so many threads reach.
#[derive(Debug, Clone, Copy, Serialize)]
struct Limit {
    threads: usize,
    /// Multiply-adds on registers, in f32.
    gflops: f64,
    /// Gigabytes a second read from memory.
    gbytes: f64,
}

/// One piece of work.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// `suite/shape/details`.
    pub(crate) name: String,
    threads: usize,
    /// Median.
    ours_ms: f64,
    /// Distance between the quartiles, as a share of the median.
    spread: f64,
    gflops: f64,
    /// Gigabytes a second, where reading the weights is what takes the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    gbytes: Option<f64>,
    /// Share of what the machine reaches at best: of its bandwidth where `gbytes` is given, else of its arithmetic.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    rivals: Vec<Measured>,
    bar: Option<Bar>,
    /// Whether the bar was met; absent if the rival was not measured.
    pub(crate) pass: Option<bool>,
    /// Bytes of the file, where one is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// A rival's figure.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    name: String,
    ms: f64,
    /// The rival's time over ours: more than 1 is a win.
    ratio: f64,
    /// Bytes of its file, where one is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// What a ratio must at least be.
#[derive(Debug, Clone, Serialize)]
struct Bar {
    rival: &'static str,
    least: f64,
}

/// The suites, by name, and whether a run that names none has them.
const SUITES: [(&str, Suite, bool); 11] = [
    ("dense", inference::dense, true),
    ("spectral", train::spectral, true),
    ("train", train::dense, true),
    ("sparse-infer", sparse_infer::run, true),
    ("grid", grid::run, true),
    ("sparse-train", sparse_train::run, true),
    ("set", set::run, true),
    ("set-large", set::large, false),
    ("compact", inference::compact, true),
    ("file", file::run, true),
    ("memory", memory::run, true),
];

type Suite = fn(&mut Arena<'_>) -> Result<Vec<Row>>;

/// What the suites share: the rivals, and a place for the files they read.
pub(crate) struct Arena<'a> {
    cx: &'a Context,
    rivals: Rivals,
    files: tempfile::TempDir,
}

impl<'a> Arena<'a> {
    fn new(cx: &'a Context, against: Option<Rival>) -> Result<Self> {
        let rivals = match against {
            Some(Rival::Torch) => Rivals::start()?,
            None => Rivals::default(),
        };
        let files = tempfile::tempdir().map_err(|e| Failure::writing(&std::env::temp_dir(), e))?;
        Ok(Self { cx, rivals, files })
    }

    /// One thread, and all of them.
    fn threads(&self) -> Vec<usize> {
        let mut threads = vec![1, self.cx.threads];
        threads.dedup();
        threads
    }

    /// What the machine reaches now, or reached before if that was more: for seconds at a time a shared one has less.
    fn limits(&self, before: &[Limit]) -> Result<Vec<Limit>> {
        let measure = |threads| {
            let now = spectral_cpu::Cpu::with_threads(threads)?.limits();
            let best = Limit { threads, gflops: now.flops / 1e9, gbytes: now.bytes / 1e9 };
            let before = before.iter().filter(|l| l.threads == threads);
            Ok(before.fold(best, |best, l| Limit {
                threads,
                gflops: best.gflops.max(l.gflops),
                gbytes: best.gbytes.max(l.gbytes),
            }))
        };
        self.threads().into_iter().map(measure).collect()
    }

    /// Our backend with so many threads.
    fn cpu(&self, threads: usize) -> Result<spectral_core::BackendHandle> {
        Ok(std::sync::Arc::new(spectral_cpu::Cpu::with_threads(threads)?))
    }

    /// Has the rivals prepare a piece of work, if there are any; the ways in which it can be done.
    fn make(&mut self, kind: &str, threads: usize, arguments: &str) -> Result<Vec<Variant>> {
        self.rivals.make(kind, threads, arguments)
    }

    /// Runs a contest against those ways to do what was made last.
    fn compete(&mut self, contest: Contest<'_>, variants: &[Variant]) -> Result<Times> {
        contest.run(&mut self.rivals, variants)
    }

    /// Writes a file for the rivals to read.
    fn hand_over(&self, name: &str, parts: &[&[u8]]) -> Result<String> {
        let path = self.files.path().join(name);
        std::fs::write(&path, parts.concat()).map_err(|e| Failure::writing(&path, e))?;
        Ok(path.display().to_string())
    }
}

/// Runs the named suites, or all that are not for special occasions.
pub(crate) fn run(cx: &Context, names: &[String], against: Option<Rival>) -> Result<BenchReport> {
    let known: Vec<&str> = SUITES.iter().map(|(n, ..)| *n).collect();
    if let Some(name) = names.iter().find(|n| !known.contains(&n.as_str())) {
        return Err(spectral_core::Error::from(Unknown::new("suite", name, &known)).into());
    }
    let wanted = |name: &str, usual: bool| if names.is_empty() { usual } else { names.iter().any(|n| n == name) };
    let mut arena = Arena::new(cx, against)?;
    let (mut rows, mut limits) = (Vec::new(), Vec::new());
    for (name, suite, _) in SUITES.iter().filter(|(name, _, usual)| wanted(name, *usual)) {
        rows.extend(during(name, || suite(&mut arena))?);
        limits = arena.limits(&limits)?;
    }
    for row in &mut rows {
        row.share = limits.iter().find(|l| l.threads == row.threads).and_then(|l| row.share_of(l));
    }
    let machine = machine::describe(cx)?;
    Ok(BenchReport { schema: 1, machine, limits, rivals: arena.rivals.versions(), rows })
}

impl BenchReport {
    /// The rows for people.
    pub(crate) fn table(&self) -> String {
        let mut rows = Vec::new();
        for row in &self.rows {
            let ours = vec![
                row.name.clone(),
                "ours".into(),
                ms(row.ours_ms),
                "1.00".into(),
                format!("{:.0} %", 100.0 * row.spread),
                format!("{:.0}", row.gflops),
                row.share.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share)),
            ];
            rows.push(ours);
            for r in &row.rivals {
                rows.push(vec![
                    String::new(),
                    r.name.clone(),
                    ms(r.ms),
                    format!("{:.2}", r.ratio),
                    String::new(),
                    String::new(),
                    String::new(),
                ]);
            }
            if let (Some(bar), Some(pass)) = (&row.bar, row.pass) {
                let word = if pass { "met" } else { "MISSED" };
                rows.push(vec![
                    String::new(),
                    format!("bar: {} >= {:.2}", bar.rival, bar.least),
                    word.into(),
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                    String::new(),
                ]);
            }
        }
        columns(&["work", "by", "time", "their time / ours", "spread", "GFLOP/s", "of the limit"], &rows)
    }
}

fn ms(t: f64) -> String {
    if t < 1.0 { format!("{:.1} us", 1e3 * t) } else { format!("{t:.3} ms") }
}

/// The median of unsorted times, and the distance of their quartiles as a share of it.
fn summary(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at =
        |share: f64| times.get(((times.len().saturating_sub(1)) as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    (at(0.5), (at(0.75) - at(0.25)) / at(0.5))
}

impl Row {
    /// A row from everybody's times; `flops` are those of one run.
    fn new(name: String, threads: usize, flops: f64, mut times: Times, bar: Option<Bar>) -> Self {
        let (ours_ms, spread) = summary(&mut times.ours);
        let rivals: Vec<Measured> = times
            .rivals
            .into_iter()
            .map(|(name, mut times)| {
                let (ms, _) = summary(&mut times);
                Measured { name, ms, ratio: ms / ours_ms, bytes: None }
            })
            .collect();
        Self { spread, gflops: flops / ours_ms / 1e6, rivals, bar, ..Self::timed(name, threads, ours_ms) }.judged()
    }

    /// A row of which nothing else is known yet.
    fn timed(name: String, threads: usize, ours_ms: f64) -> Self {
        Self {
            name,
            threads,
            ours_ms,
            spread: 0.0,
            gflops: 0.0,
            gbytes: None,
            share: None,
            rivals: Vec::new(),
            bar: None,
            pass: None,
            bytes: None,
        }
    }

    /// A row that sums up others: the geometric means of our times and of the ratios to each rival.
    fn mean_of(name: String, rows: &[&Self], bar: Option<Bar>) -> Option<Self> {
        let first = rows.first()?;
        let mean = |of: &dyn Fn(&Self) -> Option<f64>| {
            let logs: Option<Vec<f64>> = rows.iter().map(|r| Some(of(r)?.ln())).collect();
            logs.map(|logs| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
        };
        let ours_ms = mean(&|r| Some(r.ours_ms))?;
        let ratio = |rival: &str| mean(&|r| Some(r.rivals.iter().find(|m| m.name == rival)?.ratio));
        let rivals = first
            .rivals
            .iter()
            .filter_map(|m| Some((m.name.clone(), ratio(&m.name)?)))
            .map(|(name, ratio)| Measured { name, ms: ratio * ours_ms, ratio, bytes: None })
            .collect();
        let (spread, gflops) = (rows.iter().map(|r| r.spread).fold(0.0, f64::max), mean(&|r| Some(r.gflops))?);
        Some(Self { spread, gflops, rivals, bar, ..Self::timed(name, first.threads, ours_ms) }.judged())
    }

    /// Says that a run has to read so many bytes of weights.
    fn reading(mut self, bytes: usize) -> Self {
        self.gbytes = Some(bytes as f64 / self.ours_ms / 1e6);
        self
    }

    /// How close the row comes to what limits it.
    fn share_of(&self, limit: &Limit) -> Option<f64> {
        match self.gbytes {
            Some(gbytes) => Some(gbytes / limit.gbytes),
            None => (self.gflops > 0.0).then(|| self.gflops / limit.gflops),
        }
    }

    /// The same figures held against one more bar.
    fn also(&self, which: &str, bar: Bar) -> Self {
        Self { name: format!("{} {which}", self.name), bar: Some(bar), ..self.clone() }.judged()
    }

    /// The verdict: the bar is against the rival at its best.
    fn judged(mut self) -> Self {
        self.pass = self.bar.as_ref().and_then(|bar| Some(self.ratio_to(bar.rival)? >= bar.least));
        self
    }

    /// The time of those whose names begin so over ours, at their best.
    fn ratio_to(&self, rival: &str) -> Option<f64> {
        let named = self.rivals.iter().filter(|r| r.name.starts_with(rival));
        named.map(|r| r.ratio).min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(least: f64, theirs: f64) -> Row {
        let rivals = vec![("torch eager".into(), vec![3.0; 3]), ("torch fused".into(), vec![theirs; 3])];
        let times = Times { ours: vec![1.0; 3], rivals };
        Row::new("x".into(), 1, 1e6, times, Some(Bar { rival: "torch", least }))
    }

    #[test]
    fn the_bar_is_against_the_best_rival() {
        assert_eq!((row(1.9, 2.0).pass, row(2.1, 2.0).pass), (Some(true), Some(false)));
        assert_eq!(row(1.0, 2.0).gflops, 1.0);
        let alone = Times { ours: vec![1.0], rivals: vec![] };
        assert_eq!(Row::new("x".into(), 1, 1.0, alone, Some(Bar { rival: "torch", least: 1.0 })).pass, None);
    }

    #[test]
    fn means_are_geometric() {
        let mean = Row::mean_of("mean".into(), &[&row(1.0, 2.0), &row(1.0, 0.5)], None).unwrap();
        assert!((mean.rivals[1].ratio - 1.0).abs() < 1e-12 && (mean.rivals[0].ratio - 3.0).abs() < 1e-12);
        assert!(Row::mean_of("none".into(), &[], None).is_none());
    }
}
