//! Sparse products, spectral weights and optimiser steps against the oracle, at every level.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use crate::common::*;
use proptest::prelude::*;
use spectral_core::{
    Accum, Activation, Backend, DType, Kernel, Mask, OuterProduct, Pattern, Reference, Rule, Shape, SparseGrads,
    SparseKernels, SparseLinear, SpectralGrads, SpectralWeight, Tensor, Update, UpdateKernels, hash64,
};
use spectral_cpu::{Cpu, CpuOptions, Simd};

const DTYPES: [DType; 2] = [DType::F32, DType::F64];

fn pattern(rows: usize, columns: usize, percent: u64) -> Pattern {
    // Every fifth row is empty, every seventh full.
    Pattern::from_fn(rows, columns, |r, c| {
        r % 5 != 3 && (r % 7 == 5 || hash64(7, (r * columns + c) as u64) % 100 < percent)
    })
    .unwrap()
}

#[track_caller]
fn compare(what: &str, tolerance: f64, work: &dyn Fn(&dyn Backend) -> Vec<Tensor>) {
    let want = work(&Reference);
    for cpu in every_level() {
        for (i, (got, want)) in work(&cpu).iter().zip(&want).enumerate() {
            assert_close(&format!("{what}, result {i}, {}", cpu.describe()), got, want, tolerance);
        }
    }
}

fn check_sparse(out: usize, inputs: usize, batch: usize, percent: u64) {
    let pattern = pattern(out, inputs, percent);
    for (i, dtype) in DTYPES.into_iter().cycle().take(4).enumerate() {
        let accum = if i < 2 { Accum::Replace } else { Accum::Add };
        let x = random(Shape::matrix(inputs, batch), dtype, 1);
        let v = random(Shape::vector(pattern.nonzeros()), dtype, 2);
        let (b, dz) = (random(Shape::vector(out), dtype, 3), random(Shape::matrix(out, batch), dtype, 4));
        let activation = [Activation::Identity, Activation::Relu, Activation::Sigmoid][(out + batch) % 3];
        let op = SparseLinear { x: &x, pattern: &pattern, values: &v, bias: (i % 2 == 0).then_some(&b), activation };
        let what = format!("[{out}, {inputs}] batch {batch} {percent} % {dtype} {accum:?}");
        compare(&what, tolerance(dtype, inputs.max(out).max(batch)), &|backend| {
            let mut y = [0; 3].map(|_| result(dz.shape(), dtype, Accum::Replace));
            let [alone, beside, pre] = &mut y;
            backend.sparse_linear(&op, alone, None).unwrap();
            backend.sparse_linear(&op, beside, Some(pre)).unwrap();
            let mut grads = [x.shape(), v.shape(), b.shape()].map(|s| result(s, dtype, accum));
            let [dx, dv, db] = &mut grads;
            let slots = SparseGrads { x: slot(dx, accum), values: slot(dv, accum), bias: slot(db, accum) };
            backend.sparse_linear_vjp(&op, &dz, slots).unwrap();
            y.into_iter().chain(grads).collect()
        });
    }
}

#[test]
fn sparse_edges() {
    for (out, inputs) in [(0, 4), (4, 0), (1, 1), (9, 17), (40, 33)] {
        for batch in [0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 65, 129] {
            check_sparse(out, inputs, batch, 30);
        }
    }
}

#[test]
fn sparse_large_enough_for_panels() {
    check_sparse(300, 257, 100, 10);
    check_sparse(200, 401, 1, 50);
    // Two samples, and so many entries that several buffers share the input gradient.
    check_sparse(500, 600, 2, 60);
}

#[test]
fn sparse_over_several_tiles_and_blocks() {
    check_sparse(1100, 600, 40, 4);
    check_sparse(30, 1300, 70, 60);
    // So thin that entries are taken row by row.
    check_sparse(700, 5000, 3, 0);
    let one = Pattern::from_fn(900, 3000, |r, c| c == r % 3000).unwrap();
    let (x, v) = (random(Shape::matrix(3000, 5), DType::F32, 1), random(Shape::vector(900), DType::F32, 2));
    let op = SparseLinear { x: &x, pattern: &one, values: &v, bias: None, activation: Activation::Identity };
    compare("one entry a row", 1e-6, &|backend| {
        let mut y = result(Shape::matrix(900, 5), DType::F32, Accum::Replace);
        backend.sparse_linear(&op, &mut y, None).unwrap();
        vec![y]
    });
}

