//! The suites that every backend must pass, at every level.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use spectral_cpu::{Cpu, CpuOptions};
use spectral_testkit::backend;
use std::sync::Arc;

#[test]
fn every_level_conforms() {
    for cpu in crate::common::every_level() {
        println!("{}", backend::conformance(&cpu).into_result().unwrap());
    }
}

#[test]
fn every_level_gives_the_same_bits_for_any_number_of_threads() {
    for cpu in crate::common::every_level() {
        let simd = Some(cpu.simd());
        let open = |threads| Ok(Arc::new(Cpu::with_options(CpuOptions { threads: Some(threads), simd })?) as _);
        println!("{simd:?}: {}", backend::determinism(open).into_result().unwrap());
    }
}
