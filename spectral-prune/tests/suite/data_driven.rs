//! Criteria that measure on data, against sums written out by hand and against finite differences.

use crate::support::*;
use spectral_core::{Activation::*, DType, Model, Plan, Samples, Session};
use spectral_layers::Network;
use spectral_prune::Prune;

/// The `count` lowest of `scores`, ascending.
fn lowest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// Mean cross-entropy of a model on data, from its logits.
fn loss(model: &Model, data: &Samples) -> f64 {
    let x = data.inputs().mapv(f64::from);
    let y = Session::new(model, &Plan::default()).unwrap().run(x.view()).unwrap();
    let labels = data.labels().unwrap();
    let one = |(b, row): (usize, ndarray::ArrayView1<'_, f64>)| {
        let top = row.iter().copied().fold(f64::MIN, f64::max);
        top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln() - row[labels[b] as usize]
    };
    y.rows().into_iter().enumerate().map(one).sum::<f64>() / data.len() as f64
}

#[test]
fn activation_weight_is_a_mean_and_prunes_weights_on_dead_inputs_first() {
    for seed in 0..20 {
        let network = Network::new(5).dense(6, Relu).dropout(0.5).dense(4, Identity).dtype(DType::F64);
        let mut m = build(&network, seed);
        // 300 samples are two batches; input 2 is always zero.
        let data = samples(300, 5, 4, seed);
        let mut x = data.inputs().to_owned();
        x.column_mut(2).fill(0.0);
        let data = Samples::new("dead input", x.clone(), data.targets().clone()).unwrap();
        let mean = |i: usize| x.column(i).iter().map(|v| f64::from(v.abs())).sum::<f64>() / 300.0;
        let scores: Vec<f64> =
            values(&m, "dense1.weight").iter().enumerate().map(|(k, w)| mean(k % 5) * w.abs()).collect();
        let prune = Prune::by("activation_weight").layers(&["dense1"]).count(13);
        prune.apply(&mut m, &data).unwrap();
        assert_eq!(pruned(&m, "dense1.weight"), lowest(&scores, 13));
        assert!((0..6).all(|o| pruned(&m, "dense1.weight").contains(&(o * 5 + 2))));
    }
}

#[test]
fn taylor_is_the_first_order_change_of_the_loss() {
    for (seed, frozen) in [(0, false), (1, true), (2, false)] {
        let spectral = spectral_layers::Spectral {
            trainable: spectral_layers::Factors { basis: !frozen, lambda_in: true, lambda_out: true, bias: true },
            ..spectral_layers::Spectral::new(6, Tanh)
        };
        let network = Network::new(4).layer_named("hidden", spectral).dropout(0.5).dense(3, Identity);
        let mut m = build(&network.dtype(DType::F64), seed);
        let data = samples(40, 4, 3, seed);
        let basis = values(&m, "hidden.basis");
        let h = 1e-6;
        let scores: Vec<f64> = (0..basis.len())
            .map(|k| {
                let mut at = |factor: f64| {
                    let mut moved = basis.clone();
                    moved[k] *= factor;
                    set(&mut m, "hidden.basis", &moved);
                    loss(&m, &data)
                };
                ((at(1.0 + h) - at(1.0 - h)) / (2.0 * h)).abs()
            })
            .collect();
        set(&mut m, "hidden.basis", &basis);
        // A threshold sees the size of the scores, not their order alone.
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        let cut = (sorted[6] + sorted[7]) / 2.0;
        let mut low = m.duplicate().unwrap();
        Prune::by("taylor").layers(&["hidden"]).threshold(cut).apply(&mut low, &data).unwrap();
        assert_eq!(pruned(&low, "hidden.basis"), lowest(&scores, 7), "seed {seed}");
        Prune::by("taylor").layers(&["hidden"]).count(11).apply(&mut m, Some(&data)).unwrap();
        assert_eq!(pruned(&m, "hidden.basis"), lowest(&scores, 11), "seed {seed}");
    }
}

#[test]
fn a_final_softmax_is_seen_through() {
    let plain = Network::new(4).dense(6, Tanh).dense(3, Identity).dtype(DType::F64);
    let data = samples(40, 4, 3, 1);
    let (mut a, mut b) = (build(&plain, 5), build(&plain.clone().softmax(), 5));
    for m in [&mut a, &mut b] {
        Prune::by("taylor").weights().amount(0.5).apply(m, &data).unwrap();
    }
    assert_eq!(pruned(&a, "dense1.weight"), pruned(&b, "dense1.weight"));
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let mut m = build(&Network::new(4).dense(6, Relu).dense(3, Identity), 1);
    for (data, word) in [(samples(9, 5, 3, 0), "5 features"), (samples(9, 4, 2, 0), "2 targets")] {
        let error = Prune::by("taylor").amount(0.5).apply(&mut m, &data).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
