//! Training steps: forward, loss, backward and Adam, on dense and on spectral relu networks.

use super::contest::{Burst, Contest};
use super::{Arena, Bar, Row};
use crate::Result;
use ndarray::Array2;
use spectral_core::{Activation, DType, Flow, Model, Progress, Samples, Seed, Targets, TrainHook};
use spectral_layers::{LayerSpec, Network};
use spectral_train::{Adam, Trainer};
use std::time::{Duration, Instant};

/// Networks, batch sizes, and how much faster than PyTorch at its best we must be.
const DENSE: [(&[usize], usize, f64); 3] =
    [(&[784, 300, 100, 10], 100, 1.6), (&[784, 1000, 800, 400, 10], 250, 1.25), (&[3072, 1024, 1024, 10], 100, 1.25)];

/// The spectral network.
const SPECTRAL: (&[usize], usize) = (&[784, 1000, 800, 10], 250);

/// Batches in the data, as on the other side.
const BATCHES: usize = 100;

pub(super) fn dense(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for threads in arena.threads() {
        for (widths, batch, least) in DENSE {
            let shape = name(widths);
            let rivals = arena.make("train", threads, &format!("{shape} {batch}"))?;
            let mut network = Network::new(widths[0]);
            for (i, &units) in widths.iter().enumerate().skip(1) {
                let last = i + 1 == widths.len();
                network = network.dense(units, if last { Activation::Identity } else { Activation::Relu });
            }
            let mut model = network.dtype(DType::F32).build(&arena.cpu(threads)?, Seed(0))?;
            let data = data(widths, batch)?;
            let times = arena.compete(Contest::new(training(&mut model, &data, batch)), &rivals)?;
            let bar = Some(Bar { rival: "torch", least });
            rows.push(Row::new(
                format!("train/{shape}/adam/b{batch}/t{threads}"),
                threads,
                flops(widths, batch),
                times,
                bar,
            ));
        }
    }
    Ok(rows)
}

/// The full step against PyTorch, and steps that train eigenvalues alone against our own full step.
pub(super) fn spectral(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let (widths, batch) = SPECTRAL;
    let (shape, data) = (name(widths), data(widths, batch)?);
    let mut rows = Vec::new();
    for threads in arena.threads() {
        for (trains, bar) in [
            ("all", Bar { rival: "torch", least: 1.6 }),
            ("lambda_out", Bar { rival: "our full step", least: 1.0 / 0.6 }),
            ("lambda_in+lambda_out", Bar { rival: "our full step", least: 1.0 / 0.9 }),
        ] {
            let rivals = arena.make("spectral", threads, &format!("{shape} {batch} {trains}"))?;
            let mut model = spectral_network(arena, widths, trains, threads)?;
            let mut full = spectral_network(arena, widths, "all", threads)?;
            let mut contest = Contest::new(training(&mut model, &data, batch));
            if trains != "all" {
                contest = contest.against("our full step", training(&mut full, &data, batch));
            }
            let times = arena.compete(contest, &rivals)?;
            let title = format!("spectral/{shape}/{trains}/b{batch}/t{threads}");
            rows.push(Row::new(title, threads, flops(widths, batch), times, Some(bar)));
        }
    }
    Ok(rows)
}

/// A spectral network that trains the named factors, and its biases.
fn spectral_network(arena: &Arena<'_>, widths: &[usize], trains: &str, threads: usize) -> Result<Model> {
    let trained = |role: &str| trains == "all" || trains.split('+').any(|t| t == role);
    let specs: Vec<LayerSpec> = (1..widths.len())
        .map(|i| {
            let last = i + 1 == widths.len();
            serde_json::from_value(serde_json::json!({
                "kind": "spectral",
                "units": widths[i],
                "activation": if last { "identity" } else { "relu" },
                "trainable": {
                    "basis": trained("basis"), "lambda_in": trained("lambda_in"), "lambda_out": trained("lambda_out"),
                },
            }))
        })
        .collect::<Result<_, _>>()
        .map_err(|e| crate::Failure::Check(format!("the benchmark's network: {e}")))?;
    Ok(Network::from_specs(widths[0], &specs).build(&arena.cpu(threads)?, Seed(0))?)
}

pub(super) fn name(widths: &[usize]) -> String {
    widths.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
}

/// Random inputs and labels.
pub(super) fn data(widths: &[usize], batch: usize) -> Result<Samples> {
    let mut stream = Seed(1).stream("bench", 0);
    let classes = widths[widths.len() - 1];
    let inputs = Array2::from_shape_simple_fn((batch * BATCHES, widths[0]), || stream.unit() as f32);
    let labels = (0..batch * BATCHES).map(|_| stream.below(classes) as u32).collect();
    Ok(Samples::new("bench", inputs, Targets::Classes { labels, classes })?)
}

/// Steps, each with the gathering of its batch, until the time is up.
fn training<'a>(model: &'a mut Model, data: &'a Samples, batch: usize) -> Burst<'a> {
    Box::new(move |span| {
        let mut stopwatch = Stopwatch { start: Instant::now(), span, last: None, times: Vec::new() };
        Trainer::new(Adam::default()).epochs(1).batch(batch).fit_with(model, data, &mut [&mut stopwatch])?;
        Ok(stopwatch.times)
    })
}

/// Times from the end of one step to the end of the next.
pub(super) struct Stopwatch {
    pub(super) start: Instant,
    pub(super) span: Duration,
    pub(super) last: Option<Instant>,
    pub(super) times: Vec<f64>,
}

impl TrainHook for Stopwatch {
    fn after_step(&mut self, _: &mut Model, _: &Progress) -> spectral_core::Result<Flow> {
        let now = Instant::now();
        if let Some(last) = self.last {
            self.times.push(1e3 * (now - last).as_secs_f64());
        }
        self.last = Some(now);
        let enough = self.times.len() >= 3 && now - self.start >= self.span;
        Ok(if enough { Flow::Stop } else { Flow::Continue })
    }
}

/// Forward and weight gradients of every layer, input gradients of all but the first.
fn flops(widths: &[usize], batch: usize) -> f64 {
    let layer = |i: usize| 2.0 * (batch * widths[i] * widths[i + 1]) as f64;
    (0..widths.len() - 1).map(|i| layer(i) * if i == 0 { 2.0 } else { 3.0 }).sum()
}
