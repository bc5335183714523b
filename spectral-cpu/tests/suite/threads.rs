//! The same bits for any number of threads, at every level.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use crate::common::*;
use spectral_core::{
    Accum, Activation, DType, DenseKernels, Dropout, Elementwise, Linear, LinearGrads, LossKernel, LossKind, Mask,
    OuterProduct, Pattern, Reduce, Rule, Shape, SparseGrads, SparseKernels, SparseLinear, SpectralGrads,
    SpectralKernels, SpectralWeight, Tensor, Update, UpdateKernels, hash64,
};
use spectral_cpu::{Cpu, CpuOptions, Simd};

/// Results of every parallel kernel on operands large enough to be cut.
fn results(cpu: &Cpu, dtype: DType) -> Vec<Vec<f64>> {
    let (out, inputs, batch) = (301, 403, 257);
    let (xs, ws, ys) = (Shape::matrix(inputs, batch), Shape::matrix(out, inputs), Shape::matrix(out, batch));
    let (x, w, dz) = (random(xs, dtype, 1), random(ws, dtype, 2), random(ys, dtype, 3));
    let b = random(Shape::vector(out), dtype, 4);
    let replaced = |shape| result(shape, dtype, Accum::Replace);
    let mut all = Vec::new();

    let op = Linear { x: &x, weight: &w, bias: Some(&b), activation: Activation::Tanh };
    let (mut y, mut dx, mut dw, mut db) = (replaced(ys), replaced(xs), replaced(ws), replaced(b.shape()));
    cpu.linear(&op, &mut y, None).unwrap();
    let accum = Accum::Replace;
    let grads = LinearGrads { x: slot(&mut dx, accum), weight: slot(&mut dw, accum), bias: slot(&mut db, accum) };
    cpu.linear_vjp(&op, &dz, grads).unwrap();
    all.extend([values(&y), values(&dx), values(&dw), values(&db)]);

    let pattern = Pattern::from_fn(out, inputs, |r, c| hash64(r as u64, c as u64).is_multiple_of(4)).unwrap();
    let v = random(Shape::vector(pattern.nonzeros()), dtype, 5);
    let op = SparseLinear { x: &x, pattern: &pattern, values: &v, bias: Some(&b), activation: Activation::Relu };
    let mut dv = replaced(v.shape());
    cpu.sparse_linear(&op, &mut y, None).unwrap();
    let grads = SparseGrads { x: slot(&mut dx, accum), values: slot(&mut dv, accum), bias: slot(&mut db, accum) };
    cpu.sparse_linear_vjp(&op, &dz, grads).unwrap();
    all.extend([values(&y), values(&dx), values(&dv), values(&db)]);

    let lambda = random(Shape::vector(inputs), dtype, 6);
    let op = SpectralWeight { basis: &w, lambda_in: &lambda, lambda_out: &b };
    let mut dl = replaced(lambda.shape());
    let mut basis = replaced(ws);
    let grads = SpectralGrads {
        basis: slot(&mut basis, accum),
        lambda_in: slot(&mut dl, accum),
        lambda_out: slot(&mut db, accum),
    };
    cpu.spectral_weight_vjp(&op, OuterProduct { left: &dz, right: &x, pattern: None }, grads).unwrap();
    all.extend([values(&basis), values(&dl), values(&db)]);

    let mut target = replaced(ys);
    cpu.activate(Activation::Softmax, &dz, &mut target).unwrap();
    let op = LossKernel { kind: LossKind::SoftmaxCrossEntropy, outputs: &dz, targets: &target, gradient_scale: 0.1 };
    let mut totals = Tensor::host_zeros(Shape::vector(2), DType::F64);
    cpu.loss(&op, &mut totals, slot(&mut y, accum)).unwrap();
    cpu.dropout(Dropout { rate: 0.4, key: 3 }, &dz, &mut target, Accum::Add).unwrap();
    all.extend([values(&totals), values(&y), values(&target)]);

    let mut state = [Tensor::host_zeros(ws, dtype), Tensor::host_zeros(ws, dtype)];
    let mut value = w.duplicate().unwrap();
    let op = Update { l2: 0.01, ..plain(Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, 0.01) };
    cpu.update(&op, &mut value, &dw, &mut state).unwrap();
    all.push(values(&value));
    let mask = Mask::from_fn(ws.len(), |i| i % 3 == 0);
    let op = Update { pruned: Some(&mask), ..op };
    cpu.update_product(&op, &mut value, OuterProduct { left: &dz, right: &x, pattern: None }, &mut state).unwrap();
    all.extend([values(&value), values(&state[1]), vec![cpu.largest(&dw).unwrap()]]);
    all
}

#[test]
fn one_two_and_eight_threads_give_the_same_bits() {
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        for dtype in [DType::F32, DType::F64] {
            let run = |threads| {
                let cpu = Cpu::with_options(CpuOptions { threads: Some(threads), simd: Some(simd) }).unwrap();
                bits(&results(&cpu, dtype))
            };
            let want = run(1);
            for threads in [2, 8] {
                for (i, (got, want)) in run(threads).iter().zip(&want).enumerate() {
                    assert!(got == want, "result {i} with {threads} threads, {simd} {dtype}");
                }
            }
        }
    }
}

fn bits(results: &[Vec<f64>]) -> Vec<Vec<u64>> {
    results.iter().map(|r| r.iter().map(|v| v.to_bits()).collect()).collect()
}
