//! Models made of parts of others, values loaded and drawn: the rows A3, A7 to A10, A14 and G6 of Sparana.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]

use ndarray::{Array1, Array2, ArrayD, array};
use spectral_core::{
    DType, Graph, Init, Layer, Mask, Meta, Model, Node, Param, Params, Plan, Reference, Seed, Session, Shape, Source,
    Trainable,
};
use spectral_layers::prelude::*;
use spectral_layers::{Dense, Masked};
use std::sync::Arc;

fn network() -> Network {
    Network::new(5).dense(7, Tanh).dropout(0.5).spectral(6, Relu).dense(4, Softmax)
}

fn model() -> Model {
    network().dtype(DType::F64).build(&Reference, Seed(3)).unwrap()
}

fn inputs() -> Array2<f64> {
    Array2::from_shape_fn((9, 5), |(i, j)| ((i * 5 + j) as f64 * 0.7).sin())
}

fn outputs(model: &Model) -> Array2<f64> {
    Session::new(model, &Plan::default()).unwrap().run(inputs().view()).unwrap()
}

/// The values of every parameter by name.
fn values(model: &Model) -> Vec<(String, Vec<f64>)> {
    let params = model.params().iter();
    params.map(|(_, p)| (p.name.clone(), model.backend().download(p.value()).unwrap())).collect()
}

/// Sparana A3: depth `n` is the output of the `n`-th layer, and dropout sleeps; depth 0, which gives nothing there,
/// is refused.
#[test]
fn first_layers_compute_what_the_network_computes_halfway() {
    let whole = model();
    let x = inputs();
    let known = values(&whole);
    let (w, b) = (&known[0].1, &known[1].1);
    let first = outputs(&whole.first_layers(1).unwrap());
    for (sample, y) in x.rows().into_iter().zip(first.rows()) {
        for unit in 0..7 {
            let sum: f64 = (0..5).map(|i| w[unit * 5 + i] * sample[i]).sum::<f64>() + b[unit];
            assert!((y[unit] - sum.tanh()).abs() < 1e-14);
        }
    }
    assert_eq!(outputs(&whole.first_layers(2).unwrap()), first);
    assert_eq!(whole.first_layers(3).unwrap().graph().output(), Shape::vector(6));
    assert_eq!(outputs(&whole.first_layers(5).unwrap()), outputs(&whole));
    for depth in [0, 6] {
        let error = whole.first_layers(depth).unwrap_err().to_string();
        assert!(error.contains("ask for 1 to 5"), "{error}");
    }
}

/// Sparana G6: everything but the last layer is copied, that is drawn as a matrix (a scalar there) from the seed.
#[test]
fn a_network_is_transferred_to_a_task_with_other_outputs() {
    let mut whole = model();
    let (params, backend) = whole.params_mut();
    let kept = params.by_name("dense1.weight").unwrap();
    let cut = params.by_name("dense2.weight").unwrap();
    params.prune(backend, kept, &Mask::from_fn(35, |i| i % 3 == 0)).unwrap();
    params.prune(backend, cut, &Mask::from_fn(24, |i| i % 2 == 0)).unwrap();
    params.set_trainable(kept, Trainable::Only(Mask::from_fn(35, |i| i < 9))).unwrap();
    let other = whole.with_outputs(3, Seed(8)).unwrap();
    assert_eq!(other.graph().output(), Shape::vector(3));
    for ((name, old), (_, new)) in values(&whole).iter().zip(values(&other)) {
        match name.as_str() {
            "dense2.weight" => assert!(new.len() == 18 && new.iter().all(|w| *w != 0.0)),
            "dense2.bias" => assert_eq!(new, [0.0; 3]),
            _ => assert_eq!(old, &new, "{name}"),
        }
    }
    let mut drawn = values(&other).iter().find(|(n, _)| n == "dense2.weight").unwrap().1.clone();
    drawn.sort_by(f64::total_cmp);
    drawn.dedup();
    assert_eq!(drawn.len(), 18, "one number for all weights");
    assert_eq!(other.params().get(kept).pruned(), whole.params().get(kept).pruned());
    assert_eq!(other.params().get(kept).trainable, whole.params().get(kept).trainable);
    assert_eq!(other.params().get(cut).pruned(), None);
    assert_eq!(outputs(&other.first_layers(3).unwrap()), outputs(&whole.first_layers(3).unwrap()));
    assert!(outputs(&other).rows().into_iter().all(|y| (y.sum() - 1.0).abs() < 1e-12), "softmax is lost");
    let step = other.meta.history.last().unwrap();
    assert_eq!((step.action.as_str(), step.parent), ("transfer", whole.content_hash().unwrap()));
    let hash = |seed| whole.with_outputs(3, Seed(seed)).unwrap().content_hash().unwrap();
    assert_eq!(hash(8), other.content_hash().unwrap());
    assert_ne!(hash(9), other.content_hash().unwrap());
}

