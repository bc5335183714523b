//! T2: MNIST learned by eigenvalues alone, over eigenvectors that stay random.

use super::Published;
use super::mnist::Case;
use crate::Result;
use spectral_core::{Activation, BackendHandle, Init, Model, Seed};
use spectral_layers::{Factors, Network, Spectral};

pub(super) const PUBLISHED: Published = Published {
    id: "T2",
    title: "MNIST by eigenvalues only: 784-2000-200-10, 5,194 of 1,975,194 parameters train",
    source: "Giambagli et al., Machine learning in spectral domain, Nat. Commun. 12:1330 (2021); numbers of the \
             authors' notebook Spactral_Layer_example.ipynb (Buffoni/spectral_learning at eebdc9e)",
    options: &[],
    arms: &[],
    run: |lab| CASE.repeat(lab),
};

const CASE: Case = Case {
    setting: "tanh, no bias; eigenvectors Glorot-uniform and frozen, both eigenvalue vectors from U(-0.5, 0.5)",
    network,
    epochs: 30,
    quick_epochs: 3,
    batch: 500,
    rate: 0.02,
    trainable: 5_194,
    published: (97.04, 93.23),
    bar: 92.5,
};

fn network(backend: &BackendHandle, seed: Seed) -> Result<Model> {
    let around_zero = Init::Uniform { low: -0.5, high: 0.5 };
    let layer = |units, activation| Spectral {
        bias: false,
        trainable: Factors { basis: false, lambda_in: true, lambda_out: true, bias: false },
        init: Factors { lambda_in: around_zero, lambda_out: around_zero, ..Factors::<Init>::default() },
        ..Spectral::new(units, activation)
    };
    let network = Network::new(784)
        .layer(layer(2000, Activation::Tanh))
        .layer(layer(200, Activation::Tanh))
        .layer(layer(10, Activation::Identity));
    Ok(network.build(backend, seed)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::{IntoBackend, Reference};

    #[test]
    fn the_eigenvalues_of_784_2000_200_10_are_5194() {
        let model = network(&Reference.into_backend(), Seed(1)).unwrap();
        let trains = super::super::lab::trainable(&model);
        assert_eq!((trains, model.params().total()), (CASE.trainable, 1_975_194));
    }
}
