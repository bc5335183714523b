//! The suite that every layer must pass: gradients, shapes, configuration, inference, units.

use spectral_core::{Reference, Seed, Shape};
use std::sync::Arc;

#[test]
fn the_layer_keeps_the_rules() {
    for bias in [true, false] {
        let layer = weight_norm::WeightNorm { bias, ..weight_norm::WeightNorm::new(3) };
        spectral_testkit::layer::conformance(&Reference, Arc::new(layer), &[Shape::vector(4)], Seed(5)).unwrap();
    }
}
