//! Inputs of layers as what is cut.

use crate::support::*;
use spectral_core::{Activation::*, Model};
use spectral_layers::{Factors, Network, Spectral};
use spectral_prune::{Prune, compact};

fn two_ended(units: usize) -> Spectral {
    let trainable = Factors { lambda_in: true, ..Factors::<bool>::default() };
    Spectral { trainable, ..Spectral::new(units, Relu) }
}

/// The inputs whose columns are pruned from top to bottom.
fn dead_inputs(model: &Model, param: &str, columns: usize) -> Vec<usize> {
    let (gone, entries) = (pruned(model, param), values(model, param).len());
    (0..columns).filter(|i| (*i..entries).step_by(columns).all(|k| gone.contains(&k))).collect()
}

/// spectraltools B7: cutting the inputs of a first layer by its trained eigenvalues was a shape error.
#[test]
fn features_of_a_first_layer_go_by_the_eigenvalues_they_are_taken_in_by() {
    let mut m = built(&Network::new(6).layer_named("a", two_ended(5)).dense(2, Identity), 3);
    set(&mut m, "a.lambda_in", &[0.5, -0.1, 0.9, 0.05, -2.0, 0.2]);
    let report = Prune::by("eigenvalue").inputs().amount(0.5).apply(&mut m, None).unwrap();
    assert_eq!((report.removed, report.kept, report.total), (3, 3, 6));
    assert_eq!(dead_inputs(&m, "a.basis", 6), [1, 3, 5]);
    assert_eq!(pruned(&m, "a.lambda_in"), [1, 3, 5]);
    assert_eq!(Prune::by("eigenvalue").inputs().amount(0.5).apply(&mut m, None).unwrap().removed, 0);
    let small = compact(&m).unwrap().model;
    assert!(equal(&m, &small));
    assert_eq!(small.widths(), [6, 5, 2], "data still fits");
    let frozen = &mut built(&Network::new(6).spectral(5, Relu).dense(2, Identity), 3);
    let refused = Prune::by("eigenvalue").inputs().amount(0.5).apply(frozen, None).unwrap_err().to_string();
    assert!(refused.contains("lambda_in") && refused.contains("spectral1"), "{refused}");
}

/// spectraltools B6: a dense layer loses the units that the spectral layer behind it does not take in any more, also
/// where the original failed, over normalisation, activation and dropout.
#[test]
fn dense_layers_lose_the_units_that_a_spectral_layer_takes_in_no_more() {
    let dense = || Network::new(4).layer_named("a", spectral_layers::Dense::new(8, Identity));
    for network in [dense(), dense().batch_norm(), dense().batch_norm().activation(Tanh).dropout(0.2)] {
        let mut m = built(&network.layer_named("b", two_ended(5)).dense(3, Identity), 5);
        let inner = values(&m, "b.lambda_in");
        let mut by_size: Vec<usize> = (0..8).collect();
        by_size.sort_by(|&x, &y| inner[x].abs().total_cmp(&inner[y].abs()));
        Prune::by("eigenvalue").inputs().layers(&["b"]).count(3).apply(&mut m, None).unwrap();
        let mut least = by_size[..3].to_vec();
        least.sort_unstable();
        assert_eq!(dead_inputs(&m, "b.basis", 8), least);
        let before = m.content_hash().unwrap();
        let done = compact(&m).unwrap();
        assert!(equal(&m, &done.model));
        assert_eq!((done.model.widths(), done.report.removed), (vec![4, 5, 5, 3], 3));
        assert_eq!(m.content_hash().unwrap(), before);
    }
}

/// An input of a convolution is a channel: it goes with all its taps, and so does the channel that was made for it.
#[test]
fn channels_go_as_inputs_of_a_convolution() {
    let network =
        Network::new(50).reshape(&[2, 5, 5]).conv2d(6, 3, Relu).conv2d(4, 3, Relu).flatten().dense(3, Identity);
    let mut m = built(&network, 7);
    Prune::by("magnitude").inputs().layers(&["conv2d2"]).count(2).apply(&mut m, None).unwrap();
    assert_eq!(pruned(&m, "conv2d2.weight").len(), 2 * 4 * 9);
    let small = compact(&m).unwrap().model;
    assert!(equal(&m, &small));
    assert_eq!(small.params().get(small.params().by_name("conv2d1.weight").unwrap()).value().len(), 4 * 2 * 9);
}

/// Other layers that take the unit in keep it, so it stays.
#[test]
fn an_input_is_cut_in_its_own_layer_only() {
    let network = Network::new(4).dense(6, Tanh).mark("x").dense(6, Tanh).mark("y").add(&["x", "y"]).dense(2, Identity);
    let mut m = built(&network, 2);
    let before = values(&m, "dense3.weight");
    Prune::by("magnitude").inputs().layers(&["dense2"]).per_layer().amount(0.5).apply(&mut m, None).unwrap();
    assert_eq!(dead_inputs(&m, "dense2.weight", 6).len(), 3);
    assert_eq!(values(&m, "dense3.weight"), before);
    assert_eq!(compact(&m).unwrap().model.widths()[1], 6);
}

#[test]
fn every_layer_keeps_an_input() {
    let network = Network::new(4).dense(6, Tanh).dense(2, Identity);
    for keep in [1, 3] {
        let mut m = built(&network, 2);
        let prune = Prune::by("magnitude").inputs().percentile(100.0).min_keep(keep);
        assert_eq!(prune.apply(&mut m, None).unwrap().kept, 2 * keep);
    }
}
