//! Eigenvalues as a criterion: percentiles, and where two spectral layers meet.

use crate::support::*;
use spectral_core::{Activation::*, Graph, Mask, Model, Node, Params, Reference, Source, Trainable};
use spectral_layers::{Factors, Network, Spectral};
use spectral_prune::{Prune, compact};

fn two_ended(units: usize) -> Spectral {
    let trainable = Factors { lambda_in: true, ..Factors::<bool>::default() };
    Spectral { trainable, ..Spectral::new(units, Relu) }
}

/// `numpy.percentile` of absolute values, rounded to f32.
fn percentile(values: impl IntoIterator<Item = f64>, p: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().map(f64::abs).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = p * (sorted.len() - 1) as f64 / 100.0;
    let (low, share) = (rank as usize, rank.fract());
    let next = sorted[(low + 1).min(sorted.len() - 1)];
    f64::from((sorted[low] + (next - sorted[low]) * share) as f32)
}

/// What scores below `cut`, but for the largest if that is everything.
fn below(values: &[f64], cut: f64) -> Vec<usize> {
    let low: Vec<usize> = (0..values.len()).filter(|&i| values[i].abs() < cut).collect();
    let largest = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    let all = low.len() == values.len();
    low.into_iter().filter(|&i| !(all && Some(i) == largest)).collect()
}

fn eigenvalue(link: &str) -> Prune {
    Prune::by("eigenvalue").units().parameters(serde_json::json!({ "link": link }))
}

fn freeze(model: &mut Model, name: &str, trainable: Trainable) {
    let id = model.params().by_name(name).unwrap();
    model.params_mut().0.set_trainable(id, trainable).unwrap();
}

/// spectraltools C1, C2: one cut over all layers, what equals it stays, percentile 100 keeps the largest; or a cut a
/// layer.
#[test]
fn one_percentile_over_all_spectral_layers_or_one_a_layer() {
    let network = Network::new(5).spectral(20, Relu).dense(6, Relu).spectral(11, Relu).dense(3, Identity);
    let names = ["spectral1", "spectral2"];
    for p in [0.0, 14.0, 37.5, 55.0, 90.0, 100.0] {
        let mut global = build(&network, 3);
        let eigenvalues = names.map(|n| values(&global, &format!("{n}.lambda_out")));
        let before = values(&global, "dense1.weight");
        eigenvalue("and").percentile(p).apply(&mut global, None).unwrap();
        let cut = percentile(eigenvalues.concat(), p);
        for (name, values) in names.iter().zip(&eigenvalues) {
            assert_eq!(dead_units(&global, name), below(values, cut), "{name} at {p}");
        }
        assert_eq!(values(&global, "dense1.weight"), before, "layers that are not spectral are left alone");
        let mut local = build(&network, 3);
        eigenvalue("and").per_layer().percentile(p).apply(&mut local, None).unwrap();
        for (name, values) in names.iter().zip(&eigenvalues) {
            assert_eq!(dead_units(&local, name), below(values, percentile(values.iter().copied(), p)), "{name} at {p}");
        }
    }
}

/// spectraltools C1 (a layer of one unit was an error), B7 (a layer could be cut to nothing).
#[test]
fn a_layer_of_one_unit_is_in_the_pool_and_no_layer_is_emptied() {
    let mut m = build(&Network::new(5).spectral(1, Relu).spectral(9, Relu).dense(3, Identity), 3);
    set(&mut m, "spectral1.lambda_out", &[1e-3]);
    eigenvalue("and").percentile(100.0).apply(&mut m, None).unwrap();
    assert_eq!((dead_units(&m, "spectral1").len(), dead_units(&m, "spectral2").len()), (0, 8));
}

/// spectraltools C2, A16: pruning again replaced the masks; here it adds to them, also to those of another criterion.
#[test]
fn pruning_a_pruned_model_adds_up() {
    let network = Network::new(5).spectral(20, Relu).spectral(12, Relu).dense(3, Identity);
    let (mut twice, mut once) = (build(&network, 3), build(&network, 3));
    eigenvalue("and").percentile(30.0).apply(&mut twice, None).unwrap();
    eigenvalue("and").percentile(60.0).apply(&mut twice, None).unwrap();
    eigenvalue("and").percentile(60.0).apply(&mut once, None).unwrap();
    assert_eq!(twice.content_hash().unwrap(), once.content_hash().unwrap());
    assert_eq!(eigenvalue("and").percentile(30.0).apply(&mut once, None).unwrap().removed, 0);
    let mut mixed = build(&network, 3);
    Prune::by("random").units().count(8).apply(&mut mixed, None).unwrap();
    let first = dead_units(&mixed, "spectral1");
    eigenvalue("and").percentile(60.0).apply(&mut mixed, None).unwrap();
    assert!(first.iter().all(|u| dead_units(&mixed, "spectral1").contains(u)));
}

