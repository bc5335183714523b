//! Sparse products: a matrix of stored entries times a batch, `[in, batch]` to `[out, batch]`, on the same matrices.

use super::contest::{Contest, repeated, same};
use super::{Arena, Bar, Row};
use crate::Result;
use spectral_core::{Activation, DType, Kernel, PackedLinear, Pattern, Seed, Shape, SparseLinear, Tensor};
use spectral_sparse::measure::{Monotonic, Timing, paired_timed};

/// Output and input widths, with the batches that each is measured at.
const SHAPES: [(usize, usize, &[usize]); 3] =
    [(1024, 1024, &[128, 256]), (4096, 4096, &[1, 128, 256]), (1000, 784, &[128, 256])];

/// Shares of zeros, and how much faster than PyTorch's dense product 4096x4096 must be.
const SPARSITIES: [(f64, f64); 3] = [(0.9, 4.5), (0.95, 8.0), (0.98, 15.0)];

/// Rivals of which the geometric mean over all shapes and sparsities counts, and the least ratios.
const MEANS: [(&str, f64); 4] = [("torch-csr", 1.8), ("mkl-csr", 1.1), ("sprs", 2.5), ("faer", 10.0)];

pub(super) fn run(arena: &mut Arena<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for threads in arena.threads() {
        let (mut products, mut dense) = (Vec::new(), Vec::new());
        for (outputs, inputs, batches) in SHAPES {
            for (zeros, over_dense) in SPARSITIES {
                for &batch in batches {
                    let over_csr = (batch > 1).then_some(Bar { rival: "torch-csr", least: 1.3 });
                    let row = product(arena, [outputs, inputs, batch], zeros, 1, threads, over_csr)?;
                    let over_dense = Bar { rival: "torch-dense", least: over_dense };
                    let held = (outputs == 4096 && batch <= 128).then(|| row.also("over dense", over_dense));
                    products.push(row);
                    dense.extend(held);
                }
            }
        }
        let batched: Vec<&Row> = products.iter().filter(|r| !r.name.contains("/b1/")).collect();
        for (rival, least) in MEANS {
            let name = format!("sparse-infer/geometric mean over {rival}/t{threads}");
            let mean = Row::mean_of(name, &batched, Some(Bar { rival, least }));
            rows.extend(mean.filter(|row| row.pass.is_some()));
        }
        rows.extend(products);
        rows.push(product(arena, [1024, 1024, 128], 0.9, 4, threads, None)?);
        rows.extend(dense);
    }
    Ok(rows)
}

/// `y = W x` with every way to do it; `alike` rows each store the same columns.
fn product(
    arena: &mut Arena<'_>,
    [outputs, inputs, batch]: [usize; 3],
    zeros: f64,
    alike: usize,
    threads: usize,
    bar: Option<Bar>,
) -> Result<Row> {
    let backend = arena.cpu(threads)?;
    let mut stream = Seed(2).stream("bench", 0);
    let mut kept = vec![false; inputs];
    let pattern = Pattern::from_fn(outputs, inputs, |r, c| {
        if r.is_multiple_of(alike) {
            kept[c] = stream.unit() >= zeros;
        }
        kept[c]
    })?;
    let mut random = |len: usize| -> Vec<f32> { (0..len).map(|_| stream.unit() as f32 - 0.5).collect() };
    let (weights, data) = (random(pattern.nonzeros()), random(inputs * batch));
    let rivals = arena.make("matmul", threads, &hand_over(arena, &pattern, batch, &weights, &data)?)?;

    let tensor = |shape, values: &[f32]| -> Result<Tensor> {
        let mut t = Tensor::host_zeros(shape, DType::F32);
        t.host_mut::<f32>()?.copy_from_slice(values);
        Ok(t)
    };
    let values = tensor(Shape::vector(weights.len()), &weights)?;
    let x = tensor(Shape::matrix(inputs, batch), &data)?;
    let mut y = Tensor::host_zeros(Shape::matrix(outputs, batch), DType::F32);
    let op = SparseLinear { x: &x, pattern: &pattern, values: &values, bias: None, activation: Activation::Identity };
    backend.sparse_linear(&op, &mut y, None)?;
    let sum: f64 = y.host::<f32>()?.iter().map(|v| f64::from(v.abs())).sum();
    same("sparse product", sum / (outputs * batch) as f64, &rivals)?;

    // Where there is another layout for so few samples, the faster one runs, as in a network that was converted.
    let packed = backend.pack(Kernel::Sliced, &pattern, &values)?.filter(|p| batch <= p.most_samples());
    let few = PackedLinear { x: &x, bias: None, activation: Activation::Identity };
    let packed = match packed {
        Some(packed) => {
            let mut again = y.duplicate()?;
            let by_rows = || backend.sparse_linear(&op, &mut y, None);
            let timed =
                paired_timed(&Monotonic::default(), &Timing::default(), by_rows, || packed.linear(&few, &mut again))?;
            (timed.ratio_median > 1.0).then_some(packed)
        }
        None => None,
    };
    let ours = repeated(|| {
        match &packed {
            Some(packed) => packed.linear(&few, &mut y)?,
            None => backend.sparse_linear(&op, &mut y, None)?,
        }
        Ok(())
    });
    let times = arena.compete(Contest::new(ours), &rivals)?;
    let flops = (2 * pattern.nonzeros() * batch) as f64;
    let blocks = if alike > 1 { format!(" in {alike}x1") } else { String::new() };
    let name = format!("sparse-infer/{outputs}x{inputs}/{:.0}%{blocks}/b{batch}/t{threads}", 100.0 * zeros);
    let row = Row::new(name, threads, flops, times, bar);
    // By rows, a 32-bit value and a 16-bit index an entry.
    let bytes = packed.map_or(6 * pattern.nonzeros(), |p| p.bytes());
    Ok(if batch == 1 { row.reading(bytes) } else { row })
}

/// The matrix and the batch, as the other side reads them.
fn hand_over(arena: &Arena<'_>, pattern: &Pattern, batch: usize, weights: &[f32], data: &[f32]) -> Result<String> {
    let head = [pattern.rows(), pattern.columns(), pattern.nonzeros(), batch].map(|n| n as i64);
    let mut bytes: Vec<u8> = head.iter().flat_map(|n| n.to_le_bytes()).collect();
    bytes.extend(pattern.starts().iter().chain(pattern.indices()).flat_map(|n| n.to_le_bytes()));
    bytes.extend(weights.iter().chain(data).flat_map(|v| v.to_le_bytes()));
    arena.hand_over("matrix.bin", &[&bytes])
}