/// Tiles and blocks, then one and two samples with so many entries that they are cut in panels and parts.
#[test]
fn sparse_products_and_steps_give_the_same_bits_for_any_number_of_threads() {
    for (out, inputs, batch, percent) in [(1300, 600, 90, 6), (500, 600, 1, 60), (500, 600, 2, 60)] {
        let pattern = pattern(out, inputs, percent);
        for dtype in DTYPES {
            let (x, dz) = (random(Shape::matrix(inputs, batch), dtype, 1), random(Shape::matrix(out, batch), dtype, 2));
            let v = random(Shape::vector(pattern.nonzeros()), dtype, 3);
            let op = SparseLinear { x: &x, pattern: &pattern, values: &v, bias: None, activation: Activation::Tanh };
            let gradient = OuterProduct { left: &dz, right: &x, pattern: Some(&pattern) };
            let step = plain(Rule::Sgd { momentum: 0.9, nesterov: false }, 0.1);
            let bits = |cpu: &Cpu| {
                let mut all = [dz.shape(), x.shape(), v.shape()].map(|s| result(s, dtype, Accum::Replace));
                let [y, dx, dv] = &mut all;
                cpu.sparse_linear(&op, y, None).unwrap();
                let slots = SparseGrads { x: slot(dx, Accum::Replace), values: slot(dv, Accum::Replace), bias: None };
                cpu.sparse_linear_vjp(&op, &dz, slots).unwrap();
                let (mut stepped, mut state) = (v.duplicate().unwrap(), [random(v.shape(), dtype, 4)]);
                cpu.update_product(&step, &mut stepped, gradient, &mut state).unwrap();
                let [state] = state;
                all.iter().chain([&stepped, &state]).map(values).collect::<Vec<_>>()
            };
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                let [one, two, eight] =
                    [1, 2, 8].map(|n| Cpu::with_options(CpuOptions { threads: Some(n), simd: Some(simd) }).unwrap());
                let want = bits(&one);
                assert!(want == bits(&two) && want == bits(&eight), "{simd} {dtype} {batch} samples");
            }
        }
    }
}

/// As many columns as 16 bits count and more, a single column, and nothing stored at all.
#[test]
fn sparse_extreme_extents() {
    check_sparse(3, 65_536, 1, 1);
    check_sparse(3, 65_536, 2, 1);
    check_sparse(3, 70_000, 1, 1);
    check_sparse(3, 70_000, 2, 1);
    check_sparse(2000, 1, 33, 50);
    let empty = Pattern::from_fn(600, 300, |_, _| false).unwrap();
    let (x, v) = (random(Shape::matrix(300, 40), DType::F32, 1), Tensor::host_zeros(Shape::vector(0), DType::F32));
    let b = random(Shape::vector(600), DType::F32, 3);
    let op = SparseLinear { x: &x, pattern: &empty, values: &v, bias: Some(&b), activation: Activation::Relu };
    compare("nothing stored", 0.0, &|backend| {
        let mut y = result(Shape::matrix(600, 40), DType::F32, Accum::Replace);
        backend.sparse_linear(&op, &mut y, None).unwrap();
        let mut dx = result(x.shape(), DType::F32, Accum::Replace);
        let grads = SparseGrads { x: slot(&mut dx, Accum::Replace), ..SparseGrads::default() };
        backend.sparse_linear_vjp(&op, &y, grads).unwrap();
        vec![y, dx]
    });
}

