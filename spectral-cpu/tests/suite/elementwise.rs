//! Element-wise kernels, softmax, losses and reductions against the oracle, at every level.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use crate::common::*;
use proptest::prelude::*;
use spectral_core::{
    Accum, Activation, Backend, DType, Dropout, Elementwise, LossKernel, LossKind, Mask, Memory, Reduce, Reference,
    RowCopy, RowSum, Shape, Tensor,
};

const DTYPES: [DType; 2] = [DType::F32, DType::F64];
const ACCUMS: [Accum; 2] = [Accum::Replace, Accum::Add];

/// Runs `work` on the oracle and on every level, each with its own fresh result, and compares.
#[track_caller]
fn compare(what: &str, fresh: &dyn Fn() -> Tensor, tolerance: f64, work: &dyn Fn(&dyn Backend, &mut Tensor)) {
    let mut want = fresh();
    work(&Reference, &mut want);
    for cpu in every_level() {
        let mut got = fresh();
        work(&cpu, &mut got);
        assert_close(&format!("{what}, {}", cpu.describe()), &got, &want, tolerance);
    }
}

fn check_activations(rows: usize, batch: usize) {
    let shape = Shape::matrix(rows, batch);
    for dtype in DTYPES {
        for (name, act) in Activation::NAMES {
            let what = format!("{name} {shape} {dtype}");
            let x = random(shape, dtype, 1);
            let fresh = || result(shape, dtype, Accum::Replace);
            compare(&what, &fresh, tolerance(dtype, 0), &|b, y| b.activate(act, &x, y).unwrap());
            let mut at = random(shape, dtype, 1);
            if !act.slope_needs_input() {
                Reference.activate(act, &x, &mut at).unwrap();
            }
            let fresh = || random(shape, dtype, 2);
            compare(&what, &fresh, tolerance(dtype, rows / 8), &|b, dy| b.activate_vjp(act, &at, dy).unwrap());
        }
    }
}

fn check_pointwise(rows: usize, batch: usize) {
    let shape = Shape::matrix(rows, batch);
    for (dtype, accum) in DTYPES.into_iter().flat_map(|d| ACCUMS.map(|a| (d, a))) {
        let what = format!("{shape} {dtype} {accum:?}");
        let (a, b) = (random(shape, dtype, 1), random(shape, dtype, 2));
        let fresh = || result(shape, dtype, accum);
        let t = tolerance(dtype, 0);
        compare(&what, &fresh, t, &|cpu, y| cpu.scale(-0.7, &a, y, accum).unwrap());
        compare(&what, &fresh, t, &|cpu, y| cpu.multiply(&a, &b, y, accum).unwrap());
        for rate in [0.0, 0.3, 0.99] {
            let op = Dropout { rate, key: 42 };
            compare(&what, &fresh, t * 100.0, &|cpu, y| cpu.dropout(op, &a, y, accum).unwrap());
        }
        for sum in [RowSum::Plain, RowSum::Absolute, RowSum::Square] {
            let fresh = || result(Shape::vector(rows), dtype, accum);
            compare(&what, &fresh, tolerance(dtype, batch), &|cpu, y| cpu.row_sums(sum, &a, y, accum).unwrap());
        }
        let op = RowCopy { from_row: rows / 3, to_row: 2, rows: rows - rows / 3 };
        let fresh = || result(Shape::matrix(rows + 5, batch), dtype, Accum::Add);
        compare(&what, &fresh, t, &|cpu, y| cpu.copy_rows(op, &a, y, accum).unwrap());
        let mask = Mask::from_fn(shape.len(), |i| i % 3 == 0 || (64..128).contains(&i));
        compare(&what, &|| random(shape, dtype, 1), 0.0, &|cpu, y| cpu.zero_where(&mask, y).unwrap());
    }
}

fn check_losses(outputs: usize, batch: usize) {
    let shape = Shape::matrix(outputs, batch);
    for (dtype, accum) in DTYPES.into_iter().flat_map(|d| ACCUMS.map(|a| (d, a))) {
        let y = random(shape, dtype, 1);
        let mut t = random(shape, dtype, 2);
        Reference.activate(Activation::Softmax, &random(shape, dtype, 2), &mut t).unwrap();
        for kind in [LossKind::SoftmaxCrossEntropy, LossKind::MeanSquaredError] {
            let op = LossKernel { kind, outputs: &y, targets: &t, gradient_scale: 0.5 };
            let what = format!("{kind:?} {shape} {dtype} {accum:?}");
            let fresh = || result(shape, dtype, accum);
            compare(&what, &fresh, tolerance(dtype, outputs / 4), &|cpu, d| {
                let mut totals = Tensor::host_zeros(Shape::vector(2), DType::F64);
                cpu.loss(&op, &mut totals, slot(d, accum)).unwrap();
            });
            let fresh = || filled(Shape::vector(2), DType::F64, &[1.5, 2.0]);
            let t = tolerance(dtype, batch + outputs);
            compare(&what, &fresh, t, &|cpu, totals| cpu.loss(&op, totals, None).unwrap());
        }
    }
}

#[test]
fn edges() {
    for rows in [1, 2, 9, 17] {
        for batch in [0, 1, 2, 15, 16, 17, 33, 70] {
            check_activations(rows, batch);
            check_pointwise(rows, batch);
            check_losses(rows, batch);
        }
    }
    check_activations(0, 5);
    check_pointwise(0, 5);
}

#[test]
fn large_enough_for_every_panel() {
    check_activations(300, 257);
    check_pointwise(101, 701);
    check_losses(150, 601);
    check_pointwise(1, 70_001);
}

