//! Warm kernels do not allocate. The only test of its binary, because the counter sees every thread.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

#[path = "suite/common.rs"]
mod common;

use common::*;
use spectral_core::{
    Accum, Activation, DType, DenseKernels, Dropout, Elementwise, Linear, LinearGrads, LossKernel, LossKind,
    OuterProduct, Pattern, Reduce, RowSum, Rule, Shape, SparseGrads, SparseKernels, SparseLinear, SpectralGrads,
    SpectralKernels, SpectralWeight, Tensor, Update, UpdateKernels, hash64,
};
use spectral_cpu::Cpu;
use spectral_testkit::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Operands and results of one step, made beforehand.
struct Step {
    pattern: Pattern,
    x: Tensor,
    w: Tensor,
    b: Tensor,
    v: Tensor,
    lambda: Tensor,
    y: Tensor,
    pre: Tensor,
    target: Tensor,
    dx: Tensor,
    dw: Tensor,
    db: Tensor,
    dv: Tensor,
    dl: Tensor,
    totals: Tensor,
    velocity: Tensor,
    state: [Tensor; 2],
}

impl Step {
    fn new(out: usize, inputs: usize, batch: usize) -> Self {
        let t = |shape| random(shape, DType::F32, 1);
        let (xs, ws, ys) = (Shape::matrix(inputs, batch), Shape::matrix(out, inputs), Shape::matrix(out, batch));
        let pattern = Pattern::from_fn(out, inputs, |r, c| hash64(r as u64, c as u64).is_multiple_of(4)).unwrap();
        let entries = Shape::vector(pattern.nonzeros());
        let (vector, inner) = (Shape::vector(out), Shape::vector(inputs));
        Self {
            pattern,
            x: t(xs),
            w: t(ws),
            b: t(vector),
            v: t(entries),
            lambda: t(inner),
            y: t(ys),
            pre: t(ys),
            target: t(ys),
            dx: t(xs),
            dw: t(ws),
            db: t(vector),
            dv: t(entries),
            dl: t(inner),
            totals: Tensor::host_zeros(Shape::vector(2), DType::F64),
            velocity: Tensor::host_zeros(entries, DType::F32),
            state: [Tensor::host_zeros(ws, DType::F32), Tensor::host_zeros(ws, DType::F32)],
        }
    }

    fn run(&mut self, cpu: &Cpu) {
        let accum = Accum::Replace;
        let spectral = SpectralWeight { basis: &self.dw, lambda_in: &self.lambda, lambda_out: &self.b };
        cpu.spectral_weight(&spectral, &mut self.w).unwrap();
        let op = Linear { x: &self.x, weight: &self.w, bias: Some(&self.b), activation: Activation::Sigmoid };
        cpu.linear(&op, &mut self.y, Some(&mut self.pre)).unwrap();
        cpu.activate(Activation::Softmax, &self.y, &mut self.target).unwrap();
        let loss = LossKernel {
            kind: LossKind::SoftmaxCrossEntropy,
            outputs: &self.y,
            targets: &self.target,
            gradient_scale: 0.01,
        };
        cpu.loss(&loss, &mut self.totals, slot(&mut self.pre, accum)).unwrap();
        cpu.activate_vjp(Activation::Sigmoid, &self.y, &mut self.pre).unwrap();
        let grads = LinearGrads {
            x: slot(&mut self.dx, accum),
            weight: slot(&mut self.dw, accum),
            bias: slot(&mut self.db, accum),
        };
        cpu.linear_vjp(&op, &self.pre, grads).unwrap();
        let sparse = SparseLinear {
            x: &self.x,
            pattern: &self.pattern,
            values: &self.v,
            bias: Some(&self.b),
            activation: Activation::Relu,
        };
        cpu.sparse_linear(&sparse, &mut self.y, Some(&mut self.pre)).unwrap();
        let grads = SparseGrads {
            x: slot(&mut self.dx, accum),
            values: slot(&mut self.dv, accum),
            bias: slot(&mut self.db, accum),
        };
        cpu.sparse_linear_vjp(&sparse, &self.pre, grads).unwrap();
        cpu.dropout(Dropout { rate: 0.5, key: 1 }, &self.pre, &mut self.y, accum).unwrap();
        cpu.row_sums(RowSum::Square, &self.pre, &mut self.db, accum).unwrap();
        assert!(cpu.all_finite(&self.db).unwrap());
        let spectral = SpectralWeight { basis: &self.w, lambda_in: &self.lambda, lambda_out: &self.b };
        let grads = SpectralGrads { lambda_in: slot(&mut self.dl, accum), ..SpectralGrads::default() };
        let dw = OuterProduct { left: &self.pre, right: &self.x, pattern: None };
        cpu.spectral_weight_vjp(&spectral, dw, grads).unwrap();
        let update = plain(Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, 0.001);
        cpu.update(&update, &mut self.w, &self.dw, &mut self.state).unwrap();
        let factors = OuterProduct { left: &self.pre, right: &self.x, pattern: None };
        cpu.update_product(&update, &mut self.w, factors, &mut self.state).unwrap();
        let stored = OuterProduct { pattern: Some(&self.pattern), ..factors };
        let update = Update { rule: Rule::Sgd { momentum: 0.9, nesterov: false }, ..update };
        cpu.update_product(&update, &mut self.v, stored, std::slice::from_mut(&mut self.velocity)).unwrap();
        cpu.scale(0.5, &self.w, &mut self.dw, accum).unwrap();
    }
}

#[test]
fn fifty_warm_steps_allocate_nothing() {
    for threads in [1, 2] {
        let cpu = Cpu::with_threads(threads).unwrap();
        let mut steps = [(300, 784, 100), (70, 900, 301), (64, 300, 1), (64, 300, 2), (64, 300, 3)]
            .map(|(o, i, b)| Step::new(o, i, b));
        for _ in 0..5 {
            steps.iter_mut().for_each(|s| s.run(&cpu));
        }
        let usage = ALLOCATOR.during(|| {
            for _ in 0..50 {
                steps.iter_mut().for_each(|s| s.run(&cpu));
            }
        });
        assert_eq!(usage.requests, 0, "allocations with {threads} threads");
    }
}
