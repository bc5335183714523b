//! Selected parameters train, the others keep their bits.

use crate::support::*;
use spectral_core::registry::ByName;
use spectral_core::registry::all;
use spectral_core::{Activation::*, Model, PrunerEntry, Role, Samples, Seed, Trainable};
use spectral_layers::Network;
use spectral_prune::{Gaussian, Pick, Prune, SelectConfig, Selection, Subset};
use spectral_train::{OptimizerEntry, TrainConfig};
use std::collections::BTreeMap;

fn model() -> Model {
    build(&Network::new(6).dense(8, Tanh).spectral(5, Tanh).dense(4, Identity), 2)
}

fn top(amount: f64) -> SelectConfig {
    SelectConfig { amount: Some(amount), ..SelectConfig::default() }
}

fn counts(selection: &Selection) -> Vec<usize> {
    selection.layers.iter().map(|l| l.mask.count()).collect()
}

fn bits(model: &Model) -> BTreeMap<String, Vec<u64>> {
    let of = |p: &spectral_core::Param| model.backend().download(p.value()).unwrap();
    model.params().iter().map(|(_, p)| (p.name.clone(), of(p).iter().map(|v| v.to_bits()).collect())).collect()
}

fn train(model: &mut Model, data: &Samples, optimizer: &str) {
    let penalty = spectral_core::Penalty { l1: 0.01, l2: 0.01 };
    let penalty = Role::ALL.into_iter().map(|role| (role, penalty)).collect();
    let optimizer = ByName::new(optimizer);
    // 5 steps an epoch.
    let config = TrainConfig { epochs: 4, batch: 8, optimizer, penalty, ..TrainConfig::default() };
    config.build(Seed(1)).unwrap().fit(model, data).unwrap();
}

/// Sparana D3, D4, D9: the largest or smallest of every layer, by a share or a number; 0 selects nothing.
#[test]
fn top_and_bottom_by_share_or_number_and_zero_selects_nothing() {
    let m = model();
    let w: Vec<f64> = values(&m, "dense1.weight").iter().map(|w| w.abs()).collect();
    let mut order: Vec<usize> = (0..48).collect();
    order.sort_by(|a, b| w[*b].total_cmp(&w[*a]));
    let mut want = order[..12].to_vec();
    want.sort_unstable();
    let selection = top(0.25).select(&m, None, Seed(0)).unwrap();
    assert_eq!(selection.layers[0].mask.iter().collect::<Vec<_>>(), want);
    assert_eq!(counts(&selection), [12, 10, 5]);
    let bottom = SelectConfig { pick: Pick::Bottom, count: Some(3), ..SelectConfig::default() };
    let selection = bottom.select(&m, None, Seed(0)).unwrap();
    let mut want = order[45..].to_vec();
    want.sort_unstable();
    assert_eq!(selection.layers[0].mask.iter().collect::<Vec<_>>(), want);
    assert_eq!(counts(&selection), [3, 3, 3]);
    for none in [top(0.0), SelectConfig { count: Some(0), ..SelectConfig::default() }] {
        assert_eq!(counts(&none.select(&m, None, Seed(0)).unwrap()), [0, 0, 0]);
    }
    assert_eq!(counts(&SelectConfig::default().select(&m, None, Seed(0)).unwrap()), [48, 40, 20]);
}

/// Sparana D3-D5 with `layers`, which used the wrong numbers there: a share by layer, others skipped and frozen.
#[test]
fn shares_by_layer_skip_the_others_and_report_their_ratios() {
    let mut m = model();
    for pick in [Pick::Top, Pick::Bottom, Pick::Gaussian(Gaussian { std: 0.5, bottom: false })] {
        let amounts = BTreeMap::from([("dense2".to_owned(), 0.5), ("dense1".to_owned(), 0.125)]);
        let config = SelectConfig { pick, amounts, ..SelectConfig::default() };
        let selection = config.select(&m, None, Seed(0)).unwrap();
        assert_eq!(counts(&selection), [6, 10]);
        let ratios: Vec<_> = selection.table().rows.iter().map(|r| r[3].clone()).collect();
        assert_eq!(ratios, [0.125.into(), 0.5.into()]);
        selection.freeze_others(&mut m).unwrap();
        assert_eq!(param(&m, "spectral1.basis").trainable, Trainable::None);
        assert_eq!(param(&m, "spectral1.bias").trainable, Trainable::None);
        assert_eq!(param(&m, "dense2.bias").trainable, Trainable::All);
    }
}