/// The whole range, against the oracle in the accuracy promised: relative, not absolute.
#[test]
fn activations_are_accurate_everywhere() {
    let points: Vec<f64> = (-4000..4000).map(|i| f64::from(i) * 0.025 + 0.001 * f64::from(i % 7)).collect();
    let small = (0..600).map(|i| 1.17f64.powi(-i) * if i % 2 == 0 { 1.0 } else { -1.0 });
    let points: Vec<f64> = points.into_iter().chain(small).collect();
    for dtype in DTYPES {
        let x = filled(Shape::vector(points.len()), dtype, &points);
        for (name, act) in Activation::NAMES.into_iter().filter(|(_, a)| a.is_elementwise()) {
            let mut want = result(x.shape(), dtype, Accum::Replace);
            Reference.activate(act, &x, &mut want).unwrap();
            for cpu in every_level() {
                let mut got = result(x.shape(), dtype, Accum::Replace);
                cpu.activate(act, &x, &mut got).unwrap();
                for ((x, got), want) in values(&x).into_iter().zip(values(&got)).zip(values(&want)) {
                    // Below the smallest normal f32 only a few bits are left.
                    let floor = if dtype == DType::F32 { 1e-37 } else { 1e-300 };
                    // The exponent of the tail of the normal distribution is itself rounded.
                    let spread = if act == Activation::Gelu { 1.0 + x * x / 4.0 } else { 1.0 };
                    let allowed = tolerance(dtype, 0) / 4.0 * spread * want.abs() + floor;
                    assert!((got - want).abs() <= allowed, "{name}({x}) = {got:e}, not {want:e}, {}", cpu.describe());
                }
            }
        }
    }
}

#[test]
fn nan_and_infinity_are_not_hidden() {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, 88.5, -103.0, 710.0];
    for dtype in DTYPES {
        let shape = Shape::matrix(3, 9);
        let x = filled(shape, dtype, &special.repeat(3));
        for (name, act) in Activation::NAMES {
            if act == Activation::Gelu {
                continue;
            }
            let fresh = || result(shape, dtype, Accum::Replace);
            compare(name, &fresh, tolerance(dtype, 0), &|cpu, y| cpu.activate(act, &x, y).unwrap());
        }
        for cpu in every_level() {
            let finite = |v: &[f64]| cpu.all_finite(&filled(Shape::vector(v.len()), dtype, v)).unwrap();
            assert!(finite(&[]) && finite(&[1.0; 70_000]));
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for at in [0, 16, 99, 69_999] {
                    let mut v = vec![1.0; at + 1];
                    v[at] = bad;
                    assert!(!finite(&v), "{bad} at {at}");
                }
            }
            let mut y = result(shape, dtype, Accum::Replace);
            cpu.activate(Activation::Gelu, &x, &mut y).unwrap();
            assert!(values(&y)[0].is_nan() && values(&y)[3] == 0.0);
        }
    }
}

#[test]
fn ties_go_to_the_first() {
    let y = [1.0, 3.0, 3.0, 0.0, 0.0, 0.0, f64::NAN, 1.0, 0.0];
    let t = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
    for dtype in DTYPES {
        let shape = Shape::matrix(3, 3);
        let (y, t) = (filled(shape, dtype, &y), filled(shape, dtype, &t));
        let op = LossKernel { kind: LossKind::MeanSquaredError, outputs: &y, targets: &t, gradient_scale: 1.0 };
        let fresh = || filled(Shape::vector(2), DType::F64, &[0.0; 2]);
        compare("ties", &fresh, 1e-6, &|cpu, totals| cpu.loss(&op, totals, None).unwrap());
    }
}

#[test]
fn memory_moves_and_converts() {
    let wide = random(Shape::matrix(3, 7), DType::F64, 1);
    for cpu in every_level() {
        let mut narrow = result(wide.shape(), DType::F32, Accum::Replace);
        cpu.copy(&wide, &mut narrow).unwrap();
        assert_close("copy", &narrow, &wide, 1e-6);
        cpu.fill(2.5, &mut narrow).unwrap();
        assert_eq!(values(&narrow), [2.5; 21]);
        assert!(cpu.write(&[1.0], &mut narrow).is_err());
        assert!(cpu.copy(&wide, &mut random(Shape::matrix(7, 3), DType::F64, 1)).is_err());
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let t = |r, c| random(Shape::matrix(r, c), DType::F32, 1);
    for cpu in every_level() {
        assert!(cpu.activate(Activation::Relu, &t(2, 3), &mut t(3, 2)).is_err());
        assert!(cpu.activate_vjp(Activation::Softmax, &t(2, 3), &mut t(3, 2)).is_err());
        assert!(cpu.scale(1.0, &t(2, 3), &mut t(3, 2), Accum::Add).is_err());
        assert!(cpu.multiply(&t(2, 3), &t(3, 2), &mut t(2, 3), Accum::Add).is_err());
        assert!(cpu.row_sums(RowSum::Plain, &t(2, 3), &mut t(2, 1), Accum::Add).is_err());
        assert!(cpu.zero_where(&Mask::none(5), &mut t(2, 3)).is_err());
        let op = RowCopy { from_row: 1, to_row: 0, rows: 2 };
        assert!(cpu.copy_rows(op, &t(2, 3), &mut t(2, 3), Accum::Replace).is_err());
        assert!(cpu.activate(Activation::Relu, &t(2, 3), &mut random(Shape::matrix(2, 3), DType::F64, 1)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_extents(rows in 1usize..60, batch in 0usize..200) {
        check_activations(rows, batch);
        check_pointwise(rows, batch);
        check_losses(rows, batch);
    }
}
