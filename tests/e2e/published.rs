//! Exact facts of the published work: parameter counts and identities.

use ndarray::{Array1, Array2, s};
use spectral::core::{DType, Init, Model, Role, Seed};
use spectral::layers::spectral::{Factors, Spectral, basis_matrix, eigenvalues, weight};
use spectral::prelude::*;

fn trainable(model: &Model) -> usize {
    model.params().iter().filter(|(_, p)| p.is_trainable()).map(|(_, p)| p.value().len()).sum()
}

/// Training of sparse and dense deep networks, PRE 104, 054312 (2021): with N1 = 784 inputs, n hidden units and 10
/// classes, a dense network trains n N1 + 11 n + 10 parameters, one of eigenvalues and biases N1 + 3 n + 20.
#[test]
fn eigenvalue_training_needs_as_many_parameters_as_published() {
    let backend = Cpu::new().unwrap();
    for (units, direct, spectral) in [(50, 39_760, 954), (500, 397_510, 2_304)] {
        let dense = Network::new(784).dense(units, Relu).dense(10, Identity).build(&backend, Seed(1)).unwrap();
        assert_eq!((trainable(&dense), units * 784 + 11 * units + 10), (direct, direct));
        let layer = |units, activation| Spectral {
            trainable: Factors { basis: false, lambda_in: true, lambda_out: true, bias: true },
            ..Spectral::new(units, activation)
        };
        let network = Network::new(784).layer(layer(units, Relu)).layer(layer(10, Identity));
        assert_eq!(trainable(&network.build(&backend, Seed(1)).unwrap()), spectral);
        assert_eq!(784 + 3 * units + 20, spectral);
    }
}

/// A perceptron 784-10 trains 794 eigenvalues, about a tenth of its 7,840 weights (Nat. Commun. 12:1330, fig. 4).
#[test]
fn a_perceptron_of_eigenvalues_trains_a_tenth() {
    let eigenvalues = Spectral {
        bias: false,
        trainable: Factors { basis: false, lambda_in: true, lambda_out: true, bias: false },
        ..Spectral::new(10, Identity)
    };
    let model = Network::new(784).layer(eigenvalues).build(&Cpu::new().unwrap(), Seed(1)).unwrap();
    let basis = model.params().iter().find(|(_, p)| p.role == Role::Basis).unwrap().1;
    assert_eq!((trainable(&model), basis.value().len()), (794, 7_840));
}

/// Two spectral layers 5-4-3 in f64 with random eigenvalues, the middle ones shared.
fn nested() -> Model {
    let uniform = Init::Uniform { low: -1.0, high: 1.0 };
    let init = Factors { basis: uniform, lambda_in: uniform, lambda_out: uniform, ..Factors::<Init>::default() };
    let layer = |units| Spectral { init, bias: false, ..Spectral::new(units, Identity) };
    let network = Network::new(5).dtype(DType::F64).layer_named("a", layer(4)).layer_named("b", layer(3));
    let mut model = network.build(&Cpu::new().unwrap(), Seed(5)).unwrap();
    let shared = eigenvalues(&model, 0).unwrap().lambda_out.values;
    let id = model.params().by_name("b.lambda_in").unwrap();
    let (params, backend) = model.params_mut();
    params.edit(backend, id, |t| backend.write(&shared, t)).unwrap();
    model
}

fn largest(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |m, v| m.max(v.abs()))
}

/// `Phi^-1 = 2 I - Phi`, and `Phi diag(lambda_in, lambda_out) Phi^-1` carries the layer's weights in its lower left
/// block and the eigenvalues on its diagonal.
#[test]
fn a_layer_is_a_block_of_its_adjacency_matrix() {
    let model = nested();
    for (node, inputs) in [(0, 5), (1, 4)] {
        let phi = basis_matrix(&model, node).unwrap();
        let unit: Array2<f64> = Array2::eye(phi.nrows());
        let inverse = 2.0 * &unit - &phi;
        assert!(largest(&(phi.dot(&inverse) - &unit)) < 1e-15);
        let all = spectrum(&model, node);
        let adjacency: Array2<f64> = phi.dot(&Array2::from_diag(&all)).dot(&inverse);
        let block = adjacency.slice(s![inputs.., ..inputs]).to_owned();
        assert!(largest(&(block - weight(&model, node).unwrap())) < 1e-15);
        assert!(adjacency.slice(s![..inputs, inputs..]).iter().all(|v| *v == 0.0));
        assert!((adjacency.diag().to_owned() - all).iter().all(|d| d.abs() < 1e-15));
    }
}

/// Both eigenvalue vectors, one after the other.
fn spectrum(model: &Model, node: usize) -> Array1<f64> {
    let both = eigenvalues(model, node).unwrap();
    both.lambda_in.values.into_iter().chain(both.lambda_out.values).collect()
}

/// SPARCS (arXiv 2504.00885): for two nested layers, `W21 = phi1 L1 - L2 phi1`, `W32 = phi2 L2 - L3 phi2` and
/// `W31 = (L3 phi2 - phi2 L2) phi1`.
#[test]
fn nested_layers_are_blocks_of_one_adjacency_matrix() {
    let model = nested();
    let (first, second) = (basis_matrix(&model, 0).unwrap(), basis_matrix(&model, 1).unwrap());
    let (phi1, phi2) = (first.slice(s![5.., ..5]).to_owned(), second.slice(s![4.., ..4]).to_owned());
    let outer = spectrum(&model, 1).slice_move(s![4..]);
    let lambda: Array1<f64> = spectrum(&model, 0).into_iter().chain(outer).collect();
    let unit: Array2<f64> = Array2::eye(12);
    let (mut phi, mut inverse) = (unit.clone(), unit.clone());
    phi.slice_mut(s![5..9, ..5]).assign(&phi1);
    phi.slice_mut(s![9.., 5..9]).assign(&phi2);
    inverse.slice_mut(s![5..9, ..5]).assign(&-&phi1);
    inverse.slice_mut(s![9.., 5..9]).assign(&-&phi2);
    inverse.slice_mut(s![9.., ..5]).assign(&phi2.dot(&phi1));
    assert!(largest(&(phi.dot(&inverse) - &unit)) < 1e-15);
    let adjacency: Array2<f64> = phi.dot(&Array2::from_diag(&lambda)).dot(&inverse);
    let (w21, w32) = (weight(&model, 0).unwrap(), weight(&model, 1).unwrap());
    let skip = -w32.dot(&phi1);
    for (rows, columns, expected) in [(5..9, 0..5, w21), (9..12, 5..9, w32), (9..12, 0..5, skip)] {
        let block = adjacency.slice(s![rows.clone(), columns.clone()]).to_owned();
        assert!(largest(&(block - expected)) < 1e-15, "{rows:?} {columns:?}");
    }
}
