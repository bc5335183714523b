//! Small data sets and networks.

use ndarray::Array2;
use spectral_core::{DType, Model, Param, ParamId, Params, Reference, Role, Samples, Seed, Shape, Targets, Tensor};
use spectral_layers::Network;
use spectral_layers::prelude::*;

/// Points around one centre per class, `[n, 4]`.
pub(crate) fn blobs(n: usize, classes: usize, seed: u64) -> Samples {
    let mut stream = Seed(seed).stream("blobs", 0);
    let labels: Vec<u32> = (0..n).map(|i| (i % classes) as u32).collect();
    let inputs = Array2::from_shape_fn((n, 4), |(i, j)| {
        let centre = f64::from(u8::from(labels[i] as usize % 4 == j)) * 2.0;
        (centre + 0.7 * stream.normal()) as f32
    });
    Samples::new("blobs", inputs, Targets::Classes { labels, classes }).unwrap()
}

/// A linear map with noise, `[n, 3]` to `[n, 2]`.
pub(crate) fn lines(n: usize, seed: u64) -> Samples {
    let mut stream = Seed(seed).stream("lines", 0);
    let x = Array2::from_shape_fn((n, 3), |_| stream.normal() as f32);
    let y = Array2::from_shape_fn((n, 2), |(i, o)| x[[i, o]] - 0.5 * x[[i, 2]] + 0.1 * stream.normal() as f32);
    Samples::new("lines", x, Targets::Values(y)).unwrap()
}

/// 4 -> 6 spectral -> 5 dense -> `classes`.
pub(crate) fn small(classes: usize, dtype: DType) -> Model {
    network(classes).dtype(dtype).build(&Reference, Seed(3)).unwrap()
}

/// The network of [`small`].
pub(crate) fn network(classes: usize) -> Network {
    Network::new(4).spectral(6, Tanh).dense(5, Relu).dense(classes, Identity)
}

/// An arena with one parameter of these values.
pub(crate) fn arena(values: &[f64], shape: Shape, dtype: DType) -> (Params, ParamId) {
    let mut params = Params::default();
    let id = params.push(Param::new("layer.weight", Role::Weight, &[], tensor(values, shape, dtype)));
    (params, id)
}

/// A host tensor.
pub(crate) fn tensor(values: &[f64], shape: Shape, dtype: DType) -> Tensor {
    let mut t = Tensor::host_zeros(shape, dtype);
    spectral_core::Memory::write(&Reference, values, &mut t).unwrap();
    t
}

/// All parameters, in order, widened.
pub(crate) fn values(model: &Model) -> Vec<Vec<f64>> {
    model.params().iter().map(|(_, p)| model.backend().download(p.value()).unwrap()).collect()
}

/// The bits of all parameters.
pub(crate) fn bits(model: &Model) -> Vec<u64> {
    values(model).concat().into_iter().map(f64::to_bits).collect()
}