/// spectraltools B4, B5 and the defects of B7: eigenvalues at both ends count, directly, over dropout, activations and
/// normalisation, the cut comes from all eigenvalues that train (B2), and the function of what is left is that of the
/// masks.
#[test]
fn both_ends_of_a_connection_count() {
    let direct = || Network::new(5).layer_named("a", Spectral::new(16, Relu));
    let between = [direct(), direct().dropout(0.3), direct().activation(Tanh).dropout(0.1), direct().batch_norm()];
    for (n, network) in between.into_iter().enumerate() {
        let network = network.layer_named("b", two_ended(10)).dense(3, Identity);
        for (link, p) in [("and", 40.0), ("or", 40.0), ("and", 75.0), ("or", 90.0)] {
            let mut m = built(&network, 8 + n as u64);
            let [a, inner, b] = ["a.lambda_out", "b.lambda_in", "b.lambda_out"].map(|name| values(&m, name));
            let basis = values(&m, "b.basis");
            eigenvalue(link).percentile(p).apply(&mut m, None).unwrap();
            let cut = percentile([a.clone(), inner.clone(), b.clone()].concat(), p);
            let both = |u: usize| match link {
                "and" => a[u].abs().min(inner[u].abs()),
                _ => a[u].abs().max(inner[u].abs()),
            };
            assert_eq!(dead_units(&m, "a"), below(&(0..16).map(both).collect::<Vec<_>>(), cut), "{link} {p}");
            assert_eq!(dead_units(&m, "b"), below(&b, cut));
            let kept: Vec<usize> = (0..10).filter(|u| !dead_units(&m, "b").contains(u)).collect();
            assert!(kept.iter().all(|u| values(&m, "b.basis")[u * 16..][..16] == basis[u * 16..][..16]));
            let before = m.content_hash().unwrap();
            let small = compact(&m).unwrap().model;
            assert_eq!(
                (m.content_hash().unwrap(), m.widths()),
                (before, vec![5, 16, 10, 3]),
                "the original stays as it is"
            );
            assert!(equal(&m, &small));
            let alive = 16 - dead_units(&m, "a").len();
            assert_eq!(small.widths(), [5, alive, kept.len(), 3]);
        }
    }
}

/// spectraltools B5 at a cut above all scores: `min_keep` decides.
#[test]
fn no_cut_empties_a_layer_whose_two_ends_disagree() {
    let network = Network::new(5).layer_named("a", two_ended(6)).layer_named("b", two_ended(4)).dense(3, Identity);
    for (keep, left) in [(1, 1), (3, 3)] {
        let mut m = build(&network, 2);
        eigenvalue("and").percentile(100.0).min_keep(keep).apply(&mut m, None).unwrap();
        assert_eq!((6 - dead_units(&m, "a").len(), 4 - dead_units(&m, "b").len()), (left, left));
    }
    let before = build(&network, 2).content_hash().unwrap();
    let mut m = build(&network, 2);
    set(&mut m, "b.lambda_in", &[9.0; 6]);
    let hash = m.content_hash().unwrap();
    assert_ne!(hash, before);
    let error = eigenvalue("and").percentile(100.0).min_keep(0).apply(&mut m, None).unwrap_err().to_string();
    assert!(error.contains("everything"), "{error}");
    assert_eq!(m.content_hash().unwrap(), hash);
}

