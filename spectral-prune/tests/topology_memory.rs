//! Sparse training takes memory for the entries it stores, while the topology moves too.
//!
//! A program of its own: the threads of the usual test harness allocate whenever they like.

#![allow(clippy::unwrap_used)]

use ndarray::Array2;
use spectral_core::{Activation, BackendHandle, Samples, Seed, Targets};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::Sparse;
use spectral_prune::topology::{Every, Rigl, Set, Srigl, Topology, TopologyHook};
use spectral_testkit::{Counting, Usage};
use spectral_train::{Adam, Loss, Momentum, Trainer};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const UNITS: usize = 3000;

/// Two layers of 3000 x 3000 weights of which 1 % are stored, built and trained with an update every other step.
fn main() {
    let mut stream = Seed(1).stream("data", 0);
    let inputs = Array2::from_shape_fn((12, UNITS), |_| stream.normal() as f32);
    let labels = (0..12).map(|_| stream.below(5) as u32).collect();
    let data = Samples::new("noise", inputs, Targets::Classes { labels, classes: 5 }).unwrap();
    let backend: BackendHandle = Arc::new(Cpu::with_threads(1).unwrap());
    let every = Every::Steps(2);
    let mut failures = Vec::new();
    // Without tiles: value, gradient, column, column in 16 bits, and for one sample at a time the order by column.
    for (batch, bytes) in [(1, 4 + 4 + 4 + 2 + 8), (2, 4 + 4 + 4 + 2)] {
        for (topology, trainer, slots) in [
            (Topology::Set(Set { every, ..Set::default() }), Trainer::new(Momentum::default()), 1),
            (Topology::Set(Set { every, share: 1.0, ..Set::default() }), Trainer::new(Momentum::default()), 1),
            (Topology::Set(Set { every, ..Set::default() }), Trainer::new(Adam::default()), 2),
            (Topology::Rigl(Rigl { every, ..Rigl::default() }), Trainer::new(Momentum::default()), 1),
            (Topology::Srigl(Srigl { every, ..Srigl::default() }), Trainer::new(Momentum::default()), 1),
        ] {
            let Usage { peak, largest, .. } = ALLOCATOR.during(|| {
                let network = Network::new(UNITS)
                    .layer(Sparse::new(UNITS, Activation::Relu, 0.01))
                    .layer(Sparse::new(UNITS, Activation::Relu, 0.01))
                    .layer(Sparse::new(5, Activation::Identity, 0.1));
                let mut model = network.build(&backend, Seed(1)).unwrap();
                let mut hook =
                    TopologyHook::new(topology, Seed(1)).unwrap().growing_on(&data, Loss::CrossEntropy, batch);
                trainer.batch(batch).epochs(2).fit_with(&mut model, &data, &mut [&mut hook]).unwrap();
                assert!(hook.records().len() >= 4, "{} updates", hook.records().len());
            });

            let layer = UNITS * UNITS / 100;
            let stored = 2 * layer + 5 * UNITS / 10;
            // An update adds at most 16. What does not depend on the entries (activations, row starts, panels) is here
            // less than a MiB.
            let limit = (bytes + 4 * slots + 16) * stored + (1 << 20);
            println!(
                "{topology:?}, batch {batch}, {slots} slots: peak {peak} bytes, {:.1} an entry; limit {}; largest request {largest}",
                peak as f64 / stored as f64,
                limit
            );
            if peak > limit {
                failures.push(format!("{topology:?}, batch {batch}: {peak} bytes at the peak"));
            }
            // Not even one bit for each weight of a layer.
            if largest >= UNITS * UNITS / 8 {
                failures.push(format!("{topology:?}, batch {batch}: one request of {largest} bytes"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}
