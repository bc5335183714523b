//! Dense products against the oracle, at every level.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use crate::common::*;
use proptest::prelude::*;
use spectral_core::{Accum, Activation, Backend, DType, DenseKernels, Linear, LinearGrads, Reference, Shape};

#[derive(Debug, Clone, Copy)]
struct Case {
    out: usize,
    inputs: usize,
    batch: usize,
    dtype: DType,
    accum: Accum,
    bias: bool,
}

fn check(case: Case, activation: Activation) {
    let Case { out, inputs, batch, dtype, accum, bias } = case;
    let (x, w) = (random(Shape::matrix(inputs, batch), dtype, 1), random(Shape::matrix(out, inputs), dtype, 2));
    let (b, dz) = (random(Shape::vector(out), dtype, 3), random(Shape::matrix(out, batch), dtype, 4));
    let op = Linear { x: &x, weight: &w, bias: bias.then_some(&b), activation };
    let run = |backend: &dyn Backend| {
        let mut y = result(dz.shape(), dtype, Accum::Replace);
        let mut both = [result(dz.shape(), dtype, Accum::Replace), result(dz.shape(), dtype, Accum::Replace)];
        backend.linear(&op, &mut y, None).unwrap();
        let [with_pre, pre] = &mut both;
        backend.linear(&op, with_pre, Some(pre)).unwrap();
        let mut grads = [x.shape(), w.shape(), b.shape()].map(|s| result(s, dtype, accum));
        let [dx, dw, db] = &mut grads;
        let slots = LinearGrads { x: slot(dx, accum), weight: slot(dw, accum), bias: slot(db, accum) };
        backend.linear_vjp(&op, &dz, slots).unwrap();
        [vec![y], both.into(), grads.into()].concat_owned()
    };
    let want = run(&Reference);
    for cpu in every_level() {
        let names = ["y", "y beside pre", "pre", "dx", "dW", "db"];
        let terms = [inputs, inputs, inputs, out, batch, batch];
        for (((got, want), name), terms) in run(&cpu).iter().zip(&want).zip(names).zip(terms) {
            let what = format!("{} {name} {case:?} {activation:?}", cpu.describe());
            assert_close(&what, got, want, tolerance(dtype, terms));
        }
    }
}

trait ConcatOwned<T> {
    fn concat_owned(self) -> Vec<T>;
}
impl<T> ConcatOwned<T> for [Vec<T>; 3] {
    fn concat_owned(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

fn case(out: usize, inputs: usize, batch: usize, i: usize) -> Case {
    let dtype = if i.is_multiple_of(2) { DType::F32 } else { DType::F64 };
    let accum = if (i / 2).is_multiple_of(2) { Accum::Replace } else { Accum::Add };
    Case { out, inputs, batch, dtype, accum, bias: (i / 4).is_multiple_of(2) }
}

#[test]
fn edges_of_every_extent() {
    let extents = [0, 1, 2, 3, 13, 16, 17, 33];
    let mut i = 0;
    for out in extents {
        for inputs in extents {
            for batch in extents {
                check(case(out, inputs, batch, i), Activation::Identity);
                i += 1;
            }
        }
    }
}

#[test]
fn larger_than_every_block() {
    for (i, (out, inputs, batch)) in [
        (300, 784, 100),
        (10, 100, 100),
        (29, 1000, 1),
        (31, 900, 7),
        (15, 801, 700),
        (1, 401, 300),
        (127, 63, 129),
        (2, 5000, 3),
        (400, 3, 513),
        (256, 1024, 64),
    ]
    .into_iter()
    .enumerate()
    {
        for variant in [0, 1, 6] {
            check(case(out, inputs, batch, i + variant), Activation::Relu);
        }
    }
}

#[test]
fn every_activation_is_fused() {
    for (_, activation) in Activation::NAMES.into_iter().filter(|(_, a)| a.is_elementwise()) {
        for i in [0, 1, 4, 5] {
            check(case(30, 41, 37, i), activation);
            check(case(9, 21, 1, i), activation);
        }
    }
}

#[test]
fn nan_and_infinity_pass_through() {
    for dtype in [DType::F32, DType::F64] {
        let mut w = values(&random(Shape::matrix(20, 30), dtype, 2));
        (w[31], w[65], w[97]) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
        let w = filled(Shape::matrix(20, 30), dtype, &w);
        for batch in [1, 3, 40] {
            let x = random(Shape::matrix(30, batch), dtype, 1);
            let op = Linear { x: &x, weight: &w, bias: None, activation: Activation::Relu };
            let mut want = result(Shape::matrix(20, batch), dtype, Accum::Replace);
            Reference.linear(&op, &mut want, None).unwrap();
            for cpu in every_level() {
                let mut got = result(want.shape(), dtype, Accum::Replace);
                cpu.linear(&op, &mut got, None).unwrap();
                assert_close(&cpu.describe(), &got, &want, tolerance(dtype, 30));
            }
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let t = |r, c| random(Shape::matrix(r, c), DType::F32, 1);
    let (x, w, b) = (t(5, 4), t(3, 5), random(Shape::vector(3), DType::F32, 1));
    for cpu in every_level() {
        let op = Linear { x: &x, weight: &w, bias: Some(&b), activation: Activation::Identity };
        assert!(cpu.linear(&op, &mut t(3, 5), None).is_err());
        assert!(cpu.linear(&op, &mut t(3, 4), Some(&mut t(4, 3))).is_err());
        assert!(cpu.linear(&Linear { x: &t(4, 5), ..op }, &mut t(3, 4), None).is_err());
        assert!(cpu.linear(&Linear { bias: Some(&t(3, 1)), ..op }, &mut t(3, 4), None).is_err());
        assert!(cpu.linear(&Linear { activation: Activation::Softmax, ..op }, &mut t(3, 4), None).is_err());
        let wide = random(Shape::matrix(3, 4), DType::F64, 1);
        assert!(cpu.linear_vjp(&op, &wide, LinearGrads::default()).is_err());
        let mut dw = t(5, 3);
        let grads = LinearGrads { weight: slot(&mut dw, Accum::Replace), ..LinearGrads::default() };
        assert!(cpu.linear_vjp(&op, &t(3, 4), grads).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn random_extents(out in 0usize..90, inputs in 0usize..150, batch in 0usize..150, i in 0usize..8) {
        check(case(out, inputs, batch, i), Activation::Tanh);
    }
}