/// Sparana D8, D3: subsets are numbered from 0, disjoint and complete, and subset 0 is one of them.
#[test]
fn every_weight_is_in_exactly_one_subset_and_subset_zero_works() {
    let m = model();
    let of = 3;
    let select = |index, amount| {
        SelectConfig { subset: Some(Subset { index, of }), amount, ..SelectConfig::default() }
            .select(&m, None, Seed(4))
            .unwrap()
    };
    let mut seen = [0; 48];
    for index in 0..of {
        select(index, None).layers[0].mask.iter().for_each(|k| seen[k] += 1);
    }
    assert_eq!(seen, [1; 48]);
    let whole = select(0, None);
    assert!((1..48).contains(&counts(&whole)[0]));
    let half = select(0, Some(0.5));
    assert!(half.layers[0].mask.iter().all(|k| whole.layers[0].mask.contains(k)));
    assert_eq!(counts(&half)[0], (0.5 * counts(&whole)[0] as f64).round_ties_even() as usize);
}

/// Sparana D6: all weights of a new class, with its bias, even where nothing else is selected.
#[test]
fn a_new_class_gets_all_its_weights() {
    let mut m = model();
    let config = SelectConfig {
        amounts: BTreeMap::from([("dense1".to_owned(), 0.1)]),
        new_classes: vec![1, 3],
        freeze_biases: true,
        ..SelectConfig::default()
    };
    let selection = config.select(&m, None, Seed(0)).unwrap();
    let last = &selection.layers[1];
    assert_eq!(last.mask.iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9, 15, 16, 17, 18, 19]);
    assert_eq!(last.biases.as_ref().unwrap().1.iter().collect::<Vec<_>>(), [1, 3]);
    selection.freeze_others(&mut m).unwrap();
    assert_eq!(param(&m, "dense1.bias").trainable, Trainable::None);
    let before = bits(&m);
    train(&mut m, &samples(40, 6, 4, 1), "sgd");
    let after = bits(&m);
    let moved: Vec<usize> = (0..4).filter(|&i| before["dense2.bias"][i] != after["dense2.bias"][i]).collect();
    assert_eq!(moved, [1, 3]);
    assert_eq!(before["dense1.bias"], after["dense1.bias"]);
}

/// Sparana F3: frozen is frozen, with penalties, momentum and decay, for every registered optimiser; biases too.
#[test]
fn frozen_entries_keep_their_bits_through_every_registered_optimiser() {
    let data = samples(40, 6, 4, 1);
    for entry in all::<OptimizerEntry>().unwrap() {
        for freeze_biases in [false, true] {
            let mut m = model();
            prune_entries(&mut m, "dense1.weight", &[0, 5]);
            let config = SelectConfig { freeze_biases, ..top(0.3) };
            let selection = config.select(&m, None, Seed(0)).unwrap();
            selection.freeze_others(&mut m).unwrap();
            let before = bits(&m);
            train(&mut m, &data, entry.name);
            let after = bits(&m);
            for layer in &selection.layers {
                let name = &m.params().get(layer.param).name;
                for k in 0..layer.mask.len() {
                    let moved = before[name][k] != after[name][k];
                    assert_eq!(moved, layer.mask.contains(k), "{}: {name}[{k}]", entry.name);
                }
            }
            for name in ["spectral1.lambda_in", "spectral1.lambda_out"] {
                assert_eq!(before[name], after[name], "{}: {name}", entry.name);
            }
            for name in ["dense1.bias", "spectral1.bias", "dense2.bias"] {
                assert_eq!(before[name] == after[name], freeze_biases, "{}: {name}", entry.name);
            }
        }
    }
}

/// Sparana D2, where selection after get_MAAV failed: every registered criterion can rank a selection.
#[test]
fn every_registered_criterion_selects() {
    let plain = build(&Network::new(6).spectral(8, Tanh).spectral(4, Identity), 2);
    let gated = spectral_layers::gates::dense(&build(&Network::new(6).dense(8, Tanh).dense(4, Identity), 2)).unwrap();
    let data = samples(40, 6, 4, 1);
    for entry in all::<PrunerEntry>().unwrap() {
        let needs_gain = (entry.build)((entry.defaults)()).unwrap().needs().layers == spectral_core::LayersWith::Gain;
        let m = if needs_gain { &gated } else { &plain };
        let layers = if needs_gain { vec!["dense1".to_owned()] } else { Vec::new() };
        let config = SelectConfig { criterion: ByName::new(entry.name), layers, ..top(0.25) };
        let selection = config.select(m, &data, Seed(0)).unwrap();
        assert_eq!(counts(&selection)[0], 12, "{}", entry.name);
    }
}

