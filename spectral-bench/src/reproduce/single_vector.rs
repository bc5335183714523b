//! T2b: MNIST with a first layer that learns one eigenvalue a unit, and two full layers after it.

use super::Published;
use super::mnist::Case;
use crate::Result;
use spectral_core::{Activation, BackendHandle, Init, Model, Seed};
use spectral_layers::{Factors, Network, Spectral};

pub(super) const PUBLISHED: Published = Published {
    id: "T2b",
    title: "MNIST with the first layer's eigenvalues and all after it: 784-500-200-10, 102,710 parameters train",
    source: "Giambagli et al., Machine learning in spectral domain, Nat. Commun. 12:1330 (2021); numbers of the \
             authors' notebook SpectralLearning.ipynb and initial values of the layer committed with it \
             (Buffoni/spectral_learning at 39a4c47)",
    options: &[],
    arms: &[],
    run: |lab| CASE.repeat(lab),
};

const CASE: Case = Case {
    setting: "tanh, no bias; eigenvectors from U(-0.2, 0.2), one eigenvalue vector a layer from U(-0.5, 0.5); the first \
              layer's eigenvectors frozen",
    network,
    epochs: 20,
    quick_epochs: 8,
    batch: 5_000,
    rate: 0.01,
    trainable: 102_710,
    published: (97.70, 96.79),
    bar: 96.3,
};

/// Eigenvalues of the outputs in every layer, eigenvectors in all but the first.
fn network(backend: &BackendHandle, seed: Seed) -> Result<Model> {
    let uniform = |limit: f64| Init::Uniform { low: -limit, high: limit };
    let layer = |units, activation, basis| Spectral {
        bias: false,
        trainable: Factors { basis, lambda_in: false, lambda_out: true, bias: false },
        init: Factors { basis: uniform(0.2), lambda_out: uniform(0.5), ..Factors::<Init>::default() },
        ..Spectral::new(units, activation)
    };
    let network = Network::new(784)
        .layer(layer(500, Activation::Tanh, false))
        .layer(layer(200, Activation::Tanh, true))
        .layer(layer(10, Activation::Identity, true));
    Ok(network.build(backend, seed)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::{IntoBackend, Reference};

    #[test]
    fn of_784_500_200_10_with_a_frozen_first_basis_102710_train() {
        let model = network(&Reference.into_backend(), Seed(1)).unwrap();
        assert_eq!(super::super::lab::trainable(&model), CASE.trainable);
    }
}
