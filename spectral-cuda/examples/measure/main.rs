//! Times the CUDA backend on a GPU and prints what it is held to: `measure [BACKEND]`, `cuda` if none is named.
//!
//! * element-wise kernels and optimiser steps, as a share of the bandwidth of a copy;
//! * a training step of 784-1000-800-400-10 with Adam, batch 250, f32;
//! * sparse products of 4096 x 4096 at batch 256 against cuSPARSE.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends the program")]

mod cusparse;

use ndarray::Array2;
use spectral_core::backend::{Accum, GradSlot, Rule, SparseGrads, SparseLinear, Update};
use spectral_core::{
    Activation, BackendEntry, BackendHandle, BackendOptions, DType, Mask, Pattern, Result, Samples, Seed, Shape,
    Stream, Targets, Tensor, registry,
};
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_train::{Adam, Trainer};
use std::time::Instant;

/// Registers the backend `cpu`, to compare with.
use spectral_cpu as _;
/// Registers the backend `cuda`.
use spectral_cuda as _;

fn main() -> std::process::ExitCode {
    let name = std::env::args().nth(1).unwrap_or_else(|| "cuda".into());
    match run(&name) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            std::process::ExitCode::from(2)
        }
    }
}

fn run(name: &str) -> Result<()> {
    let backend = (registry::find::<BackendEntry>(name)?.open)(&BackendOptions::default())?;
    println!("`{name}`: {}", backend.describe());
    bandwidths(&backend)?;
    training_step(&backend)?;
    for percent in [90, 95] {
        sparse_products(&backend, percent)?;
    }
    Ok(())
}

/// Seconds of one call, the median of five runs of so many calls that a run takes a twentieth of a second.
fn seconds(backend: &BackendHandle, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut timed = |calls: usize| -> Result<f64> {
        let start = Instant::now();
        (0..calls).try_for_each(|_| call())?;
        backend.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / calls as f64)
    };
    timed(1)?;
    let calls = (0.05 / timed(1)?).ceil().clamp(1.0, 2000.0) as usize;
    let mut runs = (0..5).map(|_| timed(calls)).collect::<Result<Vec<_>>>()?;
    runs.sort_by(f64::total_cmp);
    Ok(runs[2])
}

fn random(backend: &BackendHandle, shape: Shape, stream: &mut Stream) -> Result<Tensor> {
    let mut tensor = backend.zeros(shape, DType::F32)?;
    let drawn: Vec<f64> = (0..shape.len().min(65_521)).map(|_| stream.normal()).collect();
    backend.write(&drawn.iter().cycle().take(shape.len()).copied().collect::<Vec<_>>(), &mut tensor)?;
    Ok(tensor)
}

fn bandwidths(backend: &BackendHandle) -> Result<()> {
    const N: usize = 1 << 26;
    let shape = Shape::vector(N);
    let mut stream = Seed(1).stream("measure", 0);
    let (x, g) = (random(backend, shape, &mut stream)?, random(backend, shape, &mut stream)?);
    let mut y = backend.zeros(shape, DType::F32)?;
    let copy = seconds(backend, || backend.copy(&x, &mut y))? / 2.0;
    println!("copy of {N} values: {:.0} GB/s read and written", 4.0 * N as f64 / copy / 1e9);
    let show = |what: &str, tensors: f64, seconds: f64| {
        println!("{what}: {:.0} us, {:.0} % of the copy's bandwidth", 1e6 * seconds, 100.0 * tensors * copy / seconds);
    };
    show("scale", 2.0, seconds(backend, || backend.scale(0.5, &x, &mut y, Accum::Replace))?);
    show("multiply", 3.0, seconds(backend, || backend.multiply(&x, &g, &mut y, Accum::Replace))?);
    show("activate relu", 2.0, seconds(backend, || backend.activate(Activation::Relu, &x, &mut y))?);
    show("activate gelu", 2.0, seconds(backend, || backend.activate(Activation::Gelu, &x, &mut y))?);
    let mask = Mask::from_fn(N, |i| i % 10 != 0);
    for (what, pruned) in [("Adam", None), ("Adam, 90 % pruned", Some(&mask))] {
        let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
        let (pulls, step) = ([0.0; 3], 1);
        let [l1, l2, decay] = pulls;
        let op = Update { rule, rate: 1e-3, step, gradient_scale: 1.0, l1, l2, decay, pruned, trainable: None };
        let mut state = [backend.zeros(shape, DType::F32)?, backend.zeros(shape, DType::F32)?];
        let time = seconds(backend, || backend.update(&op, &mut y, &g, &mut state))?;
        // Value and two means are read and written, the gradient is read; of the pruned, all three are only written.
        show(what, if pruned.is_some() { 0.1 * 7.0 + 0.9 * 3.0 } else { 7.0 }, time);
    }
    Ok(())
}

