//! What the comparisons with the oracle share.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use spectral_core::{Accum, DType, GradSlot, Memory, Reference, Rule, Seed, Shape, Tensor, Update};
use spectral_cpu::{Cpu, CpuOptions, Simd};

/// One backend for every level this machine has, with two threads.
pub(crate) fn every_level() -> Vec<Cpu> {
    let levels = Simd::ALL.into_iter().filter(|s| s.is_available());
    levels.map(|simd| Cpu::with_options(CpuOptions { threads: Some(2), simd: Some(simd) }).unwrap()).collect()
}

/// Values between -2 and 2 that depend on `seed` alone.
pub(crate) fn random(shape: Shape, dtype: DType, seed: u64) -> Tensor {
    let mut stream = Seed(seed).stream("cpu tests", shape.len() as u64);
    let values: Vec<f64> = (0..shape.len()).map(|_| stream.uniform(-2.0, 2.0)).collect();
    filled(shape, dtype, &values)
}

pub(crate) fn filled(shape: Shape, dtype: DType, values: &[f64]) -> Tensor {
    let mut t = Tensor::host_zeros(shape, dtype);
    Reference.write(values, &mut t).unwrap();
    t
}

pub(crate) fn values(t: &Tensor) -> Vec<f64> {
    Reference.download(t).unwrap()
}

/// The first step of a rule, without anything optional.
pub(crate) fn plain(rule: Rule, rate: f64) -> Update<'static> {
    Update { rule, rate, step: 1, gradient_scale: 1.0, l1: 0.0, l2: 0.0, decay: 0.0, pruned: None, trainable: None }
}

/// A result to be: NaN everywhere where it is to be replaced, numbers where it is added to.
pub(crate) fn result(shape: Shape, dtype: DType, accum: Accum) -> Tensor {
    match accum {
        Accum::Replace => filled(shape, dtype, &vec![f64::NAN; shape.len()]),
        Accum::Add => random(shape, dtype, 99),
    }
}

pub(crate) fn slot(tensor: &mut Tensor, accum: Accum) -> Option<GradSlot<'_>> {
    Some(GradSlot { tensor, accum })
}

/// Largest difference allowed where values and sums of `terms` of them are of size about 1.
pub(crate) fn tolerance(dtype: DType, terms: usize) -> f64 {
    let epsilon = match dtype {
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
    };
    epsilon * (16.0 + 8.0 * terms as f64)
}

/// Compares element by element, relative to values above 1; NaN must meet NaN and infinity itself.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    for (i, (g, w)) in values(got).into_iter().zip(values(want)).enumerate() {
        let close = (g - w).abs() <= tolerance * w.abs().max(1.0) || g == w || (g.is_nan() && w.is_nan());
        assert!(close, "{what}, element {i}: {g:e} instead of {w:e} (tolerance {tolerance:e})");
    }
}
