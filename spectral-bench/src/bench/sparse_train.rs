//! Truly sparse training: values, gradients and momentum of stored entries only, against masked dense training.

use super::contest::{Burst, Contest};
use super::train::{Stopwatch, data, name};
use super::{Arena, Bar, Row};
use crate::Result;
use spectral_core::{Activation, Model, Samples, Seed};
use spectral_layers::Network;
use spectral_layers::Sparse;
use spectral_train::{Momentum, Trainer};
use std::time::Instant;

const WIDTHS: [usize; 4] = [3072, 1024, 512, 10];
const BATCH: usize = 100;

/// Densities, and the most of masked PyTorch's time that a step may take.
const DENSITIES: [(f64, f64); 3] = [(0.01, 0.06), (0.05, 0.18), (0.1, 0.3)];

pub(super) fn run(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let data = data(&WIDTHS, BATCH)?;
    let mut rows = Vec::new();
    for threads in arena.threads() {
        for (density, share) in DENSITIES {
            let shape = name(&WIDTHS);
            let rivals = arena.make("masked", threads, &format!("{shape} {BATCH} {density}"))?;
            let mut model = network(arena, density, threads)?;
            let nonzeros: usize = model.params().iter().map(|(_, p)| p.value().len()).sum();
            // Forward, input gradient and gradient on the pattern.
            let flops = (6 * nonzeros * BATCH) as f64;
            let times = arena.compete(Contest::new(training(&mut model, &data)), &rivals)?;
            let title = format!("sparse-train/{shape}/{:.0}%/b{BATCH}/t{threads}", 100.0 * density);
            rows.push(Row::new(title, threads, flops, times, Some(Bar { rival: "torch-masked", least: 1.0 / share })));
        }
    }
    Ok(rows)
}

/// Relu layers, all of the given density.
fn network(arena: &Arena<'_>, density: f64, threads: usize) -> Result<Model> {
    let mut network = Network::new(WIDTHS[0]);
    for (i, &units) in WIDTHS.iter().enumerate().skip(1) {
        let last = i + 1 == WIDTHS.len();
        let activation = if last { Activation::Identity } else { Activation::Relu };
        network = network.layer(Sparse::new(units, activation, density));
    }
    Ok(network.build(&arena.cpu(threads)?, Seed(0))?)
}

fn training<'a>(model: &'a mut Model, data: &'a Samples) -> Burst<'a> {
    Box::new(move |span| {
        let mut stopwatch = Stopwatch { start: Instant::now(), span, last: None, times: Vec::new() };
        let sgd = Momentum { rate: 0.01, momentum: 0.9 };
        Trainer::new(sgd).epochs(1).batch(BATCH).fit_with(model, data, &mut [&mut stopwatch])?;
        Ok(stopwatch.times)
    })
}
