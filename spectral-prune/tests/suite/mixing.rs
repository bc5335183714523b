//! One model out of several.

use crate::support::*;
use spectral_core::registry::ByName;
use spectral_core::{Activation::*, DType, Model, Seed};
use spectral_layers::Network;
use spectral_prune::{MixConfig, MixRule, Mixer};

fn model(seed: u64) -> Model {
    build(&Network::new(3).dtype(DType::F64).dense(2, Relu).spectral(2, Identity), seed)
}

fn with(values: &[f64]) -> Model {
    let mut m = model(1);
    set(&mut m, "dense1.weight", values);
    m
}

fn by(rule: MixRule, criterion: &str, rank_and_zero: Option<f64>) -> MixConfig {
    MixConfig { rule, criterion: ByName::new(criterion), rank_and_zero, biases: true }
}

fn mix(config: MixConfig, models: &[&Model]) -> Model {
    let mut mixer = Mixer::new(config, Seed(1)).unwrap();
    models.iter().for_each(|m| mixer.add(m, None).unwrap());
    mixer.mix().unwrap()
}

const A: [f64; 6] = [1.0, -2.0, 3.0, -4.0, 5.0, 0.0];
const B: [f64; 6] = [3.0, 2.0, -1.0, 4.0, 0.0, 0.0];

/// Sparana E6: every parameter is the mean; biases too, unless they are left out.
#[test]
fn an_average_is_the_mean_of_all_parameters() {
    let models = [model(1), model(2), model(4)];
    let mixed = mix(MixConfig::default(), &models.each_ref());
    for (_, param) in mixed.params().iter() {
        let all: Vec<Vec<f64>> = models.iter().map(|m| values(m, &param.name)).collect();
        for (k, v) in values(&mixed, &param.name).iter().enumerate() {
            let mean = all.iter().map(|v| v[k]).sum::<f64>() / 3.0;
            assert!((v - mean).abs() < 1e-15, "{}", param.name);
        }
    }
    let without = mix(MixConfig { biases: false, ..MixConfig::default() }, &models.each_ref());
    assert_eq!(values(&without, "dense1.bias"), values(&models[0], "dense1.bias"));
    assert_eq!(values(&without, "dense1.weight"), values(&mixed, "dense1.weight"));
}

/// Sparana E7, where 0 / 0 became NaN: where all scores are 0 the plain mean is taken.
#[test]
fn an_importance_weighted_average_weighs_by_scores_and_never_gives_nan() {
    let mixed = mix(by(MixRule::Weighted, "magnitude", None), &[&with(&A), &with(&B)]);
    let want: Vec<f64> = A
        .iter()
        .zip(B)
        .map(|(a, b)| if *a == 0.0 && b == 0.0 { 0.0 } else { (a * a.abs() + b * b.abs()) / (a.abs() + b.abs()) })
        .collect();
    for (got, want) in values(&mixed, "dense1.weight").iter().zip(&want) {
        assert!((got - want).abs() < 1e-15, "{got} {want}");
    }
    // Both scores are 0 by data: input 1 is always zero. The mean of -2 and 2, and of -4... is finite.
    let data = samples(20, 3, 2, 1);
    let mut x = data.inputs().to_owned();
    x.column_mut(1).fill(0.0);
    let data = spectral_core::Samples::new("dead", x, data.targets().clone()).unwrap();
    let mut mixer = Mixer::new(by(MixRule::Weighted, "activation_weight", None), Seed(1)).unwrap();
    for w in [&with(&A), &with(&[1.0, 6.0, 1.0, 1.0, 1.0, 1.0])] {
        mixer.add(w, &data).unwrap();
    }
    let w = values(&mixer.mix().unwrap(), "dense1.weight");
    assert_eq!((w[1], w[4]), (2.0, 3.0));
    assert!(w.iter().all(|v| v.is_finite()));
}

/// Sparana E5: ranks 1..=n, ties by index; of all models but the first, those strictly below the share become 0.
#[test]
fn rank_and_zero_ranks_from_one_and_spares_the_first_model() {
    // |A| ranks: 0 -> 1, 1 -> 2, 2 -> 3, 3 -> 4, 4 -> 5, 5 -> 6, so [2, 3, 4, 5, 6, 1]; below 3 of B: ranks 1 and 2.
    // |B| = [3, 2, 1, 4, 0, 0]: ranks [5, 4, 3, 6, 1, 2].
    let mixed = mix(by(MixRule::Weighted, "magnitude", Some(0.5)), &[&with(&A), &with(&B)]);
    let ranks: [(f64, f64); 6] = [(2.0, 5.0), (3.0, 4.0), (4.0, 3.0), (5.0, 6.0), (6.0, 0.0), (1.0, 0.0)];
    for (k, got) in values(&mixed, "dense1.weight").iter().enumerate() {
        let (a, b) = ranks[k];
        assert!((got - (a * A[k] + b * B[k]) / (a + b)).abs() < 1e-15, "{k}: {got}");
    }
    let averaged = mix(by(MixRule::Average, "magnitude", Some(0.5)), &[&with(&A), &with(&B)]);
    assert_eq!(values(&averaged, "dense1.weight"), [2.0, 0.0, 1.0, 0.0, 5.0, 0.0]);
}

