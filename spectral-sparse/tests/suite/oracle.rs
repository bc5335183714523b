//! `sprs` as an independent oracle for the sparse kernels of the CPU.

use ndarray::Array2;
use proptest::prelude::*;
use spectral_core::{
    Accum, Activation, Backend, Element, GradSlot, Pattern, Seed, Shape, SparseGrads, SparseLinear, Tensor,
};
use spectral_sparse::csr::{Index, from_csr, pattern_to_csr};

fn random<E: Element>(backend: &dyn Backend, shape: Shape, seed: u64) -> Tensor {
    let mut stream = Seed(seed).stream("oracle", 0);
    let values: Vec<f64> = (0..shape.len()).map(|_| E::of(stream.uniform(-1.0, 1.0)).wide()).collect();
    let mut t = backend.zeros(shape, E::DTYPE).unwrap();
    backend.write(&values, &mut t).unwrap();
    t
}

fn wide(backend: &dyn Backend, t: &Tensor) -> Array2<f64> {
    let (rows, columns) = (t.shape().rows(), t.shape().columns());
    Array2::from_shape_vec((rows, columns), backend.download(t).unwrap()).unwrap()
}

fn worst(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()))
}

/// Largest difference of output, input gradient and weight gradient from what `sprs` computes in f64.
fn compare<E: Element, I: Index>(rows: usize, columns: usize, batch: usize, density: f64, seed: u64) -> f64 {
    let backend = crate::networks::cpu();
    let mut stream = Seed(seed).stream("pattern", 0);
    let pattern = Pattern::from_fn(rows, columns, |_, _| stream.unit() < density).unwrap();
    let values = random::<E>(&*backend, Shape::vector(pattern.nonzeros()), seed);
    let x = random::<E>(&*backend, Shape::matrix(columns, batch), seed + 1);
    let dz = random::<E>(&*backend, Shape::matrix(rows, batch), seed + 2);
    let zeros = |shape| backend.zeros(shape, E::DTYPE).unwrap();
    let (mut y, mut dx, mut dv) = (zeros(dz.shape()), zeros(x.shape()), zeros(values.shape()));
    let op = SparseLinear { x: &x, pattern: &pattern, values: &values, bias: None, activation: Activation::Identity };
    backend.sparse_linear(&op, &mut y, None).unwrap();
    let slot = |tensor| Some(GradSlot { tensor, accum: Accum::Replace });
    let grads = SparseGrads { x: slot(&mut dx), values: slot(&mut dv), bias: None };
    backend.sparse_linear_vjp(&op, &dz, grads).unwrap();

    let csr = pattern_to_csr::<E, I>(&*backend, &pattern, &values).unwrap();
    let (back, same) = from_csr(&*backend, &csr).unwrap();
    assert_eq!((&*back, backend.download(&same).unwrap()), (&pattern, backend.download(&values).unwrap()));
    let matrix = csr.map(|v| v.wide());
    let (xs, dzs) = (wide(&*backend, &x), wide(&*backend, &dz));
    let mut largest = worst(&wide(&*backend, &y), &(&matrix * &xs));
    let transposed = matrix.transpose_view().to_csr();
    largest = largest.max(worst(&wide(&*backend, &dx), &(&transposed * &dzs)));
    let outer = dzs.dot(&xs.t());
    for ((r, c), v) in pattern.iter().zip(backend.download(&dv).unwrap()) {
        largest = largest.max((outer[(r, c)] - v).abs());
    }
    largest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn products_and_gradients(
        rows in 1..40usize, columns in 1..40usize, batch in 1..140usize, density in 0.0..1.0f64, seed in 0..1000u64,
    ) {
        let narrow = compare::<f32, u16>(rows, columns, batch, density, seed);
        prop_assert!(narrow < 5e-5, "f32: {narrow:e}");
        let wide = compare::<f64, u32>(rows, columns, batch, density, seed);
        prop_assert!(wide < 1e-12, "f64: {wide:e}");
    }
}