fn training_step(backend: &BackendHandle) -> Result<()> {
    const SAMPLES: usize = 10_000;
    const BATCH: usize = 250;
    let mut stream = Seed(2).stream("measure", 1);
    let inputs = Array2::from_shape_fn((SAMPLES, 784), |_| stream.unit() as f32);
    let labels = (0..SAMPLES as u32).map(|i| i % 10).collect();
    let data = Samples::new("noise", inputs, Targets::Classes { labels, classes: 10 })?;
    let network = Network::new(784).dense(1000, Relu).dense(800, Relu).dense(400, Relu).dense(10, Identity);
    let mut model = network.build(backend, Seed(3)).unwrap();
    let history = Trainer::new(Adam::default()).epochs(6).batch(BATCH).fit(&mut model, &data).unwrap();
    let steps = SAMPLES / BATCH;
    let mut epochs: Vec<f64> = history.epochs.iter().skip(1).map(|e| e.seconds / steps as f64).collect();
    epochs.sort_by(f64::total_cmp);
    println!("training step of 784-1000-800-400-10, batch {BATCH}: {:.3} ms", 1e3 * epochs[epochs.len() / 2]);
    Ok(())
}

fn sparse_products(backend: &BackendHandle, percent: usize) -> Result<()> {
    const SIDE: usize = 4096;
    const BATCH: usize = 256;
    let mut stream = Seed(4).stream("measure", 2);
    let pattern = Pattern::from_fn(SIDE, SIDE, |_, _| stream.below(100) >= percent)?;
    let shape = Shape::matrix(SIDE, BATCH);
    let (x, mut y) = (random(backend, shape, &mut stream)?, backend.zeros(shape, DType::F32)?);
    let values = random(backend, Shape::vector(pattern.nonzeros()), &mut stream)?;
    let op = SparseLinear { x: &x, pattern: &pattern, values: &values, bias: None, activation: Activation::Identity };
    let forward = seconds(backend, || backend.sparse_linear(&op, &mut y, None))?;
    let mut dx = backend.zeros(shape, DType::F32)?;
    let mut dv = backend.zeros(values.shape(), DType::F32)?;
    fn slot(tensor: &mut Tensor) -> Option<GradSlot<'_>> {
        Some(GradSlot { tensor, accum: Accum::Replace })
    }
    let transposed = seconds(backend, || {
        backend.sparse_linear_vjp(&op, &y, SparseGrads { x: slot(&mut dx), ..SparseGrads::default() })
    })?;
    let sampled = seconds(backend, || {
        backend.sparse_linear_vjp(&op, &y, SparseGrads { values: slot(&mut dv), ..SparseGrads::default() })
    })?;
    let micro = |seconds: f64| format!("{:.0} us", 1e6 * seconds);
    print!("{SIDE} x {SIDE} at {percent} %, batch {BATCH}: {}", micro(forward));
    print!(", transposed {}, sampled {}", micro(transposed), micro(sampled));
    match cusparse::spmm(&pattern, &backend.download(&values)?, &backend.download(&x)?, BATCH) {
        Ok((time, result)) => {
            let own = backend.download(&y)?;
            let off = own.iter().zip(&result).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
            println!(", cuSPARSE {}: {:.2} times as fast, results differ by {off:.0e}", micro(time), time / forward);
        }
        Err(problem) => println!(", cuSPARSE: {problem}"),
    }
    Ok(())
}
