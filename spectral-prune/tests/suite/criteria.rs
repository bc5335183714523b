//! Every criterion against a reference written without the library.

use crate::support::*;
use spectral_core::{Activation, Model, Seed, hash64};
use spectral_layers::Network;
use spectral_prune::Prune;

pub(crate) fn network(seed: u64) -> Model {
    let mut s = Seed(seed).stream("criteria", 0);
    let n = Network::new(2 + s.below(6)).spectral(2 + s.below(8), Activation::Tanh);
    let n = n.dense(2 + s.below(8), Activation::Relu).spectral(2 + s.below(8), Activation::Relu);
    build(&n.dense(3, Activation::Identity), seed)
}

/// The weights of a layer, `[out][in]`, with the arithmetic of f32.
pub(crate) fn weights(model: &Model, layer: &str) -> Vec<Vec<f64>> {
    if layer.starts_with("dense") {
        let columns = param(model, &format!("{layer}.weight")).value().shape().columns();
        return values(model, &format!("{layer}.weight")).chunks(columns).map(<[f64]>::to_vec).collect();
    }
    let inner = values(model, &format!("{layer}.lambda_in"));
    let outer = values(model, &format!("{layer}.lambda_out"));
    let basis = values(model, &format!("{layer}.basis"));
    let row = |(o, row): (usize, &[f64])| {
        row.iter().zip(&inner).map(|(b, i)| f64::from(*b as f32 * (*i as f32 - outer[o] as f32))).collect()
    };
    basis.chunks(inner.len()).enumerate().map(row).collect()
}

/// What a naive global ranking over (layer, entry) prunes: the `count` lowest, ties by position.
fn lowest(mut scored: Vec<(f64, usize, usize)>, count: usize) -> Vec<(usize, usize)> {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut chosen: Vec<_> = scored[..count].iter().map(|s| (s.1, s.2)).collect();
    chosen.sort_unstable();
    chosen
}

pub(crate) fn matrix(layer: &str) -> String {
    format!("{layer}.{}", if layer.starts_with("dense") { "weight" } else { "basis" })
}

pub(crate) const LAYERS: [&str; 4] = ["spectral1", "dense1", "spectral2", "dense2"];

/// Prunes weights and compares with the naive ranking of `score(layer, out, in)`.
fn check_weights(seed: u64, prune: Prune, layers: &[&str], score: impl Fn(&Model, &str, usize, usize) -> f64) {
    let mut model = network(seed);
    let mut scored = Vec::new();
    for (l, name) in layers.iter().enumerate() {
        let shape = param(&model, &matrix(name)).value().shape();
        for k in 0..shape.len() {
            scored.push((score(&model, name, k / shape.columns(), k % shape.columns()), l, k));
        }
    }
    let count = scored.len() / 2;
    let want = lowest(scored, count);
    prune.weights().globally().min_keep(0).count(count).apply(&mut model, None).unwrap();
    let got: Vec<(usize, usize)> = layers
        .iter()
        .enumerate()
        .flat_map(|(l, name)| pruned(&model, &matrix(name)).into_iter().map(move |k| (l, k)))
        .collect();
    assert_eq!(got, want, "seed {seed}");
}

fn check_units(seed: u64, prune: Prune, layers: &[&str], score: impl Fn(&Model, &str, usize) -> f64) {
    let mut model = network(seed);
    let mut scored = Vec::new();
    for (l, name) in layers.iter().enumerate() {
        let units = param(&model, &matrix(name)).value().shape().rows();
        scored.extend((0..units).map(|u| (score(&model, name, u), l, u)));
    }
    let count = scored.len() / 2;
    let want = lowest(scored, count);
    prune.units().globally().min_keep(0).count(count).apply(&mut model, None).unwrap();
    let got: Vec<(usize, usize)> = layers
        .iter()
        .enumerate()
        .flat_map(|(l, name)| dead_units(&model, name).into_iter().map(move |u| (l, u)))
        .collect();
    assert_eq!(got, want, "seed {seed}");
}