/// spectraltools A14, B3, B7: layers that feed a merge are cut as coupled units, by both ends too.
#[test]
fn units_that_a_merge_couples_go_together() {
    let network = Network::new(5)
        .layer_named("a", Spectral::new(8, Relu))
        .mark("x")
        .layer_named("b", Spectral::new(8, Relu))
        .mark("y")
        .add(&["x", "y"])
        .layer_named("c", two_ended(5))
        .dense(2, Identity);
    let mut m = build(&network, 5);
    let [a, b, inner, c] = ["a.lambda_out", "b.lambda_out", "c.lambda_in", "c.lambda_out"].map(|n| values(&m, n));
    eigenvalue("or").percentile(50.0).apply(&mut m, None).unwrap();
    let cut = percentile([a.clone(), b.clone(), inner.clone(), c].concat(), 50.0);
    // `a` is also taken in by `b`, whose eigenvalues of inputs are frozen, and so counts by itself in no end.
    let dead = dead_units(&m, "a");
    assert_eq!(dead, dead_units(&m, "b"));
    let mean: Vec<f64> = (0..8).map(|u| (a[u].abs() + b[u].abs()) / 2.0).collect();
    assert_eq!(dead, below(&mean, cut));
}

/// spectraltools B1, B3: nested models are branches of one graph here. A unit that something else takes in too is
/// judged by its own eigenvalue.
#[test]
fn branches_are_pruned_in_one_graph() {
    let network = Network::new(5)
        .layer_named("root", Spectral::new(12, Relu))
        .mark("x")
        .layer_named("left", two_ended(7))
        .mark("l")
        .from("x")
        .layer_named("right", two_ended(7))
        .mark("r")
        .concat(&["l", "r"])
        .dense(3, Identity);
    let mut m = build(&network, 6);
    let names = ["root.lambda_out", "left.lambda_out", "right.lambda_out", "left.lambda_in", "right.lambda_in"];
    let [root, left, right, left_in, right_in] = names.map(|n| values(&m, n));
    eigenvalue("and").percentile(60.0).apply(&mut m, None).unwrap();
    let cut = percentile([&root[..], &left, &right, &left_in, &right_in].concat(), 60.0);
    let wanted = |u: usize| left_in[u].abs().max(right_in[u].abs());
    let worth: Vec<f64> = (0..12).map(|u| root[u].abs().min(wanted(u))).collect();
    assert_eq!(dead_units(&m, "root"), below(&worth, cut));
    assert_eq!((dead_units(&m, "left"), dead_units(&m, "right")), (below(&left, cut), below(&right, cut)));
    let mixed = Network::new(5)
        .layer_named("root", Spectral::new(12, Relu))
        .mark("x")
        .layer_named("left", two_ended(7))
        .mark("l")
        .from("x")
        .dense(7, Relu)
        .mark("r")
        .add(&["l", "r"])
        .dense(3, Identity);
    let mut m = build(&mixed, 6);
    let [root, left_in, left] = ["root.lambda_out", "left.lambda_in", "left.lambda_out"].map(|n| values(&m, n));
    eigenvalue("and").percentile(60.0).apply(&mut m, None).unwrap();
    // `left` is coupled with a dense layer that nothing can judge, so it stays; its eigenvalues count all the same.
    assert_eq!(dead_units(&m, "root"), below(&root, percentile([root.clone(), left_in, left].concat(), 60.0)));
    assert!(dead_units(&m, "left").is_empty());
}

/// spectraltools, facts from running the originals: frozen eigenvalues were outside the pool and cut all the same.
#[test]
fn frozen_eigenvalues_are_outside_the_pool_and_not_cut() {
    let network = Network::new(5).spectral(20, Relu).spectral(12, Relu).dense(3, Identity);
    let mut m = build(&network, 3);
    freeze(&mut m, "spectral1.lambda_out", Trainable::None);
    let second = values(&m, "spectral2.lambda_out");
    eigenvalue("and").percentile(50.0).apply(&mut m, None).unwrap();
    assert!(dead_units(&m, "spectral1").is_empty());
    assert_eq!(dead_units(&m, "spectral2"), below(&second, percentile(second.iter().copied(), 50.0)));
    let mut m = build(&network, 3);
    freeze(&mut m, "spectral1.lambda_out", Trainable::Only(Mask::from_fn(20, |u| u % 2 == 0)));
    eigenvalue("and").percentile(80.0).apply(&mut m, None).unwrap();
    let gone = dead_units(&m, "spectral1");
    assert!(!gone.is_empty() && gone.iter().all(|u| u % 2 == 0), "{gone:?}");
    let mut m = build(&network, 3);
    for name in ["spectral1.lambda_out", "spectral2.lambda_out"] {
        freeze(&mut m, name, Trainable::None);
    }
    let before = m.content_hash().unwrap();
    let error = eigenvalue("and").percentile(50.0).apply(&mut m, None).unwrap_err().to_string();
    assert!(error.contains("frozen") && error.contains("`lambda_out`"), "{error}");
    assert_eq!(m.content_hash().unwrap(), before);
}