/// Sparana E8, which failed on lists: the second model's weights where it is selected, all else of the first.
#[test]
fn replacing_takes_the_selected_weights_of_the_other_model() {
    let (first, mut second) = (with(&A), with(&B));
    set(&mut second, "dense1.bias", &[7.0, 8.0]);
    let mixed = mix(by(MixRule::Replace, "magnitude", Some(0.75)), &[&first, &second]);
    // Ranks of B at least 4.5: 5 and 6, its first and fourth.
    assert_eq!(values(&mixed, "dense1.weight"), [3.0, -2.0, 3.0, 4.0, 5.0, 0.0]);
    assert_eq!(values(&mixed, "dense1.bias"), values(&first, "dense1.bias"));
    assert_eq!(values(&mixed, "spectral1.lambda_out"), values(&first, "spectral1.lambda_out"));
}

/// Sparana E1, where later training changed what was stored.
#[test]
fn stored_models_are_copies_and_can_be_replaced() {
    let mut first = with(&A);
    let mut mixer = Mixer::new(MixConfig::default(), Seed(1)).unwrap();
    mixer.add(&first, None).unwrap();
    set(&mut first, "dense1.weight", &[100.0; 6]);
    assert_eq!(values(&mixer.mix().unwrap(), "dense1.weight"), A);
    mixer.replace(0, &with(&B), None).unwrap();
    assert_eq!(values(&mixer.mix().unwrap(), "dense1.weight"), B);
    assert!(mixer.replace(1, &first, None).unwrap_err().to_string().contains("no model 1"));
}

#[test]
fn an_entry_is_pruned_in_the_mix_if_it_is_in_all_models() {
    let (mut a, mut b) = (with(&A), with(&B));
    prune_entries(&mut a, "dense1.weight", &[0, 1]);
    prune_entries(&mut b, "dense1.weight", &[1, 2]);
    for config in [MixConfig::default(), by(MixRule::Weighted, "magnitude", None)] {
        let mixed = mix(config, &[&a, &b]);
        assert_eq!(pruned(&mixed, "dense1.weight"), [1]);
        assert_eq!(values(&mixed, "dense1.weight")[1].to_bits(), 0);
    }
    // Weighted by scores, a pruned entry weighs nothing; replaced, it keeps its origin's mask.
    let weighted = mix(by(MixRule::Weighted, "magnitude", None), &[&a, &b]);
    assert_eq!(values(&weighted, "dense1.weight")[0], 3.0);
    let replaced = mix(by(MixRule::Replace, "magnitude", None), &[&a, &b]);
    assert_eq!(pruned(&replaced, "dense1.weight"), [1]);
    assert_eq!(values(&replaced, "dense1.weight"), [3.0, 0.0, 3.0, 4.0, 5.0, 0.0]);
}

#[test]
fn mixing_models_of_different_shape_is_refused() {
    let first = model(1);
    let sparse = |seed| {
        build(&Network::new(3).layer_named("s", spectral_layers::Sparse::new(4, Relu, 0.5)).dense(2, Identity), seed)
    };
    let wide = build(&Network::new(3).dtype(DType::F64).dense(3, Relu).spectral(2, Identity), 1);
    let other = build(&Network::new(3).dtype(DType::F64).spectral(2, Relu).spectral(2, Identity), 1);
    let narrow = build(&Network::new(3).dense(2, Relu).spectral(2, Identity), 1);
    for (a, b, word) in [
        (&first, &wide, "`dense1.weight`"),
        (&first, &other, "differ in kind"),
        (&first, &narrow, "f32"),
        (&sparse(1), &sparse(2), "stores other entries"),
    ] {
        let mut mixer = Mixer::new(MixConfig::default(), Seed(1)).unwrap();
        mixer.add(a, None).unwrap();
        let error = mixer.add(b, None).unwrap_err().to_string();
        assert!(error.contains("different shape") && error.contains(word), "{error}");
        mixer.mix().unwrap();
    }
    let mut mixer = Mixer::new(by(MixRule::Weighted, "value", None), Seed(1)).unwrap();
    assert!(mixer.add(&first, None).unwrap_err().to_string().contains("0 or more"));
    assert!(mixer.mix().unwrap_err().to_string().contains("nothing to mix"));
    assert!(Mixer::new(by(MixRule::Average, "magnitude", Some(1.5)), Seed(1)).is_err());
}
