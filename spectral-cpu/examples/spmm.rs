//! Speed of the sparse kernels beside the dense one: `cargo run --release -p spectral-cpu --example spmm [THREADS]`.
//!
//! GFLOP/s on stored entries (two operations an entry and sample), from the shortest of many runs; the last column is
//! the dense forward product's time over the sparse one's.

use spectral_core::{
    Accum, Activation, DType, DenseKernels, GradSlot, Linear, Memory, Pattern, Result, Seed, Shape, SparseGrads,
    SparseKernels, SparseLinear, Tensor, hash64,
};
use spectral_cpu::Cpu;
use std::time::{Duration, Instant};

const SHAPES: [(usize, usize); 3] = [(1000, 784), (1024, 1024), (4096, 4096)];
const BATCHES: [usize; 4] = [1, 8, 128, 256];
const ZEROS: [u64; 3] = [90, 95, 98];

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let cpu = Cpu::with_threads(threads)?;
    println!("{} thread(s), {}", cpu.threads(), cpu.simd());
    println!("{:>12} {:>6} {:>6} {:>9} {:>9} {:>9} {:>9}", "shape", "zeros", "batch", "forward", "dx", "dv", "/ dense");
    for ((rows, columns), batch) in SHAPES.into_iter().flat_map(|s| BATCHES.map(|b| (s, b))) {
        let (x, w) = (random(Shape::matrix(columns, batch))?, random(Shape::matrix(rows, columns))?);
        let mut y = random(Shape::matrix(rows, batch))?;
        let dense = Linear { x: &x, weight: &w, bias: None, activation: Activation::Identity };
        let dense = shortest(|| cpu.linear(&dense, &mut y, None))?;
        for zeros in ZEROS {
            let cell = |r: usize, c: usize| hash64(zeros, (r * columns + c) as u64) % 100 >= zeros;
            let pattern = &Pattern::from_fn(rows, columns, cell)?;
            let values = &random(Shape::vector(pattern.nonzeros()))?;
            let op = SparseLinear { x: &x, pattern, values, bias: None, activation: Activation::Identity };
            let forward = shortest(|| cpu.sparse_linear(&op, &mut y, None))?;
            let (mut dx, mut dv) = (random(x.shape())?, random(values.shape())?);
            let inputs = shortest(|| {
                let x = Some(GradSlot { tensor: &mut dx, accum: Accum::Replace });
                cpu.sparse_linear_vjp(&op, &y, SparseGrads { x, ..SparseGrads::default() })
            })?;
            let entries = shortest(|| {
                let values = Some(GradSlot { tensor: &mut dv, accum: Accum::Replace });
                cpu.sparse_linear_vjp(&op, &y, SparseGrads { values, ..SparseGrads::default() })
            })?;
            let speed = |seconds: f64| 2e-9 * (pattern.nonzeros() * batch) as f64 / seconds;
            println!(
                "{:>12} {zeros:>4} % {batch:>6} {:>9.1} {:>9.1} {:>9.1} {:>8.2}x",
                format!("{rows}x{columns}"),
                speed(forward),
                speed(inputs),
                speed(entries),
                dense / forward
            );
        }
    }
    Ok(())
}

fn random(shape: Shape) -> Result<Tensor> {
    let mut stream = Seed(1).stream("spmm", shape.len() as u64);
    let values: Vec<f64> = (0..shape.len()).map(|_| stream.uniform(-1.0, 1.0)).collect();
    let mut tensor = Tensor::host_zeros(shape, DType::F32);
    spectral_core::Reference.write(&values, &mut tensor)?;
    Ok(tensor)
}

/// Seconds of the shortest of the runs that fit into a fifth of a second, at least 10.
fn shortest(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < 10 || start.elapsed() < Duration::from_millis(200) {
        let before = Instant::now();
        run()?;
        best = best.min(before.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(best)
}
