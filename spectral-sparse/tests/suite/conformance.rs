//! The suites every layer must pass, for every activation, with and without a bias, at every density.

use crate::networks::cpu;
use spectral_core::{Activation, BackendHandle, Reference, Seed, Shape};
use spectral_layers::{Dense, Sparse};
use spectral_testkit::layer;
use std::sync::Arc;

#[test]
fn the_sparse_layer_conforms_and_its_gradients_are_right() {
    let mut failures = Vec::new();
    for backend in [Arc::new(Reference) as BackendHandle, cpu()] {
        for (name, act) in Activation::NAMES.into_iter().filter(|(_, a)| a.is_elementwise()) {
            for (bias, density) in [(true, 0.4), (false, 0.4), (true, 1.0), (true, 0.0)] {
                let dense = Dense { bias, ..Dense::new(4, act) };
                let sparse = Arc::new(Sparse { density, dense });
                if let Err(failed) = layer::conformance(&backend, sparse, &[Shape::vector(5)], Seed(2)) {
                    failures.push(format!("{} {name} bias {bias} density {density}: {failed}", backend.name()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
