//! Criteria by sign, by rank and by mean activation, against rankings written out by hand; also on sparse layers.

use crate::support::*;
use serde_json::json;
use spectral_core::{Activation::*, DType, Model, Samples};
use spectral_layers::Network;
use spectral_prune::{Error, Prune};
use spectral_sparse::{Policy, sparsify};

/// Three inputs, four units, values that are exact.
fn model() -> Model {
    let mut m = build(&Network::new(3).dense(4, Relu).dense(2, Identity), 1);
    set(&mut m, "dense1.weight", &[0.5, -1.0, 2.0, -0.25, 0.0, 0.75, -2.0, 1.5, -0.5, 3.0, 0.125, -4.0]);
    set(&mut m, "dense2.weight", &[-1.0, 2.0, -3.0, 4.0, 5.0, -6.0, 7.0, -8.0]);
    m
}

fn by(criterion: &str) -> Prune {
    Prune::by(criterion).weights().layers(&["dense1"]).min_keep(0)
}

/// The first `count` entries of `scores` by `key`, without those that are `None`.
fn first(weights: &[f64], count: usize, key: impl Fn(f64) -> Option<f64>) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> = weights.iter().enumerate().filter_map(|(k, w)| Some((key(*w)?, k))).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut taken: Vec<usize> = order.iter().take(count).map(|o| o.1).collect();
    taken.sort_unstable();
    taken
}

/// Sparana C5 and C6: only weights of one sign (and zeros, which carry nothing) go, those nearest to zero first.
#[test]
fn by_sign_only_weights_of_that_sign_go_and_small_ones_first() {
    for count in 0..=6 {
        for (criterion, sign) in [("negative", -1.0), ("positive", 1.0)] {
            let mut m = model();
            let want = first(&values(&m, "dense1.weight"), count, |w| (w * sign >= 0.0).then_some(w.abs()));
            by(criterion).count(count).apply(&mut m, None).unwrap();
            assert_eq!(pruned(&m, "dense1.weight"), want, "{criterion} {count}");
        }
    }
}

#[test]
fn what_a_criterion_protects_is_never_pruned() {
    let mut m = model();
    let hash = m.content_hash().unwrap();
    let error = by("negative").amount(0.9).apply(&mut m, None).unwrap_err();
    assert!(matches!(error, Error::Infeasible { closest: 6, .. }), "{error}");
    assert!(error.to_string().contains("the criterion protects the others"), "{error}");
    assert_eq!(m.content_hash().unwrap(), hash);
    by("negative").threshold(1e30).apply(&mut m, None).unwrap();
    assert_eq!(pruned(&m, "dense1.weight"), [1, 3, 4, 6, 8, 11]);
    let mut m = model();
    by("positive").percentile(50.0).apply(&mut m, None).unwrap();
    assert_eq!(pruned(&m, "dense1.weight"), [0, 4, 10]);
}

/// Sparana C13: every negative weight, of all layers (the last one too) or of some.
#[test]
fn value_below_zero_prunes_all_negative_weights() {
    let mut m = model();
    let report = Prune::by("value").weights().threshold(0.0).apply(&mut m, None).unwrap();
    assert_eq!(report.removed, 9);
    assert_eq!(pruned(&m, "dense1.weight"), [1, 3, 6, 8, 11]);
    assert_eq!(pruned(&m, "dense2.weight"), [0, 2, 5, 7]);
    let mut m = model();
    Prune::by("value").weights().layers(&["dense2"]).threshold(0.0).apply(&mut m, None).unwrap();
    assert!(pruned(&m, "dense1.weight").is_empty() && pruned(&m, "dense2.weight").len() == 4);
}

/// Sparana C5, C6 for units: by the sign of the mean incoming weight.
#[test]
fn units_by_sign_go_by_their_mean_incoming_weight() {
    // Means: 0.5, 1/6, -1/3, -0.29...
    let mut m = model();
    Prune::by("negative").units().threshold(1e30).apply(&mut m, None).unwrap();
    assert_eq!(dead_units(&m, "dense1"), [2, 3]);
    let mut m = model();
    Prune::by("positive").units().count(1).apply(&mut m, None).unwrap();
    assert_eq!(dead_units(&m, "dense1"), [1]);
}