/// NaN and infinity reach exactly the results they are connected to, and subnormal numbers are not flushed.
#[test]
fn sparse_special_values() {
    for batch in [1, 2, 9, 40] {
        let (out, inputs) = (60, 530);
        let pattern = pattern(out, inputs, 20);
        let mut x: Vec<f64> = (0..inputs * batch).map(|i| (i % 7) as f64 - 3.0).collect();
        x[3 * batch] = f64::NAN;
        x[400 * batch + batch - 1] = f64::INFINITY;
        let mut v = vec![1e-40; pattern.nonzeros()];
        v[5] = f64::NEG_INFINITY;
        v[7] = f64::NAN;
        let x = filled(Shape::matrix(inputs, batch), DType::F32, &x);
        let v = filled(Shape::vector(v.len()), DType::F32, &v);
        let op = SparseLinear { x: &x, pattern: &pattern, values: &v, bias: None, activation: Activation::Identity };
        compare(&format!("special values, batch {batch}"), 1e-42, &|backend| {
            let mut y = result(Shape::matrix(out, batch), DType::F32, Accum::Replace);
            backend.sparse_linear(&op, &mut y, None).unwrap();
            let mut grads = [x.shape(), v.shape()].map(|s| result(s, DType::F32, Accum::Replace));
            let [dx, dv] = &mut grads;
            let accum = Accum::Replace;
            let slots = SparseGrads { x: slot(dx, accum), values: slot(dv, accum), bias: None };
            let dz = filled(y.shape(), DType::F32, &vec![1.0; out * batch]);
            backend.sparse_linear_vjp(&op, &dz, slots).unwrap();
            grads.into_iter().chain([y]).collect()
        });
    }
}

#[test]
fn sparse_wrong_shapes_are_errors() {
    let pattern = pattern(3, 4, 100);
    let t = |r, c| random(Shape::matrix(r, c), DType::F32, 1);
    let v = random(Shape::vector(pattern.nonzeros()), DType::F32, 1);
    let x = t(4, 5);
    let op = SparseLinear { x: &x, pattern: &pattern, values: &v, bias: None, activation: Activation::Identity };
    for cpu in every_level() {
        assert!(cpu.sparse_linear(&op, &mut t(3, 5), None).is_ok());
        assert!(cpu.sparse_linear(&op, &mut t(4, 5), None).is_err());
        assert!(cpu.sparse_linear(&op, &mut t(3, 5), Some(&mut t(5, 3))).is_err());
        assert!(cpu.sparse_linear(&SparseLinear { values: &t(1, 2), ..op }, &mut t(3, 5), None).is_err());
        let mut dx = t(5, 4);
        let grads = SparseGrads { x: slot(&mut dx, Accum::Add), ..SparseGrads::default() };
        assert!(cpu.sparse_linear_vjp(&op, &t(3, 5), grads).is_err());
    }
}

fn check_spectral(out: usize, inputs: usize) {
    for (i, dtype) in DTYPES.into_iter().cycle().take(4).enumerate() {
        let accum = if i < 2 { Accum::Replace } else { Accum::Add };
        let w = Shape::matrix(out, inputs);
        let batch = [1, 5, 40][i % 3];
        let basis = random(w, dtype, 1);
        let (dz, x) = (random(Shape::matrix(out, batch), dtype, 2), random(Shape::matrix(inputs, batch), dtype, 5));
        let (inner, outer) = (random(Shape::vector(inputs), dtype, 3), random(Shape::vector(out), dtype, 4));
        let op = SpectralWeight { basis: &basis, lambda_in: &inner, lambda_out: &outer };
        compare(&format!("spectral {w} {dtype} {accum:?}"), tolerance(dtype, inputs.max(out)), &|backend| {
            let mut weight = result(w, dtype, Accum::Replace);
            backend.spectral_weight(&op, &mut weight).unwrap();
            let mut grads = [w, inner.shape(), outer.shape()].map(|s| result(s, dtype, accum));
            let [db, di, d_o] = &mut grads;
            let slots =
                SpectralGrads { basis: slot(db, accum), lambda_in: slot(di, accum), lambda_out: slot(d_o, accum) };
            backend.spectral_weight_vjp(&op, OuterProduct { left: &dz, right: &x, pattern: None }, slots).unwrap();
            grads.into_iter().chain([weight]).collect()
        });
    }
}

#[test]
fn spectral_weights_and_gradients() {
    for out in [0, 1, 7, 70] {
        for inputs in [0, 1, 15, 16, 65, 300] {
            check_spectral(out, inputs);
        }
    }
    check_spectral(300, 411);
}

