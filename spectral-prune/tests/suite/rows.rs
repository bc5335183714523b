//! Rows of the parity list that other tests only touch.

use crate::support::*;
use spectral_core::registry::ByName;
use spectral_core::{Activation::*, Evaluate, Model, Seed};
use spectral_layers::Network;
use spectral_prune::{Pick, Prune, SelectConfig, SubnetworkConfig};
use spectral_train::Evaluator;

fn model() -> Model {
    build(&Network::new(6).dense(8, Relu).dense(4, Identity), 3)
}

/// spectraltools C3: pruning works on the model it is given; a duplicate is another model.
#[test]
fn pruning_is_in_place_and_leaves_duplicates_alone() {
    let mut m = build(&Network::new(5).spectral(20, Relu).dense(3, Identity), 3);
    let (copy, before) = (m.duplicate().unwrap(), m.content_hash().unwrap());
    Prune::by("eigenvalue").units().percentile(50.0).apply(&mut m, None).unwrap();
    assert_eq!(dead_units(&m, "spectral1").len(), 10);
    assert_eq!((copy.content_hash().unwrap(), dead_units(&copy, "spectral1")), (before, vec![]));
    let mut other = copy.duplicate().unwrap();
    Prune::by("eigenvalue").units().percentile(50.0).apply(&mut other, None).unwrap();
    assert_eq!(other.content_hash().unwrap(), m.content_hash().unwrap());
    assert_eq!(copy.content_hash().unwrap(), before);
}

/// Sparana C1: there, nothing was pruned unless statistics had been gathered first.
#[test]
fn a_fresh_model_is_pruned_at_once() {
    let mut m = model();
    assert_eq!(Prune::by("magnitude").amount(0.5).apply(&mut m, None).unwrap().removed, 40);
}

/// Sparana C8: a stub there. Every weight has the same chance, another seed takes others.
#[test]
fn random_takes_its_share_of_every_part_of_a_matrix() {
    let gone = |seed: u64| {
        let mut m = build(&Network::new(100).dense(100, Relu).dense(4, Identity), 3);
        Prune::by("random").layers(&["dense1"]).seed(Seed(seed)).amount(0.5).apply(&mut m, None).unwrap();
        pruned(&m, "dense1.weight")
    };
    let (one, other) = (gone(1), gone(2));
    assert_eq!((one.len(), other.len()), (5000, 5000));
    for quarter in 0..4 {
        let share = one.iter().filter(|&&k| k / 2500 == quarter).count();
        assert!((1150..1350).contains(&share), "{share} of 2500");
    }
    let both = one.iter().filter(|k| other.binary_search(k).is_ok()).count();
    assert!((2350..2650).contains(&both), "{both} are taken by both");
}

/// Sparana D9: the largest and smallest, signed and by size, and the weights of one sign. There, none asked for was
/// all.
#[test]
fn extremes_are_selected_signed_and_by_size() {
    let m = model();
    let w = values(&m, "dense1.weight");
    let select = |criterion: &str, pick, count| {
        let (criterion, layers) = (ByName::new(criterion), vec!["dense1".into()]);
        let config = SelectConfig { criterion, pick, count: Some(count), layers, ..SelectConfig::default() };
        config.select(&m, None, Seed(0)).unwrap().layers[0].mask.iter().collect::<Vec<_>>()
    };
    let first = |count: usize, order: &dyn Fn(f64, f64) -> std::cmp::Ordering| {
        let mut all: Vec<usize> = (0..w.len()).collect();
        all.sort_by(|&a, &b| order(w[a], w[b]));
        all.truncate(count);
        all.sort_unstable();
        all
    };
    for count in [0, 1, 7, 48] {
        assert_eq!(select("value", Pick::Top, count), first(count, &|a, b| b.total_cmp(&a)));
        assert_eq!(select("value", Pick::Bottom, count), first(count, &|a, b| a.total_cmp(&b)));
        assert_eq!(select("magnitude", Pick::Top, count), first(count, &|a, b| b.abs().total_cmp(&a.abs())));
        assert_eq!(select("magnitude", Pick::Bottom, count), first(count, &|a, b| a.abs().total_cmp(&b.abs())));
    }
    let mut m = model();
    Prune::by("value").threshold(0.0).apply(&mut m, None).unwrap();
    let negative: Vec<usize> = (0..w.len()).filter(|&k| w[k] < 0.0).collect();
    assert_eq!(pruned(&m, "dense1.weight"), negative);
}

/// Sparana F8: the whole network is the sub-network of share 1, and its accuracy that of the network; that of a smaller
/// one is the accuracy of the pruned copy.
#[test]
fn the_sub_network_of_share_one_is_the_network() {
    let (m, data) = (model(), samples(80, 6, 4, 1));
    let config = SubnetworkConfig { draws: 10, batch: 40, ..SubnetworkConfig::default() };
    let scores = config.search(&m, &data, Seed(2)).unwrap();
    let all = scores.best(&m, 1.0).unwrap();
    assert!(all.layers.iter().all(|l| l.mask.count() == l.mask.len()));
    let accuracy = |m: &Model| Evaluator::default().evaluate(m, &data).unwrap();
    let mut copy = m.duplicate().unwrap();
    let half = scores.best(&m, 0.5).unwrap();
    for (layer, name) in half.layers.iter().zip(["dense1.weight", "dense2.weight"]) {
        let outside: Vec<usize> = layer.mask.complement().iter().collect();
        prune_entries(&mut copy, name, &outside);
    }
    let mut by_hand = m.duplicate().unwrap();
    for (layer, name) in half.layers.iter().zip(["dense1.weight", "dense2.weight"]) {
        let w: Vec<f64> =
            values(&m, name).iter().enumerate().map(|(k, w)| w * f64::from(u8::from(layer.mask.contains(k)))).collect();
        set(&mut by_hand, name, &w);
    }
    assert_eq!(accuracy(&copy), accuracy(&by_hand));
    assert_ne!(accuracy(&copy).loss, accuracy(&m).loss);
}