/// Sparana C7: ranks are within the outgoing weights of an input unit, and rank 0 goes first instead of never.
#[test]
fn outgoing_ranks_take_the_least_weight_of_every_input_first() {
    let mut m = model();
    by("outgoing_rank").count(3).apply(&mut m, None).unwrap();
    // By column, |w|: 0.5 0.25 2 3; 1 0 1.5 0.125; 2 0.75 0.5 4.
    assert_eq!(pruned(&m, "dense1.weight"), [3, 4, 8]);
    by("outgoing_rank").count(6).apply(&mut m, None).unwrap();
    assert_eq!(pruned(&m, "dense1.weight"), [0, 3, 4, 5, 8, 10]);
}

/// Sparana C7 with data: ranks of the mean activated value.
#[test]
fn outgoing_ranks_can_be_those_of_a_criterion_with_data() {
    let of = || by("outgoing_rank").parameters(json!({ "of": "activation_weight" }));
    let mut m = model();
    let data = samples(20, 3, 2, 1);
    assert!(of().count(3).apply(&mut m, None).unwrap_err().to_string().contains("--calibration"));
    of().count(3).apply(&mut m, &data).unwrap();
    // The same input scales a whole column, so ranks are those of |w|.
    assert_eq!(pruned(&m, "dense1.weight"), [3, 4, 8]);
    let unknown = by("outgoing_rank").parameters(json!({ "of": "magnitud" })).count(1).apply(&mut m, None);
    assert!(unknown.unwrap_err().to_string().contains("did you mean `magnitude`"));
}

/// Inputs of both signs, the last one always zero.
fn data(n: usize) -> Samples {
    let data = samples(n, 3, 2, 7);
    let mut x = data.inputs().to_owned();
    x.column_mut(2).fill(0.0);
    Samples::new("with a dead input", x, data.targets().clone()).unwrap()
}

/// Sparana C2 as it was meant (over inputs, not outputs), with C3's defect: what scores zero goes first.
#[test]
fn mean_activation_weight_lets_signs_cancel_and_prunes_dead_inputs_first() {
    let data = data(300);
    let mean = |i: usize| data.inputs().column(i).iter().map(|v| f64::from(*v)).sum::<f64>() / 300.0;
    let network = Network::new(3).dtype(DType::F64).dense(4, Tanh).dense(2, Identity);
    for seed in 0..20 {
        for count in [4, 7] {
            let mut m = build(&network, seed);
            let scores: Vec<f64> =
                values(&m, "dense1.weight").iter().enumerate().map(|(k, w)| (w * mean(k % 3)).abs()).collect();
            let want = first(&scores, count, Some);
            by("mean_activation_weight").count(count).apply(&mut m, &data).unwrap();
            assert_eq!(pruned(&m, "dense1.weight"), want);
            assert!([2, 5, 8, 11].iter().all(|k| want.contains(k)), "weights on the dead input: {want:?}");
        }
    }
}

/// Sparana C11 (where sparse models kept the smallest) and B11 (where statistics failed on them): on a sparse model
/// every criterion prunes what it prunes on the dense one.
#[test]
fn sparse_models_lose_the_same_weights_by_every_criterion() {
    let network = Network::new(3).dense(4, Relu).dense(2, Identity);
    let data = samples(50, 3, 2, 3);
    for seed in 0..5 {
        for criterion in
            ["magnitude", "activation_weight", "mean_activation_weight", "taylor", "negative", "outgoing_rank", "value"]
        {
            let mut dense = build(&network, seed);
            Prune::by("random").weights().amount(0.3).apply(&mut dense, None).unwrap();
            let mut sparse = sparsify(&dense, &Policy::Always).unwrap().model;
            assert!(param(&sparse, "dense1.weight").pattern.is_some());
            let prune = Prune::by(criterion).weights().percentile(60.0);
            prune.apply(&mut dense, &data).unwrap();
            prune.apply(&mut sparse, &data).unwrap();
            let whole = |m: &Model| {
                let p = param(m, "dense1.weight");
                let stored = values(m, "dense1.weight");
                match &p.pattern {
                    None => stored,
                    Some(pattern) => {
                        let mut w = vec![0.0; 12];
                        pattern.iter().zip(stored).for_each(|((r, c), v)| w[r * 3 + c] = v);
                        w
                    }
                }
            };
            assert_eq!(whole(&dense), whole(&sparse), "{criterion}, seed {seed}");
        }
    }
}