/// spectraltools A14, B2, B7: a spectral layer at the end was an error; its outputs stay, and its eigenvalues count.
#[test]
fn a_spectral_layer_at_the_end_keeps_its_outputs_and_is_in_the_pool() {
    let network = Network::new(5).spectral(20, Relu).spectral(9, Identity);
    let mut m = build(&network, 3);
    let [first, last] = ["spectral1.lambda_out", "spectral2.lambda_out"].map(|n| values(&m, n));
    eigenvalue("and").percentile(50.0).apply(&mut m, None).unwrap();
    assert!(dead_units(&m, "spectral2").is_empty());
    let cut = percentile([first.clone(), last].concat(), 50.0);
    assert_eq!(dead_units(&m, "spectral1"), below(&first, cut));
    assert_ne!(
        dead_units(&m, "spectral1"),
        below(&first, percentile(first.iter().copied(), 50.0)),
        "a case that tells"
    );
    // Naming a layer says what is cut, not what the cut is taken over.
    let mut named = build(&network, 3);
    eigenvalue("and").layers(&["spectral1"]).percentile(50.0).apply(&mut named, None).unwrap();
    assert_eq!(dead_units(&named, "spectral1"), dead_units(&m, "spectral1"));
}

/// spectraltools B2: groups decide who goes together, not where the cut is. Layers that a merge does not touch are cut
/// as in a network without it.
#[test]
fn a_merge_does_not_move_the_cut_of_other_layers() {
    let branches = Network::new(5)
        .layer_named("free", Spectral::new(30, Relu))
        .layer_named("a", Spectral::new(8, Relu))
        .mark("x")
        .layer_named("b", Spectral::new(8, Relu))
        .mark("y");
    for network in [branches.clone().add(&["x", "y"]).dense(2, Identity), branches.dense(2, Identity)] {
        let mut m = build(&network, 5);
        let all = ["free.lambda_out", "a.lambda_out", "b.lambda_out"].map(|n| values(&m, n));
        eigenvalue("and").percentile(35.0).apply(&mut m, None).unwrap();
        assert_eq!(dead_units(&m, "free"), below(&all[0], percentile(all.concat(), 35.0)));
    }
}

/// spectraltools B2, C1: the pools that can be asked for.
#[test]
fn percentiles_of_inputs_and_of_other_pools() {
    let network = Network::new(5).layer_named("a", two_ended(16)).layer_named("b", two_ended(10)).dense(3, Identity);
    let names = ["a.lambda_out", "b.lambda_out", "a.lambda_in", "b.lambda_in"];
    let all = |m: &Model| names.map(|n| values(m, n));
    let mut m = build(&network, 8);
    let before = all(&m);
    Prune::by("eigenvalue").inputs().percentile(40.0).apply(&mut m, None).unwrap();
    let cut = percentile(before.concat(), 40.0);
    let dead = |m: &Model, at: usize| pruned(m, names[at]);
    assert_eq!((dead(&m, 2), dead(&m, 3)), (below(&before[2], cut), below(&before[3], cut)));
    let mut m = build(&network, 8);
    let outputs = percentile(before[..2].concat(), 40.0);
    let by =
        |pool: &str| eigenvalue("or").parameters(serde_json::json!({ "pool": pool, "link": "or" })).percentile(40.0);
    by("outputs").apply(&mut m, None).unwrap();
    let worth: Vec<f64> = (0..16).map(|u| before[0][u].abs().max(before[3][u].abs())).collect();
    assert_eq!(dead_units(&m, "a"), below(&worth, outputs));
    let mut m = build(&network, 8);
    by("scores").apply(&mut m, None).unwrap();
    let scores = [worth.clone(), before[1].clone()].concat();
    assert_eq!(dead_units(&m, "a"), below(&worth, percentile(scores, 40.0)));
}

