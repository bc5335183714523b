//! A steady-state training step allocates nothing, on any thread.
//!
//! A program of its own: the threads of the usual test harness allocate whenever they like.

#![allow(clippy::unwrap_used)]

use ndarray::Array2;
use spectral_core::backend::{
    Accum, Diagonal, DiagonalGrads, Dropout, GradSlot, Linear, LinearGrads, LossKernel, OuterProduct, RowSum,
    SpectralGrads, SpectralWeight, Update,
};
use spectral_core::registry::all;
use spectral_core::{
    Activation, Backend, BackendHandle, ConvKernels, DType, DenseKernels, Elementwise, Flow, Mask, Memory, Model,
    Penalty, PoolKernels, Progress, Reduce, Reference, Result, Role, Samples, Samplewise, Seed, Shape, SparseKernels,
    SpectralKernels, Targets, Tensor, TrainHook, Unitwise, UpdateKernels, Values,
};
use spectral_cpu::Cpu;
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_testkit::Counting;
use spectral_train::{Cosine, OptimizerEntry, Trainer, Warmup};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Reads the counter at two steps.
#[derive(Default)]
struct Window {
    from: u64,
    to: u64,
    requests: usize,
}

impl TrainHook for Window {
    fn after_step(&mut self, _: &mut Model, at: &Progress) -> Result<Flow> {
        let now = ALLOCATOR.requests();
        if at.step == self.from {
            self.requests = now;
        }
        if at.step == self.to {
            self.requests = now - self.requests;
        }
        Ok(Flow::Continue)
    }
}

/// A backend whose kernels do nothing, so that only the loop around them is measured.
#[derive(Debug, Clone, Copy)]
struct Idle;

impl Memory for Idle {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        Reference.zeros(shape, dtype)
    }
    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        Reference.upload(from, to)
    }
    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        Reference.download(from)
    }
}

impl Elementwise for Idle {
    fn activate(&self, _: Activation, _: &Tensor, _: &mut Tensor) -> Result<()> {
        Ok(())
    }
    fn activate_vjp(&self, _: Activation, _: &Tensor, _: &mut Tensor) -> Result<()> {
        Ok(())
    }
    fn scale(&self, _: f64, _: &Tensor, _: &mut Tensor, _: Accum) -> Result<()> {
        Ok(())
    }
    fn dropout(&self, _: Dropout, _: &Tensor, _: &mut Tensor, _: Accum) -> Result<()> {
        Ok(())
    }
    fn clamp(&self, _: f64, _: &mut Tensor) -> Result<()> {
        Ok(())
    }
    fn zero_where(&self, _: &Mask, _: &mut Tensor) -> Result<()> {
        Ok(())
    }
}

impl DenseKernels for Idle {
    fn linear(&self, _: &Linear<'_>, _: &mut Tensor, _: Option<&mut Tensor>) -> Result<()> {
        Ok(())
    }
    fn linear_vjp(&self, _: &Linear<'_>, _: &Tensor, _: LinearGrads<'_>) -> Result<()> {
        Ok(())
    }
}

impl SpectralKernels for Idle {
    fn spectral_weight(&self, _: &SpectralWeight<'_>, _: &mut Tensor) -> Result<()> {
        Ok(())
    }
    fn spectral_weight_vjp(&self, _: &SpectralWeight<'_>, _: OuterProduct<'_>, _: SpectralGrads<'_>) -> Result<()> {
        Ok(())
    }
}

impl SparseKernels for Idle {}

impl Reduce for Idle {
    fn row_sums(&self, _: RowSum, _: &Tensor, _: &mut Tensor, _: Accum) -> Result<()> {
        Ok(())
    }
    fn loss(&self, _: &LossKernel<'_>, _: &mut Tensor, _: Option<GradSlot<'_>>) -> Result<()> {
        Ok(())
    }
    fn largest(&self, _: &Tensor) -> Result<f64> {
        Ok(0.0)
    }
}

impl Unitwise for Idle {
    fn diagonal(&self, _: &Diagonal<'_>, _: &mut Tensor, _: Option<&mut Tensor>) -> Result<()> {
        Ok(())
    }
    fn diagonal_vjp(&self, _: &Diagonal<'_>, _: &Tensor, _: DiagonalGrads<'_>) -> Result<()> {
        Ok(())
    }
}
impl Samplewise for Idle {}
impl ConvKernels for Idle {}
impl PoolKernels for Idle {}

impl UpdateKernels for Idle {
    fn update(&self, _: &Update<'_>, _: &mut Tensor, _: &Tensor, _: &mut [Tensor]) -> Result<()> {
        Ok(())
    }
    fn update_product(&self, _: &Update<'_>, _: &mut Tensor, _: OuterProduct<'_>, _: &mut [Tensor]) -> Result<()> {
        Ok(())
    }
}

impl Backend for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }
}

/// Steps 20 to 60 of an epoch with every optimiser, with dropout, a schedule and a penalty, with and without clipping.
fn main() {
    let mut stream = Seed(1).stream("data", 0);
    let inputs = Array2::from_shape_fn((64 * 50, 50), |_| stream.normal() as f32);
    let labels = (0..64 * 50).map(|_| stream.below(10) as u32).collect();
    let data = Samples::new("noise", inputs, Targets::Classes { labels, classes: 10 }).unwrap();
    let network = Network::new(50).spectral(130, Relu).dropout(0.1).dense(60, Tanh).dense(10, Identity);
    let trainer = |optimizer: &OptimizerEntry| {
        Trainer::with_optimizer((optimizer.build)((optimizer.defaults)()).unwrap())
            .batch(50)
            .schedule(Cosine::default())
            .warmup(Warmup::Steps(5))
            .penalty(Role::Basis, Penalty { l1: 0.0, l2: 1e-4 })
    };
    // Clipping reads gradients that are left as products otherwise.
    let clipped = |trainer: Trainer| trainer.clip_norm(1.0).clip_value(0.1);
    let cpu = |threads| -> BackendHandle { Arc::new(Cpu::with_threads(threads).unwrap()) };
    let mut failures = Vec::new();
    let backends: [&dyn Fn() -> BackendHandle; 3] = [&|| Arc::new(Idle), &|| cpu(1), &|| cpu(2)];
    for open in backends {
        let backend = open();
        let mut model = network.build(&backend, Seed(1)).unwrap();
        for (i, entry) in all::<OptimizerEntry>().unwrap().into_iter().enumerate() {
            for trainer in [trainer(entry), clipped(trainer(entry))] {
                if i == 0 {
                    // A thread that is still starting allocates.
                    trainer.fit(&mut model, &data).unwrap();
                }
                let mut window = Window { from: 20, to: 60, ..Window::default() };
                let history = trainer.fit_with(&mut model, &data, &mut [&mut window]).unwrap();
                assert_eq!(history.epochs[0].train.samples, 3200);
                if window.requests != 0 {
                    failures.push(format!("{} on {}: {} requests", entry.name, backend.describe(), window.requests));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}