const RULES: [Rule; 7] = [
    Rule::Sgd { momentum: 0.0, nesterov: false },
    Rule::Sgd { momentum: 0.9, nesterov: false },
    Rule::Sgd { momentum: 0.9, nesterov: true },
    Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    Rule::Adamax { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    Rule::RmsProp { rho: 0.99, epsilon: 1e-8, epsilon_inside: false },
    Rule::RmsProp { rho: 0.99, epsilon: 1e-8, epsilon_inside: true },
];

fn check_update(len: usize) {
    let pruned = Mask::from_fn(len, |i| hash64(1, i as u64).is_multiple_of(3));
    let trainable = Mask::from_fn(len, |i| !hash64(2, i as u64).is_multiple_of(4));
    for dtype in DTYPES {
        for (rule, masks) in RULES.into_iter().flat_map(|r| [0, 1, 2, 3].map(|m| (r, m))) {
            let shape = Shape::vector(len);
            let gradient = random(shape, dtype, 1);
            compare(&format!("{rule:?} masks {masks} {len} {dtype}"), tolerance(dtype, 8), &|backend| {
                let mut value = random(shape, dtype, 2);
                let mut state: Vec<Tensor> = (0..rule.slots()).map(|_| Tensor::host_zeros(shape, dtype)).collect();
                for step in 1..=3 {
                    let op = Update {
                        step,
                        gradient_scale: 0.5,
                        l1: 0.01,
                        l2: 0.02,
                        decay: 0.1,
                        pruned: (masks & 1 == 1).then_some(&pruned),
                        trainable: (masks & 2 == 2).then_some(&trainable),
                        ..plain(rule, 0.01)
                    };
                    backend.update(&op, &mut value, &gradient, &mut state).unwrap();
                }
                state.push(value);
                state
            });
        }
    }
}

#[test]
fn updates_of_every_rule() {
    for len in [0, 1, 7, 63, 64, 65, 130, 40_001] {
        check_update(len);
    }
}

#[test]
fn pruned_entries_are_positive_zero_even_from_nan_and_subnormals_vanish() {
    let shape = Shape::vector(70);
    let mask = Mask::from_fn(70, |i| i % 2 == 0);
    for (dtype, cpu) in DTYPES.into_iter().flat_map(|d| every_level().into_iter().map(move |c| (d, c))) {
        let mut value =
            filled(shape, dtype, &(0..70).map(|i| if i % 2 == 0 { f64::NAN } else { 1e-35 }).collect::<Vec<_>>());
        let gradient = filled(shape, dtype, &[0.0; 70]);
        let mut state = [filled(shape, dtype, &[1e-32; 70]), filled(shape, dtype, &[1e-32; 70])];
        let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        let op = Update { pruned: Some(&mask), ..plain(rule, 0.0) };
        cpu.update(&op, &mut value, &gradient, &mut state).unwrap();
        for t in state.iter().chain([&value]) {
            assert!(values(t).iter().all(|v| v.to_bits() == 0), "{dtype} {}", cpu.describe());
        }
        assert!(cpu.update(&op, &mut value, &gradient, &mut state[..1]).is_err());
    }
}

#[test]
fn slices_are_there_for_random_patterns_and_nothing_else_is_laid_out() {
    for (dtype, cpu) in DTYPES.into_iter().flat_map(|d| every_level().into_iter().map(move |c| (d, c))) {
        let pattern = Pattern::from_fn(100, 300, |r, c| hash64(r as u64, c as u64).is_multiple_of(10)).unwrap();
        let values = filled(Shape::vector(pattern.nonzeros()), dtype, &vec![1.0; pattern.nonzeros()]);
        let packed = |kernel| cpu.pack(kernel, &pattern, &values).unwrap();
        assert!(packed(Kernel::Sliced).is_some_and(|p| p.most_samples() >= 1), "{dtype} {}", cpu.describe());
        assert!(packed(Kernel::Csr).is_none() && packed(Kernel::Dense).is_none());
        let short = filled(Shape::vector(3), dtype, &[1.0; 3]);
        assert!(cpu.pack(Kernel::Sliced, &pattern, &short).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_extents(out in 0usize..80, inputs in 0usize..120, batch in 0usize..140, percent in 0u64..100) {
        check_sparse(out, inputs, batch, percent);
        check_spectral(out, inputs);
    }
}