#[test]
fn a_network_without_a_last_layer_of_its_own_is_not_transferred() {
    let only_functions = Network::new(4).softmax().build(&Reference, Seed(1)).unwrap();
    let merged = Network::new(4).dense(3, Relu).mark("a").dense(3, Relu).mark("b").add(&["a", "b"]);
    let merged = merged.build(&Reference, Seed(1)).unwrap();
    for (model, word) in [(only_functions, "no layer"), (merged, "not just the units of its last layer `dense2`")] {
        let error = model.with_outputs(2, Seed(1)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(model().with_outputs(0, Seed(1)).is_err());
}

/// Sparana G1 to G3: a snapshot is a model of its own; whatever happens to the other, it restores all of it, layers,
/// masks and frozen entries too.
#[test]
fn a_duplicate_is_a_snapshot_that_nothing_touches() {
    let mut model = model();
    let snapshot = model.duplicate().unwrap();
    let (before, y) = (snapshot.content_hash().unwrap(), outputs(&model));
    let id = model.params().by_name("dense1.weight").unwrap();
    let (params, backend) = model.params_mut();
    params.edit(backend, id, |w| backend.fill(0.5, w)).unwrap();
    params.prune(backend, id, &Mask::from_fn(35, |i| i < 3)).unwrap();
    params.set_trainable(id, Trainable::None).unwrap();
    assert_ne!(outputs(&model), y);
    assert_eq!(snapshot.content_hash().unwrap(), before);
    model = snapshot.duplicate().unwrap();
    assert_eq!((outputs(&model), model.content_hash().unwrap()), (y, before));
    assert_eq!(model.params().get(id).trainable, Trainable::All);
}

/// Sparana A7, A8 (list form), A9: `load_weights` is a stub there, and on the GPU only the last layer is set.
#[test]
fn values_are_loaded_from_a_list_of_arrays() {
    let mut model = Network::new(2).dense(3, Identity).dense(1, Identity).build(&Reference, Seed(1)).unwrap();
    let id = model.params().by_name("dense1.weight").unwrap();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &Mask::from_fn(6, |i| i == 5)).unwrap();
    let list: [ArrayD<f64>; 4] = [
        array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].into_dyn(),
        array![0.5, 0.0, -0.5].into_dyn(),
        array![[1.0, 1.0, 1.0]].into_dyn(),
        array![7.0].into_dyn(),
    ];
    model.load_values(&list.each_ref().map(|a| a.view())).unwrap();
    // (1 + 20 + .5) + (3 + 40) + (5 + 0 - .5) + 7, the last weight being pruned.
    let y = Session::new(&model, &Plan::default()).unwrap().run(array![[1.0f32, 10.0]].view()).unwrap();
    assert_eq!(y, array![[76.0]]);
    let before = values(&model);
    let wrong = |slot: usize, with: ArrayD<f64>| {
        let mut list = list.to_vec();
        list[slot] = with;
        list
    };
    for (list, word) in [
        (list[..3].to_vec(), "3 arrays for 4 parameters"),
        (wrong(0, Array2::zeros((2, 3)).into_dyn()), "`dense1.weight` has shape [3, 2], its array [2, 3]"),
        (wrong(3, Array1::from_elem(1, f64::NAN).into_dyn()), "`dense2.bias` has the value NaN"),
    ] {
        let views: Vec<_> = list.iter().map(|a| a.view()).collect();
        let error = model.load_values(&views).unwrap_err().to_string();
        assert!(error.contains(word), "`{word}` in {error}");
        assert_eq!(values(&model), before, "changed by a list that was refused");
    }
}

/// Sparana A8: a number draws one scalar for all weights there, and a missing bias constant gives arrays of `None`.
#[test]
fn normal_weights_are_a_matrix_and_constant_biases_a_vector() {
    let layer = Dense {
        init: Init::Normal { mean: 0.0, deviation: 0.3 },
        bias_init: Init::Constant(0.1),
        ..Dense::new(80, Relu)
    };
    let model = Network::new(50).layer(layer).build(&Reference, Seed(2)).unwrap();
    let [(_, weights), (_, biases)] = &values(&model)[..] else { panic!() };
    assert!(biases.len() == 80 && biases.iter().all(|b| *b == f64::from(0.1f32)));
    assert!((deviation(weights) / 0.3 - 1.0).abs() < 0.05);
}

