//! Random networks and data.

use ndarray::Array2;
use spectral_core::{
    Activation, DType, Mask, Model, Named, Param, Reference, Role, Samples, Seed, Stream, Targets, prove,
};
use spectral_layers::{Dense, Network, Spectral};

pub(crate) const ACTIVATIONS: [Activation; 12] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Elu { alpha: 0.7 },
    Activation::Gelu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Silu,
    Activation::HardSigmoid,
    Activation::HardSwish,
    Activation::Clip { min: -0.5, max: 1.0 },
];

pub(crate) fn build(network: &Network, seed: u64) -> Model {
    let mut model = network.build(&Reference, Seed(seed)).unwrap();
    randomise(&mut model, seed);
    model
}

/// Gives every parameter values that no initialiser makes special: biases and eigenvalues are not zero.
pub(crate) fn randomise(model: &mut Model, seed: u64) {
    let ids: Vec<_> = model.params().iter().map(|(id, p)| (id, p.value().len(), p.role)).collect();
    let (params, backend) = model.params_mut();
    for (id, len, role) in ids {
        let mut stream = Seed(seed).stream("randomise", u64::from(id.0));
        let scale = if role.is_matrix() { 1.0 / (len as f64).sqrt().sqrt() } else { 0.5 };
        let values: Vec<f64> = (0..len).map(|_| scale * stream.normal()).collect();
        params.edit(backend, id, |t| backend.write(&values, t)).unwrap();
    }
}

/// Whether two models compute the same function; fails with the worst case if not.
pub(crate) fn equal(a: &Model, b: &Model) -> bool {
    let proof = prove(Named { name: "a", model: a }, &[Named { name: "b", model: b }], None, None).unwrap();
    assert!(proof[0].equal, "{:?}", proof[0]);
    proof[0].equal
}

/// Random parameters, variances above 0 among them.
pub(crate) fn built(network: &Network, seed: u64) -> Model {
    let mut model = build(network, seed);
    let ids: Vec<_> = model.params().iter().filter(|(_, p)| p.role == Role::Statistic).map(|(id, _)| id).collect();
    let (params, backend) = model.params_mut();
    for id in ids {
        params
            .edit(backend, id, |t| {
                let values: Vec<f64> = backend.download(t)?.iter().map(|v| v.abs() + 0.2).collect();
                backend.write(&values, t)
            })
            .unwrap();
    }
    model
}

pub(crate) fn samples(n: usize, features: usize, classes: usize, seed: u64) -> Samples {
    let mut stream = Seed(seed).stream("samples", 0);
    let inputs = Array2::from_shape_fn((n, features), |_| stream.normal() as f32);
    let labels = (0..n).map(|_| stream.below(classes) as u32).collect();
    Samples::new("random", inputs, Targets::Classes { labels, classes }).unwrap()
}

pub(crate) fn param<'m>(model: &'m Model, name: &str) -> &'m Param {
    let id = model.params().by_name(name).unwrap_or_else(|| panic!("no parameter {name}"));
    model.params().get(id)
}

pub(crate) fn values(model: &Model, name: &str) -> Vec<f64> {
    model.backend().download(param(model, name).value()).unwrap()
}

pub(crate) fn set(model: &mut Model, name: &str, values: &[f64]) {
    let id = model.params().by_name(name).unwrap();
    let (params, backend) = model.params_mut();
    params.edit(backend, id, |t| backend.write(values, t)).unwrap();
}

/// Indices of pruned entries.
pub(crate) fn pruned(model: &Model, name: &str) -> Vec<usize> {
    param(model, name).pruned().map(|m| m.iter().collect()).unwrap_or_default()
}

pub(crate) fn prune_entries(model: &mut Model, name: &str, entries: &[usize]) {
    let id = model.params().by_name(name).unwrap();
    let len = model.params().get(id).value().len();
    let (params, backend) = model.params_mut();
    params.prune(backend, id, &Mask::from_fn(len, |i| entries.contains(&i))).unwrap();
}

/// Units of a layer without weights, by its matrix.
pub(crate) fn dead_units(model: &Model, layer: &str) -> Vec<usize> {
    let name = ["weight", "basis"].map(|p| format!("{layer}.{p}"));
    let name = name.iter().find(|n| model.params().by_name(n).is_some()).unwrap();
    let shape = param(model, name).full_shape();
    let gone = pruned(model, name);
    (0..shape.rows()).filter(|u| (0..shape.columns()).all(|c| gone.contains(&(u * shape.columns() + c)))).collect()
}

/// Dense or spectral, with or without bias, with eigenvalues at both ends.
pub(crate) fn layer(network: Network, name: &str, units: usize, act: Activation, stream: &mut Stream) -> Network {
    let bias = stream.below(4) != 0;
    if stream.below(2) == 0 {
        network.layer_named(name, Dense { bias, ..Dense::new(units, act) })
    } else {
        network.layer_named(name, Spectral { bias, ..Spectral::new(units, act) })
    }
}

/// A random network with the merge that `shape` asks for.
pub(crate) fn random_network(dtype: DType, act: Activation, shape: usize, seed: u64) -> Network {
    let mut s = Seed(seed).stream("network", shape as u64);
    let width = 4 + s.below(6);
    let mut n = Network::new(3 + s.below(5)).dtype(dtype);
    n = layer(n, "first", width, act, &mut s);
    match shape {
        0 => n = layer(n, "second", 3 + s.below(6), act, &mut s),
        1 => {
            n = layer(n.mark("skip"), "body", 5, act, &mut s);
            n = layer(n, "back", width, act, &mut s).mark("deep").add(&["skip", "deep"]);
        }
        2 => {
            n = layer(n.mark("skip"), "body", 5, act, &mut s).mark("deep").concat(&["skip", "deep", "skip"]);
        }
        3 => {
            n = layer(n.mark("skip"), "gate", width, Activation::Sigmoid, &mut s);
            n = n.mark("gates").multiply(&["skip", "gates"]).dropout(0.3);
        }
        4 => {
            n = layer(n.dropout(0.2).mark("root"), "left", 6, act, &mut s).mark("left_end");
            n = layer(n.from("root"), "right", 6, act, &mut s).mark("right_end");
            n = n.add(&["left_end", "right_end"]).activation(act).mark("sum");
            n = layer(n, "after", 4, act, &mut s).mark("after_end").concat(&["sum", "after_end"]);
        }
        _ => n = n.mark("same").multiply(&["same", "same"]).mark("square").add(&["square", "same"]),
    }
    n = layer(n, "third", 5, act, &mut s);
    layer(n, "last", 3, Activation::Identity, &mut s)
}

pub(crate) const SHAPES: usize = 6;

pub(crate) fn biases(model: &Model) -> usize {
    model.params().iter().filter(|(_, p)| p.role == Role::Bias).count()
}
