//! Training steps: forward, loss, backward and Adam on dense relu networks.

use super::rival::{Process, Rival, Work};
use super::{Bar, Row};
use crate::Result;
use crate::context::Context;
use ndarray::Array2;
use spectral_core::{Activation, DType, Flow, Model, Progress, Samples, Seed, Targets, TrainHook};
use spectral_layers::Network;
use spectral_train::{Adam, Trainer};
use std::time::{Duration, Instant};

/// Networks and batch sizes.
const WORK: [(&[usize], usize); 3] =
    [(&[784, 300, 100, 10], 100), (&[784, 1000, 800, 400, 10], 250), (&[3072, 1024, 1024, 10], 100)];

/// Steps of one round, and rounds.
const STEPS: usize = 100;
const ROUNDS: usize = 7;

pub(super) fn run(cx: &Context, against: Option<Rival>) -> Result<Vec<Row>> {
    let mut rival = match against {
        Some(Rival::Torch) => Some(Process::start(cx.threads)?),
        None => None,
    };
    let version = match &mut rival {
        Some(process) => process.order("version")?.join(""),
        None => String::new(),
    };
    WORK.iter().map(|(widths, batch)| row(cx, widths, *batch, rival.as_mut(), &version)).collect()
}

fn row(cx: &Context, widths: &[usize], batch: usize, mut rival: Option<&mut Process>, version: &str) -> Result<Row> {
    let shape = widths.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
    let work = |variant: &str| Work {
        name: format!("torch {version} {variant}"),
        order: format!("train {shape} {batch} {variant} {STEPS}"),
    };
    let variants = [work("foreach"), work("fused")];
    let mut rivals: Vec<(String, Vec<f64>)> = variants.iter().map(|w| (w.name.clone(), Vec::new())).collect();
    let (mut model, data) = setup(cx, widths, batch)?;
    let mut ours = Vec::new();
    for round in 0..=ROUNDS {
        let times = steps(&mut model, &data, batch)?;
        // The first round warms up.
        if round > 0 {
            ours.extend(times);
        }
        if let Some(process) = rival.as_deref_mut() {
            for (work, (_, all)) in variants.iter().zip(&mut rivals) {
                settle();
                let times = process.times(work)?;
                if round > 0 {
                    all.extend(times);
                }
            }
            settle();
        }
    }
    rivals.retain(|(_, times)| !times.is_empty());
    let bar = (widths == WORK[0].0).then_some(Bar { rival: "torch", least: 1.25 });
    Ok(Row::new(format!("train/{shape}/adam/b{batch}"), cx.threads, flops(widths, batch), &mut ours, rivals, bar))
}

/// Lets the threads of whoever ran last go to sleep.
fn settle() {
    std::thread::sleep(Duration::from_millis(30));
}

fn setup(cx: &Context, widths: &[usize], batch: usize) -> Result<(Model, Samples)> {
    let mut network = Network::new(widths[0]);
    for (i, &units) in widths.iter().enumerate().skip(1) {
        let last = i + 1 == widths.len();
        network = network.dense(units, if last { Activation::Identity } else { Activation::Relu });
    }
    let model = network.dtype(DType::F32).build(&cx.backend, Seed(0))?;
    let mut stream = Seed(1).stream("bench", 0);
    let classes = widths[widths.len() - 1];
    let inputs = Array2::from_shape_simple_fn((batch * STEPS, widths[0]), || stream.unit() as f32);
    let labels = (0..batch * STEPS).map(|_| stream.below(classes) as u32).collect();
    Ok((model, Samples::new("bench", inputs, Targets::Classes { labels, classes })?))
}

/// Milliseconds of each of [`STEPS`] steps, gathering of the batch included.
fn steps(model: &mut Model, data: &Samples, batch: usize) -> Result<Vec<f64>> {
    let mut stopwatch = Stopwatch { last: None, times: Vec::with_capacity(STEPS) };
    Trainer::new(Adam::default()).epochs(1).batch(batch).fit_with(model, data, &mut [&mut stopwatch])?;
    Ok(stopwatch.times)
}

/// Times from the end of one step to the end of the next.
struct Stopwatch {
    last: Option<Instant>,
    times: Vec<f64>,
}

impl TrainHook for Stopwatch {
    fn after_step(&mut self, _: &mut Model, _: &Progress) -> spectral_core::Result<Flow> {
        let now = Instant::now();
        if let Some(last) = self.last {
            self.times.push(1e3 * (now - last).as_secs_f64());
        }
        self.last = Some(now);
        Ok(Flow::Continue)
    }
}

/// Forward and weight gradients of every layer, input gradients of all but the first.
fn flops(widths: &[usize], batch: usize) -> f64 {
    let layer = |i: usize| 2.0 * (batch * widths[i] * widths[i + 1]) as f64;
    (0..widths.len() - 1).map(|i| layer(i) * if i == 0 { 2.0 } else { 3.0 }).sum()
}
