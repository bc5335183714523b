//! Sparse evolutionary training (Mocanu et al. 2018): whole epochs, the exchange of weights included.

use super::contest::{Burst, Contest, LONG, Times};
use super::train::name;
use super::{Arena, Bar, Row};
use crate::Result;
use ndarray::Array2;
use spectral_core::{Activation, Density, EpochRecord, Flow, Model, Progress, Samples, Seed, Targets, TrainHook};
use spectral_layers::Network;
use spectral_layers::Sparse;
use spectral_prune::topology::{Set, Topology, TopologyHook};
use spectral_train::{Momentum, Trainer};
use std::time::{Duration, Instant};

/// The network of the paper's "lung" experiment, and the one with 1.8 million hidden units.
pub(super) const WIDTHS: [usize; 5] = [3312, 3000, 3000, 3000, 5];
const LARGE: [usize; 5] = [3312, 600_000, 600_000, 600_000, 5];

const SAMPLES: usize = 203;
pub(super) const BATCH: usize = 2;
const EPSILON: f64 = 20.0;

pub(super) fn run(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    arena.threads().into_iter().map(|threads| epoch(arena, threads)).collect()
}

/// Too large for the program it is compared with, and for repetitions: one epoch after the one that warms up.
pub(super) fn large(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let threads = arena.cx.threads;
    let mut model = network(&LARGE).build(&arena.cpu(threads)?, Seed(0))?;
    let (stored, data) = (stored(&model), data(&LARGE)?);
    let ours = training(&mut model, &data)(Duration::ZERO)?;
    let times = Times { ours, rivals: Vec::new() };
    Ok(vec![row("set-large", &LARGE, stored, threads, times, None)])
}

fn epoch(arena: &mut Arena<'_>, threads: usize) -> Result<Row> {
    let rivals = arena.make("set", threads, &format!("{} {EPSILON} {BATCH} {SAMPLES}", name(&WIDTHS)))?;
    let mut model = network(&WIDTHS).build(&arena.cpu(threads)?, Seed(0))?;
    let (stored, data) = (stored(&model), data(&WIDTHS)?);
    let times = arena.compete(Contest::new(training(&mut model, &data)), &rivals)?;
    let bar = Some(Bar { rival: "scipy-set", least: 20.0 });
    Ok(row("set", &WIDTHS, stored, threads, times, bar))
}

fn row(suite: &str, widths: &[usize], stored: usize, threads: usize, times: Times, bar: Option<Bar>) -> Row {
    // Forward, input gradient and gradient of the stored entries.
    let flops = (6 * stored * SAMPLES) as f64;
    let title = format!("{suite}/{}/{stored} stored/b{BATCH}/epoch/t{threads}", name(widths));
    Row::new(title, threads, flops, times, bar)
}

/// Relu layers of random sparsity.
pub(super) fn network(widths: &[usize]) -> Network {
    let mut network = Network::new(widths[0]);
    for (i, &units) in widths.iter().enumerate().skip(1) {
        let last = i + 1 == widths.len();
        let activation = if last { Activation::Identity } else { Activation::Relu };
        network = network.layer(Sparse::new(units, activation, 0.0));
    }
    network.density(Density::Epsilon(EPSILON))
}

/// Stored entries of all layers.
pub(super) fn stored(model: &Model) -> usize {
    model.params().iter().filter(|(_, p)| p.role.is_matrix()).map(|(_, p)| p.value().len()).sum()
}

/// Random inputs and classes, as many as the paper has.
pub(super) fn data(widths: &[usize]) -> Result<Samples> {
    let mut stream = Seed(1).stream("bench", 0);
    let inputs = Array2::from_shape_simple_fn((SAMPLES, widths[0]), || stream.unit() as f32);
    let classes = widths[widths.len() - 1];
    let labels = (0..SAMPLES).map(|_| stream.below(classes) as u32).collect();
    Ok(Samples::new("bench", inputs, Targets::Classes { labels, classes })?)
}

/// Epochs, until the time is up.
fn training<'a>(model: &'a mut Model, data: &'a Samples) -> Burst<'a> {
    Box::new(move |span| {
        let mut topology = TopologyHook::new(Topology::Set(Set::default()), Seed(0))?;
        let mut epochs = Epochs { start: Instant::now(), span, last: None, times: Vec::new() };
        let sgd = Momentum { rate: 0.01, momentum: 0.9 };
        let trainer = Trainer::new(sgd).epochs(1_000_000).batch(BATCH);
        // The exchange comes first, so that its time is in that of its epoch.
        trainer.fit_with(model, data, &mut [&mut topology, &mut epochs])?;
        Ok(epochs.times)
    })
}

/// Times from the end of one epoch to the end of the next.
struct Epochs {
    start: Instant,
    span: Duration,
    last: Option<Instant>,
    times: Vec<f64>,
}

impl TrainHook for Epochs {
    fn after_epoch(&mut self, _: &mut Model, _: &Progress, _: &EpochRecord) -> spectral_core::Result<Flow> {
        let now = Instant::now();
        let Some(last) = self.last.replace(now) else { return Ok(Flow::Continue) };
        self.times.push(1e3 * (now - last).as_secs_f64());
        let enough = now - last > LONG || (self.times.len() >= 3 && now - self.start >= self.span);
        Ok(if enough { Flow::Stop } else { Flow::Continue })
    }
}
