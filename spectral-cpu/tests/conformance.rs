//! The suite that every backend must pass, at every level.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

mod common;

#[test]
fn every_level_conforms() {
    for cpu in common::every_level() {
        spectral_testkit::backend::conformance(&cpu).into_result().unwrap();
    }
}