/// spectraltools B6, and the example of its 0.4.1: a dense layer in front of a spectral one with both vectors is cut in
/// the same call, by one percentile.
#[test]
fn a_dense_layer_is_cut_by_the_spectral_layer_that_takes_it_in() {
    let dense = || Network::new(30).layer_named("dense", spectral_layers::Dense::new(100, Relu));
    for between in [dense(), dense().batch_norm().activation(Tanh).dropout(0.2)] {
        let mut m = built(&between.layer_named("spectral", two_ended(80)).dense(10, Identity), 4);
        let [inner, outer] = ["spectral.lambda_in", "spectral.lambda_out"].map(|n| values(&m, n));
        let report = eigenvalue("and").percentile(60.0).apply(&mut m, None).unwrap();
        assert_eq!(report.total, 100 + 80);
        let cut = percentile([inner.clone(), outer.clone()].concat(), 60.0);
        assert_eq!((dead_units(&m, "dense"), dead_units(&m, "spectral")), (below(&inner, cut), below(&outer, cut)));
        let small = compact(&m).unwrap().model;
        assert!(equal(&m, &small));
        assert_eq!(small.widths(), [30, 100 - below(&inner, cut).len(), 80 - below(&outer, cut).len(), 10]);
    }
}

/// spectraltools A14: eigenvalues of inputs that were never trained are all zero, and then every unit passed at that
/// end. They count in the pool, as the original's do.
#[test]
fn eigenvalues_of_inputs_that_were_never_trained_say_nothing() {
    let network = Network::new(5).layer_named("a", Spectral::new(16, Relu)).layer_named("b", two_ended(10));
    let network = network.dense(3, Identity);
    for link in ["and", "or"] {
        let mut m = build(&network, 8);
        set(&mut m, "b.lambda_in", &[0.0; 16]);
        let [a, b] = ["a.lambda_out", "b.lambda_out"].map(|n| values(&m, n));
        eigenvalue(link).percentile(70.0).apply(&mut m, None).unwrap();
        let cut = percentile([a.clone(), b, vec![0.0; 16]].concat(), 70.0);
        assert!(cut > 0.0);
        assert_eq!(dead_units(&m, "a"), below(&a, cut), "{link}");
        let mut m = build(&network, 8);
        set(&mut m, "b.lambda_in", &[0.0; 16]);
        let inputs = Prune::by("eigenvalue").inputs().threshold(0.1).apply(&mut m, None);
        assert_eq!(inputs.unwrap().removed, 0);
    }
    // A dense layer in front of it has no other end, and stays.
    let network = Network::new(5).dense(6, Relu).layer_named("b", two_ended(10)).dense(3, Identity);
    let mut m = build(&network, 8);
    set(&mut m, "b.lambda_in", &[0.0; 6]);
    assert_eq!(eigenvalue("and").amount(0.5).apply(&mut m, None).unwrap().total, 10);
}

/// Two layers over the parameters of one.
fn shared() -> Model {
    let plain = build(&Network::new(4).dense(4, Relu).dense(4, Relu).dense(2, Identity), 7);
    let mut graph = Graph::new(plain.graph().input()).unwrap();
    for (i, node) in plain.graph().nodes().iter().enumerate() {
        let inputs = if i == 0 { vec![Source::Input] } else { vec![Source::Node(i - 1)] };
        let params = plain.graph().nodes()[if i == 1 { 0 } else { i }].params.clone();
        graph.add(Node { name: node.name.clone(), layer: node.layer.clone(), inputs, params }).unwrap();
    }
    let mut params = Params::default();
    for (_, param) in plain.params().iter() {
        params.push(param.duplicate().unwrap());
    }
    Model::from_parts(graph, params, std::sync::Arc::new(Reference), plain.dtype(), plain.meta.clone()).unwrap()
}

#[test]
fn layers_that_share_parameters_are_refused_and_others_are_pruned() {
    let mut m = shared();
    let before = m.content_hash().unwrap();
    for prune in [Prune::by("magnitude").units(), Prune::by("magnitude").weights()] {
        let error = prune.clone().amount(0.5).apply(&mut m, None).unwrap_err().to_string();
        assert!(error.contains("`dense1` and `dense2` share `dense1.weight`") && error.contains("`except`"), "{error}");
        let half = prune.except(&["dense1"]).amount(0.5).apply(&mut m, None).unwrap_err().to_string();
        assert!(half.contains("share"), "{half}");
    }
    assert_eq!(m.content_hash().unwrap(), before);
    let report = Prune::by("magnitude").except(&["dense1", "dense2"]).amount(0.5).apply(&mut m, None).unwrap();
    assert_eq!((report.total, report.removed), (8, 4));
}
