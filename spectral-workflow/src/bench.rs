//! Benchmarks: our kernels and what people use otherwise, interleaved in one run.

mod rival;
mod train;

pub(crate) use rival::Rival;

use crate::context::Context;
use crate::output::columns;
use crate::report::Machine;
use crate::{Result, machine};
use serde::Serialize;
use spectral_core::registry::Unknown;

/// What a run of benchmarks gave; the JSON form is a contract.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    schema: u32,
    machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// One piece of work.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// `suite/shape/details`.
    pub(crate) name: String,
    threads: usize,
    /// Median.
    ours_ms: f64,
    /// Distance between the quartiles, as a share of the median.
    spread: f64,
    gflops: f64,
    rivals: Vec<Measured>,
    bar: Option<Bar>,
    /// Whether the bar was met; absent if the rival was not measured.
    pub(crate) pass: Option<bool>,
}

/// A rival's figure.
#[derive(Debug, Serialize)]
struct Measured {
    name: String,
    ms: f64,
    /// The rival's time over ours: more than 1 is a win.
    ratio: f64,
}

/// What a ratio must at least be.
#[derive(Debug, Clone, Serialize)]
struct Bar {
    rival: &'static str,
    least: f64,
}

/// The suites, by name.
const SUITES: [(&str, Suite); 1] = [("train", train::run)];

type Suite = fn(&Context, Option<Rival>) -> Result<Vec<Row>>;

/// Runs the named suites, or all.
pub(crate) fn run(cx: &Context, names: &[String], against: Option<Rival>) -> Result<BenchReport> {
    let known: Vec<&str> = SUITES.iter().map(|(n, _)| *n).collect();
    if let Some(name) = names.iter().find(|n| !known.contains(&n.as_str())) {
        return Err(spectral_core::Error::from(Unknown::new("suite", name, &known)).into());
    }
    let mut rows = Vec::new();
    for (_, suite) in SUITES.iter().filter(|(n, _)| names.is_empty() || names.iter().any(|a| a == n)) {
        rows.extend(suite(cx, against)?);
    }
    Ok(BenchReport { schema: 1, machine: machine::describe(&*cx.backend, cx.threads), rows })
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
                ]);
            }
        }
        columns(&["work", "by", "time", "their time / ours", "spread", "GFLOP/s"], &rows)
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
    /// A row from our times and those of rivals, in milliseconds.
    fn new(
        name: String,
        threads: usize,
        flops: f64,
        ours: &mut [f64],
        rivals: Vec<(String, Vec<f64>)>,
        bar: Option<Bar>,
    ) -> Self {
        let (ours_ms, spread) = summary(ours);
        let rivals: Vec<Measured> = rivals
            .into_iter()
            .map(|(name, mut times)| {
                let (ms, _) = summary(&mut times);
                Measured { name, ms, ratio: ms / ours_ms }
            })
            .collect();
        // The bar is against the rival at its best.
        let best =
            |bar: &Bar| rivals.iter().filter(|r| r.name.starts_with(bar.rival)).map(|r| r.ratio).min_by(f64::total_cmp);
        let pass = bar.as_ref().and_then(|b| Some(best(b)? >= b.least));
        Self { name, threads, ours_ms, spread, gflops: flops / ours_ms / 1e6, rivals, bar, pass }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_against_the_best_rival() {
        let rivals = [("torch eager".into(), vec![3.0, 3.0, 3.0]), ("torch fused".into(), vec![2.0, 2.0, 2.0])];
        let row = |least| {
            let bar = Some(Bar { rival: "torch", least });
            Row::new("x".into(), 1, 1e6, &mut [1.0, 1.0, 1.0], vec![rivals[0].clone(), rivals[1].clone()], bar)
        };
        assert_eq!((row(1.9).pass, row(2.1).pass), (Some(true), Some(false)));
        assert_eq!(row(1.0).gflops, 1.0);
        assert_eq!(
            Row::new("x".into(), 1, 1.0, &mut [1.0], vec![], Some(Bar { rival: "torch", least: 1.0 })).pass,
            None
        );
    }
}