/// Sparana D9: `get_k_max` and `get_k_min` by signed value, and `get_maxs`, the largest weight out of every input.
#[test]
fn signed_extremes_and_the_largest_weight_of_every_input_are_selections() {
    let m = model();
    let w = values(&m, "dense1.weight");
    let pick = |name: &str, pick, count| {
        let criterion = ByName::new(name);
        let config = SelectConfig { criterion, pick, count: Some(count), ..SelectConfig::default() };
        config.select(&m, None, Seed(0)).unwrap().layers[0].mask.iter().collect::<Vec<_>>()
    };
    let largest = (0..48).max_by(|a, b| w[*a].total_cmp(&w[*b])).unwrap();
    let smallest = (0..48).min_by(|a, b| w[*a].total_cmp(&w[*b])).unwrap();
    assert_eq!((pick("value", Pick::Top, 1), pick("value", Pick::Bottom, 1)), (vec![largest], vec![smallest]));
    let of_input = |i: usize| (0..8).map(|o| o * 6 + i).max_by(|a, b| w[*a].abs().total_cmp(&w[*b].abs())).unwrap();
    let mut want: Vec<usize> = (0..6).map(of_input).collect();
    want.sort_unstable();
    assert_eq!(pick("outgoing_rank", Pick::Top, 6), want);
}

/// Sparana C14: masks of the weights that are not zero; the others then stay zero.
#[test]
fn weights_that_are_zero_become_masks_that_training_keeps() {
    let mut m = model();
    let mut w = values(&m, "dense1.weight");
    (0..48).step_by(3).for_each(|k| w[k] = 0.0);
    set(&mut m, "dense1.weight", &w);
    Prune::by("magnitude").weights().threshold(f64::MIN_POSITIVE).apply(&mut m, None).unwrap();
    assert_eq!(pruned(&m, "dense1.weight"), (0..48).step_by(3).collect::<Vec<_>>());
    train(&mut m, &samples(40, 6, 4, 1), "adam");
    assert!(values(&m, "dense1.weight").iter().enumerate().all(|(k, w)| (*w == 0.0) == (k % 3 == 0)));
}

#[test]
fn pruned_weights_are_no_candidates_and_what_could_train_comes_back() {
    let mut m = model();
    Prune::by("magnitude").weights().layers(&["dense1"]).amount(0.5).apply(&mut m, None).unwrap();
    let hash = m.content_hash().unwrap();
    let selection = SelectConfig { pick: Pick::Bottom, ..top(0.5) }.select(&m, None, Seed(0)).unwrap();
    assert_eq!(counts(&selection)[0], 12);
    assert!(selection.layers[0].mask.iter().all(|k| !pruned(&m, "dense1.weight").contains(&k)));
    let before: Vec<Trainable> = m.params().iter().map(|(_, p)| p.trainable.clone()).collect();
    selection.freeze_others(&mut m).unwrap().restore(&mut m).unwrap();
    assert_eq!(m.params().iter().map(|(_, p)| p.trainable.clone()).collect::<Vec<_>>(), before);
    assert_eq!(m.content_hash().unwrap(), hash);
    selection.prune_others(&mut m).unwrap();
    assert_eq!(param(&m, "dense1.weight").kept(), 12);
    assert_eq!(param(&m, "dense2.weight").kept(), 10);
}

#[test]
fn selections_that_make_no_sense_are_refused() {
    let m = model();
    let eigenvalue = ByName::new("eigenvalue");
    for (config, word) in [
        (top(1.5), "between 0 and 1"),
        (top(f64::NAN), "between 0 and 1"),
        (SelectConfig { count: Some(3), ..top(0.5) }, "exclude each other"),
        (SelectConfig { count: Some(41), ..SelectConfig::default() }, "cannot select 41 of the 40"),
        (SelectConfig { subset: Some(Subset { index: 2, of: 2 }), ..top(0.5) }, "subset 2 does not exist"),
        (SelectConfig { new_classes: vec![4], ..top(0.5) }, "class 4 does not exist"),
        (SelectConfig { layers: vec!["dense3".into()], ..top(0.5) }, "no layer `dense3`"),
        (SelectConfig { criterion: eigenvalue, ..top(0.5) }, "dense1, dense2"),
        (SelectConfig { criterion: ByName::new("taylor"), ..top(0.5) }, "--calibration"),
        (SelectConfig { pick: Pick::Gaussian(Gaussian { std: 0.0, bottom: false }), ..top(0.5) }, "must be above 0"),
    ] {
        let error = config.select(&m, None, Seed(0)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let other = build(&Network::new(7).dense(8, Tanh).spectral(5, Tanh).dense(4, Identity), 2);
    let selection = top(0.5).select(&other, None, Seed(0)).unwrap();
    let mut m = model();
    assert!(selection.freeze_others(&mut m).is_err());
    assert!(m.params().iter().all(|(_, p)| p.is_trainable() || p.name == "spectral1.lambda_in"));
    assert!(selection.prune_others(&mut m).is_err());
}