fn deviation(values: &[f64]) -> f64 {
    (values.iter().map(|w| w * w).sum::<f64>() / values.len() as f64).sqrt()
}

/// Sparana A8 (`XSparse`): the kept weights have mean 0 and Xavier's spread; there their mean grows with the mask.
#[test]
fn masked_xavier_weights_have_mean_zero_and_the_density_asked_for() {
    let mut layer = Masked::new(120, Identity, 0.25);
    layer.dense.init = Init::Xavier;
    let model = Network::new(80).layer(layer).build(&Reference, Seed(2)).unwrap();
    let param = model.params().get(model.params().by_name("masked1.weight").unwrap());
    assert_eq!(param.kept(), 2400);
    let pruned = param.pruned().unwrap();
    let kept: Vec<f64> =
        values(&model)[0].1.iter().enumerate().filter(|(i, _)| !pruned.contains(*i)).map(|(_, w)| *w).collect();
    let expected = (3.0 / 200.0f64).sqrt();
    let mean = kept.iter().sum::<f64>() / kept.len() as f64;
    assert!((deviation(&kept) / expected - 1.0).abs() < 0.05 && mean.abs() < 0.1 * expected, "{mean}");
}

/// Sparana A14: the count fails there.
#[test]
fn parameters_are_counted_with_and_without_pruned_ones() {
    let mut model = Network::new(784).dense(300, Relu).dense(10, Identity).build(&Reference, Seed(1)).unwrap();
    assert_eq!((model.params().total(), model.params().kept()), (784 * 300 + 300 + 300 * 10 + 10, 238_510));
    let id = model.params().by_name("dense2.weight").unwrap();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &Mask::from_fn(3000, |i| i < 100)).unwrap();
    assert_eq!((model.params().total(), model.params().kept()), (238_510, 238_410));
}

#[test]
fn a_layer_is_replaced_by_one_that_fits_and_by_no_other() {
    let mut whole = model();
    let copies = |m: &Model, index: usize| -> Vec<Param> {
        let ids = &m.graph().nodes()[index].params;
        ids.iter().map(|id| m.params().get(*id).duplicate().unwrap()).collect()
    };
    let dense = |units, activation| -> Arc<dyn Layer> { Arc::new(Dense::new(units, activation)) };
    let (version, known) = (whole.params().mask_version(), values(&whole));
    let first = outputs(&whole.first_layers(1).unwrap());
    whole.replace_layer(0, dense(7, Sigmoid), copies(&whole, 0)).unwrap();
    let z = first.mapv(f64::atanh);
    let apart = outputs(&whole.first_layers(1).unwrap()) - z.mapv(|z| 1.0 / (1.0 + (-z).exp()));
    assert!(apart.iter().all(|d| d.abs() < 1e-12), "{apart}");
    assert_eq!(values(&whole), known);
    assert!(whole.params().mask_version() > version);

    let before = whole.content_hash().unwrap();
    for (layer, params, words) in [
        (dense(6, Tanh), copies(&whole, 0), "outputs of shape [7]"),
        (dense(7, Tanh), Vec::new(), "0 are given"),
        (dense(7, Tanh), copies(&whole, 2).into_iter().take(2).collect(), "parameter `weight` should be"),
    ] {
        let error = whole.replace_layer(0, layer, params).unwrap_err().to_string();
        assert!(error.contains("dense1") && error.contains(words), "{error}");
    }
    assert_eq!(whole.content_hash().unwrap(), before);

    let (mut graph, mut params) = (Graph::new(Shape::vector(5)).unwrap(), Params::default());
    let square = Network::new(5).dense(5, Tanh).dtype(DType::F64).build(&Reference, Seed(1)).unwrap();
    let ids: Vec<_> = copies(&square, 0).into_iter().map(|p| params.push(p)).collect();
    for (name, inputs) in [("a", Source::Input), ("b", Source::Node(0))] {
        let node = Node { name: name.into(), layer: dense(5, Tanh), inputs: vec![inputs], params: ids.clone() };
        graph.add(node).unwrap();
    }
    let mut tied = Model::from_parts(graph, params, square.backend().clone(), DType::F64, Meta::default()).unwrap();
    let error = tied.replace_layer(1, dense(5, Relu), copies(&square, 0)).unwrap_err().to_string();
    assert!(error.contains("shares a parameter with `a`"), "{error}");
}
