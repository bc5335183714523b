//! Gates put into models that are there already.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use ndarray::Array2;
use spectral_core::{Activation::*, DType, Mask, Model, Plan, Reference, Role, Seed, Session};
use spectral_layers::{Network, gates};

fn outputs(model: &Model) -> Array2<f64> {
    let width = model.graph().input().len();
    let x = Array2::from_shape_fn((5, width), |(b, f)| (b as f64 - 2.0) * 0.7 + f as f64 * 0.3);
    Session::new(model, &Plan::default()).unwrap().run(x.view()).unwrap()
}

fn built(network: Network) -> Model {
    network.dtype(DType::F64).build(&Reference, Seed(3)).unwrap()
}

/// spectraltools D1, D2.
#[test]
fn gates_start_at_one_and_change_nothing() {
    let mut model = built(Network::new(4).dense(5, Gelu).spectral(4, Relu).drop_connect(3, Tanh, 0.2).softmax());
    let id = model.params().by_name("dense1.weight").unwrap();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &Mask::from_fn(20, |i| i % 3 == 0)).unwrap();
    let gated = gates::dense(&model).unwrap();
    assert_eq!(outputs(&model), outputs(&gated));
    let names: Vec<&str> = gated.graph().nodes().iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["dense1", "dense1_gate", "spectral1", "drop_connect1", "drop_connect1_gate", "softmax1"]);
    assert_eq!(gated.meta, model.meta);
    for (_, param) in model.params().iter() {
        let same = gated.params().get(gated.params().by_name(&param.name).unwrap());
        assert_eq!(
            (same.value().host::<f64>().unwrap(), same.pruned()),
            (param.value().host().unwrap(), param.pruned())
        );
    }
    for (_, gain) in gated.params().iter().filter(|(_, p)| p.role == Role::Gain) {
        assert!(gain.value().host::<f64>().unwrap().iter().all(|g| *g == 1.0) && gain.is_trainable());
    }
}

/// spectraltools D2: calling it twice wraps again there.
#[test]
fn gating_twice_changes_nothing_more() {
    let once = gates::dense(&built(Network::new(4).dense(5, Relu).dense(2, Identity))).unwrap();
    let twice = gates::dense(&once).unwrap();
    assert_eq!(once.content_hash().unwrap(), twice.content_hash().unwrap());
}

/// spectraltools D2: a bare layer as the whole model is an AttributeError there.
#[test]
fn a_network_of_one_layer_can_be_gated() {
    let gated = gates::dense(&built(Network::new(3).dense(2, Sigmoid))).unwrap();
    assert_eq!(gated.graph().nodes().len(), 2);
    assert_eq!(gated.graph().output().len(), 2);
}

#[test]
fn a_network_without_weight_matrices_is_refused() {
    let error = gates::dense(&built(Network::new(3).spectral(2, Relu))).unwrap_err();
    assert!(error.to_string().contains("has no layer with a weight matrix"), "{error}");
}

/// spectraltools D3, D4: channels are gated, and the last axis of the image has nothing to do with it.
#[test]
fn convolutions_are_gated_by_channel() {
    let network = Network::new(32).reshape(&[2, 4, 4]).conv2d(3, 2, Relu).flatten().dense(2, Identity);
    let model = built(network);
    let (convs, denses, both) =
        (gates::conv2d(&model).unwrap(), gates::dense(&model).unwrap(), gates::all(&model).unwrap());
    let named = |m: &Model| -> Vec<(String, usize)> {
        let gains = m.params().iter().filter(|(_, p)| p.role == Role::Gain);
        gains.map(|(_, p)| (p.name.clone(), p.value().len())).collect()
    };
    assert_eq!(named(&convs), [("conv2d1_gate.gain".to_owned(), 3)]);
    assert_eq!(named(&denses), [("dense1_gate.gain".to_owned(), 2)]);
    assert_eq!(named(&both).len(), 2);
    for gated in [convs, denses, both] {
        assert_eq!(outputs(&gated), outputs(&model));
    }
    assert!(gates::conv2d(&built(Network::new(3).dense(2, Relu))).is_err());
}
