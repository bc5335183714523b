//! The spectral layer as spectraltools describes it: values, views, masks, configuration.

use crate::support::*;
use spectral_core::registry::find;
use spectral_core::{Activation::*, DType, Init, LayerEntry, Model, Penalty, Plan, Reference, Seed, Session};
use spectral_layers::{Factors, Network, Spectral, spectral};
use spectral_prune::Prune;

fn run(model: &Model, x: &[f64]) -> Vec<f64> {
    let x = ndarray::ArrayView2::from_shape((1, x.len()), x).unwrap();
    Session::new(model, &Plan::default()).unwrap().run(x).unwrap().into_raw_vec_and_offset().0
}

/// Two inputs, three units, everything chosen by hand; a head that passes the units on.
fn small(act: spectral_core::Activation) -> Model {
    let network = Network::new(2).dtype(DType::F64).spectral(3, act).spectral(3, Identity);
    let mut model = network.build(&Reference, Seed(1)).unwrap();
    set(&mut model, "spectral1.basis", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    set(&mut model, "spectral1.lambda_in", &[0.5, -1.0]);
    set(&mut model, "spectral1.lambda_out", &[2.0, -0.25, 1.0]);
    set(&mut model, "spectral1.bias", &[0.1, 0.2, 0.3]);
    set(&mut model, "spectral2.basis", &[-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0]);
    model
}

/// spectraltools A7: `y = act(x (base * (diag_start - diag_end)) + bias)`, which the README there gets wrong.
#[test]
fn the_kernel_is_the_basis_times_the_gap_of_the_eigenvalues() {
    let weight = spectral::weight(&small(Tanh), 0).unwrap();
    let want = [1.0 * -1.5, 2.0 * -3.0, 3.0 * 0.75, 4.0 * -0.75, 5.0 * -0.5, 6.0 * -2.0];
    assert_eq!(weight.into_raw_vec_and_offset().0, want);
    let y = run(&small(Tanh), &[0.2, -0.1]);
    for (u, y) in y.iter().enumerate() {
        let z: f64 = 0.2 * want[2 * u] - 0.1 * want[2 * u + 1] + 0.1 * (u + 1) as f64;
        assert!((y - z.tanh()).abs() < 1e-15, "{u}: {y}");
    }
}

/// spectraltools A2, A4: the usual values of 1.x; initial eigenvalues of the inputs are used (there the argument was
/// ignored), and they train where asked for (`is_input_layer` was never built).
#[test]
fn eigenvalues_of_inputs_start_and_train_as_asked() {
    let model = Network::new(3).spectral(2, Relu).build(&Reference, Seed(1)).unwrap();
    assert_eq!(
        (values(&model, "spectral1.lambda_in"), values(&model, "spectral1.lambda_out")),
        (vec![0.0; 3], vec![1.0; 2])
    );
    assert!(!param(&model, "spectral1.lambda_in").is_trainable());
    let layer = Spectral {
        trainable: Factors { lambda_in: true, ..Factors::<bool>::default() },
        init: Factors { lambda_in: Init::Constant(0.5), ..Factors::<Init>::default() },
        ..Spectral::new(2, Relu)
    };
    let model = Network::new(3).layer(layer).build(&Reference, Seed(1)).unwrap();
    assert_eq!(values(&model, "spectral1.lambda_in"), [0.5; 3]);
    assert!(param(&model, "spectral1.lambda_in").is_trainable());
}

/// spectraltools A8, A9: a masked unit emits `act(0)` whatever `lambda_in` is, and `act(bias)` where the bias is kept;
/// masking works without a bias too (version 1.0.1 crashes).
#[test]
fn a_masked_unit_emits_a_constant() {
    let prune = || Prune::by("eigenvalue").units().layers(&["spectral1"]).count(1);
    let mut model = small(Sigmoid);
    prune().apply(&mut model, None).unwrap();
    let mut kept = small(Sigmoid);
    prune().keep_bias().apply(&mut kept, None).unwrap();
    for x in [[0.0, 0.0], [3.0, -7.0]] {
        assert_eq!(run(&model, &x)[1], 0.5);
        assert_eq!(run(&kept, &x)[1], Sigmoid.value(0.2));
    }
    let bare = Spectral { bias: false, ..Spectral::new(4, Relu) };
    let mut model = build(&Network::new(3).layer(bare).dense(2, Identity), 3);
    assert_eq!(prune().apply(&mut model, None).unwrap().removed, 1);
}

/// spectraltools A13, A17: both vectors, always, and masked ones are zero in them.
#[test]
fn views_show_both_spectra_as_masked() {
    let mut model = small(Relu);
    Prune::by("eigenvalue").units().layers(&["spectral1"]).count(1).apply(&mut model, None).unwrap();
    let seen = spectral::eigenvalues(&model, 0).unwrap();
    assert_eq!((seen.lambda_in.values, seen.lambda_out.values), (vec![0.5, -1.0], vec![2.0, 0.0, 1.0]));
    assert!(!seen.lambda_in.trains && seen.lambda_out.trains);
}

/// spectraltools A14 to A16: eigenvalues at the cut stay, masks add up instead of replacing each other, units that
/// merge go together, and the last layer is no special case.
#[test]
fn thresholds_keep_what_is_at_the_cut_and_add_up() {
    let mut model = small(Relu);
    let cut = |at: f64| Prune::by("eigenvalue").units().layers(&["spectral1"]).threshold(at);
    assert_eq!(cut(0.25).apply(&mut model, None).unwrap().removed, 0);
    assert_eq!(cut(1.0).apply(&mut model, None).unwrap().removed, 1);
    assert_eq!(cut(0.5).apply(&mut model, None).unwrap().removed, 0);
    assert_eq!(dead_units(&model, "spectral1"), [1]);
    // A layer that ends the network is in no trouble, and stays.
    let mut last = build(&Network::new(3).spectral(4, Relu).spectral(2, Identity), 5);
    assert!(Prune::by("eigenvalue").units().count(2).apply(&mut last, None).is_ok());
    assert!(dead_units(&last, "spectral2").is_empty());
    // Branches of a sum are cut as one.
    let network = Network::new(3).spectral(4, Relu).mark("a").from("input").spectral(4, Relu).mark("b");
    let mut merged = build(&network.add(&["a", "b"]).dense(2, Identity), 6);
    assert_eq!(Prune::by("eigenvalue").units().count(4).apply(&mut merged, None).unwrap().removed, 4);
    assert_eq!(dead_units(&merged, "spectral1"), dead_units(&merged, "spectral2"));
}

/// spectraltools A18: pruning by weight works on the basis.
#[test]
fn single_weights_are_pruned_on_the_basis() {
    let mut model = small(Relu);
    Prune::by("magnitude").weights().layers(&["spectral1"]).count(2).apply(&mut model, None).unwrap();
    // The products are -1.5, -6, 2.25, -3, -2.5 and -12.
    assert_eq!(pruned(&model, "spectral1.basis"), [0, 2]);
    assert!(pruned(&model, "spectral1.lambda_out").is_empty());
}

/// spectraltools A19, A20: the configuration holds everything (there masks, activity regulariser and the regulariser's
/// factor are lost), and the kind is found by name.
#[test]
fn the_configuration_holds_every_setting() {
    let penalty = Penalty { l1: 0.1, l2: 0.2 };
    let layer = Spectral {
        bias: false,
        penalties: Factors::<Penalty>::default().with_eigenvalues(penalty),
        output_penalty: penalty,
        mask: vec![true, false, true],
        ..Spectral::new(3, Elu { alpha: 0.3 })
    };
    let config = spectral_core::Layer::config(&layer).unwrap();
    let entry = find::<LayerEntry>("spectral").unwrap();
    let again = (entry.build)(serde_json::from_str(&config.to_string()).unwrap()).unwrap();
    assert_eq!(again.config().unwrap(), config);
    assert_eq!(serde_json::from_value::<Spectral>(config).unwrap(), layer);
}