#[test]
fn magnitude_agrees_with_a_naive_ranking() {
    for seed in 0..100 {
        check_weights(seed, Prune::by("magnitude"), &LAYERS, |m, l, o, i| weights(m, l)[o][i].abs());
        check_units(seed, Prune::by("magnitude"), &LAYERS[..3], |m, l, u| {
            let row = &weights(m, l)[u];
            row.iter().map(|w| w.abs()).sum::<f64>() / row.len() as f64
        });
        let squares = Prune::by("magnitude").parameters(serde_json::json!({ "exponent": 2.0 }));
        check_units(seed, squares, &LAYERS[..3], |m, l, u| {
            let row = &weights(m, l)[u];
            row.iter().map(|w| w.abs().powf(2.0)).sum::<f64>() / row.len() as f64
        });
    }
}

#[test]
fn eigenvalue_agrees_with_a_naive_ranking_and_leaves_dense_layers_alone() {
    for seed in 0..100 {
        let spectral = ["spectral1", "spectral2"];
        check_units(seed, Prune::by("eigenvalue"), &spectral, |m, l, u| values(m, &format!("{l}.lambda_out"))[u].abs());
        check_weights(seed, Prune::by("eigenvalue"), &spectral, |m, l, o, i| {
            (values(m, &format!("{l}.lambda_in"))[i] - values(m, &format!("{l}.lambda_out"))[o]).abs()
        });
    }
}

#[test]
fn random_depends_on_seed_layer_and_position_alone() {
    for seed in 0..50 {
        let at = |l: &str| LAYERS.iter().position(|n| *n == l).unwrap() as u64;
        let uniform = |key, i: usize| (hash64(key, i as u64) >> 11) as f64 / (1u64 << 53) as f64;
        let by = || Prune::by("random").seed(Seed(9));
        check_units(seed, by(), &LAYERS[..3], |_, l, u| uniform(Seed(9).key("prune", at(l)), u));
        check_weights(seed, by(), &LAYERS, |m, l, o, i| {
            let columns = param(m, &matrix(l)).value().shape().columns();
            uniform(Seed(9).key("prune", at(l)), o * columns + i)
        });
    }
}

#[test]
fn a_network_without_eigenvalues_is_refused_by_name() {
    let mut model = build(&Network::new(3).dense(4, Activation::Relu).dense(2, Activation::Identity), 1);
    let error = Prune::by("eigenvalue").units().amount(0.5).apply(&mut model, None).unwrap_err().to_string();
    assert!(error.contains("`eigenvalue`") && error.contains("dense1"), "{error}");
    let mut mixed = network(1);
    let named = Prune::by("eigenvalue").layers(&["dense1"]).amount(0.5).apply(&mut mixed, None).unwrap_err();
    assert!(named.to_string().contains("dense1"), "{named}");
}

#[test]
fn nan_names_the_layer_and_changes_nothing() {
    let mut model = network(3);
    let mut w = values(&model, "dense1.weight");
    w[1] = f64::NAN;
    set(&mut model, "dense1.weight", &w);
    let error = Prune::by("magnitude").amount(0.5).apply(&mut model, None).unwrap_err().to_string();
    assert!(error.contains("`dense1`") && error.contains("weight [0, 1]"), "{error}");
    assert!(model.meta.history.is_empty() && model.params().iter().all(|(_, p)| p.pruned().is_none()));
}

#[test]
fn every_registered_criterion_does_what_core_expects() {
    let entries = spectral_core::registry::all::<spectral_core::PrunerEntry>().unwrap();
    let names: Vec<&str> = entries.iter().map(|e| e.name).collect();
    for name in ["activation_weight", "eigenvalue", "magnitude", "mean_activation_weight", "random", "taylor"] {
        assert!(names.contains(&name), "{name}");
    }
    for name in ["gain", "negative", "outgoing_rank", "positive", "value"] {
        assert!(names.contains(&name), "{name}");
    }
    for entry in entries {
        let criterion = (entry.build)((entry.defaults)()).unwrap();
        spectral_testkit::pruner::conformance(&*criterion).unwrap_or_else(|e| panic!("{e}"));
        let unknown = (entry.build)(serde_json::json!({ "no_such": 1 })).unwrap_err().to_string();
        assert!(unknown.contains("no_such"), "{unknown}");
    }
}
