//! Budgets, scopes, choice of layers, and what is refused.

use crate::support::*;
use spectral_core::{Activation::*, Model};
use spectral_layers::Network;
use spectral_prune::{Error, Prune};

fn model() -> Model {
    build(&Network::new(10).spectral(30, Relu).spectral(10, Relu).dense(4, Identity), 3)
}

#[test]
fn amounts_are_hit_to_the_unit_in_every_scope() {
    for (amount, want) in [(0.0, 0), (0.5, 20), (0.8, 32), (0.33, 13), (0.95, 38)] {
        let report = Prune::by("eigenvalue").units().globally().amount(amount).apply(&mut model(), None).unwrap();
        assert_eq!((report.removed, report.kept, report.total), (want, 40 - want, 40), "{amount}");
    }
    let mut m = model();
    Prune::by("eigenvalue").units().per_layer().amount(0.8).apply(&mut m, None).unwrap();
    assert_eq!([dead_units(&m, "spectral1").len(), dead_units(&m, "spectral2").len()], [24, 8]);
    let mut m = model();
    let report = Prune::by("magnitude").weights().per_layer().amount(0.9).apply(&mut m, None).unwrap();
    let kept: Vec<usize> = report.layers.iter().map(|l| l.weights_after).collect();
    assert_eq!(kept, [30, 30, 40]);
}

fn weights_left(prune: Prune) -> Vec<usize> {
    let report = prune.apply(&mut model(), None).unwrap();
    report.layers.iter().map(|l| l.weights_after).collect()
}

/// Sparana C9: the last layer is protected by default, an option prunes it too.
#[test]
fn the_last_layer_is_protected_where_every_layer_loses_its_share() {
    let by = || Prune::by("random").weights().amount(0.5);
    for (prune, want) in [
        (by().per_layer(), [150, 150, 40]),
        (by().per_layer().protect_last(false), [150, 150, 20]),
        (by().per_layer().layers(&["dense1"]), [300, 300, 20]),
        (by().per_layer().layers(&["dense1"]).protect_last(true), [300, 300, 20]),
    ] {
        assert_eq!(weights_left(prune), want);
    }
    assert!(weights_left(by().globally())[2] < 40);
    assert_eq!(weights_left(by().globally().protect_last(true))[2], 40);
    let mut only = build(&Network::new(10).dense(4, Identity), 3);
    assert_eq!(Prune::by("magnitude").per_layer().amount(0.5).apply(&mut only, None).unwrap().removed, 20);
}

/// Sparana C10: a target for the total sparsity of each layer, others skipped; again and further.
#[test]
fn amounts_by_layer_are_totals_and_skip_the_other_layers() {
    let mut m = model();
    let by = |amounts: &[(&str, f64)]| Prune::by("magnitude").weights().amounts(amounts);
    let report = by(&[("spectral1", 0.9), ("dense1", 0.25)]).apply(&mut m, None).unwrap();
    let left = |r: &spectral_prune::PruneReport| r.layers.iter().map(|l| l.weights_after).collect::<Vec<_>>();
    assert_eq!((left(&report), report.total, report.removed), (vec![30, 300, 30], 340, 280));
    let report = by(&[("spectral1", 0.95), ("spectral2", 0.5), ("dense1", 0.25)]).apply(&mut m, None).unwrap();
    assert_eq!(left(&report), [15, 150, 30]);
}

/// Sparana C10, where a target below the current sparsity pruned almost everything.
#[test]
fn a_target_below_the_current_sparsity_prunes_nothing() {
    let mut m = model();
    Prune::by("magnitude").weights().amounts(&[("dense1", 0.75)]).apply(&mut m, None).unwrap();
    let before = m.content_hash().unwrap();
    let report = Prune::by("magnitude").weights().amounts(&[("dense1", 0.2)]).apply(&mut m, None).unwrap();
    assert_eq!((report.removed, report.kept), (0, 10));
    assert_eq!(m.content_hash().unwrap(), before);
}

#[test]
fn amounts_by_layer_that_make_no_sense_are_refused() {
    for (prune, word) in [
        (Prune::by("magnitude").amounts(&[("dense1", 1.5)]), "between 0 and 1"),
        (Prune::by("magnitude").amounts(&[("dense1", 0.5)]).amount(0.5), "excludes"),
        (Prune::by("magnitude").amounts(&[("dense1", 0.5)]).layers(&["dense1"]), "leave out"),
        (Prune::by("magnitude").amounts(&[("dense", 0.5)]), "did you mean `dense1`"),
        (Prune::by("magnitude").amounts(&[("dense1", 1.0)]), "that would prune everything"),
    ] {
        let mut m = model();
        let hash = m.content_hash().unwrap();
        let error = prune.apply(&mut m, None).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert_eq!(m.content_hash().unwrap(), hash);
    }
}

#[test]
fn the_same_amount_again_prunes_nothing_and_leaves_no_entry() {
    for prune in [
        Prune::by("magnitude").weights(),
        Prune::by("eigenvalue").units(),
        Prune::by("random").units(),
        Prune::by("magnitude").blocks(4, 3),
    ] {
        for prune in [prune.clone().amount(0.5), prune.clone().percentile(50.0), prune.count(7)] {
            let mut m = model();
            prune.apply(&mut m, None).unwrap();
            let hash = m.content_hash().unwrap();
            assert_eq!(prune.apply(&mut m, None).unwrap().removed, 0, "{prune:?}");
            assert_eq!((m.content_hash().unwrap(), m.meta.history.len()), (hash, 1));
        }
    }
}

#[test]
fn rounds_of_rising_amounts_reach_the_last() {
    let mut m = model();
    let table = serde_json::json!({ "criterion": "eigenvalue", "granularity": "unit", "amount": 0.8,
        "schedule": { "iterative": { "steps": 3 } } });
    let config: spectral_prune::PruneConfig = serde_json::from_value(table).unwrap();
    let removed: Vec<usize> = config.rounds().unwrap().iter().map(|p| p.apply(&mut m, None).unwrap().removed).collect();
    assert_eq!(removed.iter().sum::<usize>(), 32);
    assert_eq!(removed, [17, 9, 6]);
    let error = Prune::by("eigenvalue").units().amount(0.5).apply(&mut m, None).unwrap_err();
    assert!(matches!(error, Error::Infeasible { closest: 32, asked: 20, .. }), "{error}");
}

#[test]
fn thresholds_keep_what_is_equal() {
    let mut m = model();
    let mut lambda = values(&m, "spectral2.lambda_out");
    lambda[..3].copy_from_slice(&[0.25, -0.25, 0.125]);
    set(&mut m, "spectral2.lambda_out", &lambda);
    let want: Vec<usize> = (0..10).filter(|&u| lambda[u].abs() < 0.25).collect();
    Prune::by("eigenvalue").units().layers(&["spectral2"]).threshold(0.25).apply(&mut m, None).unwrap();
    assert_eq!(dead_units(&m, "spectral2"), want);
    assert!(want.contains(&2) && !want.contains(&0) && !want.contains(&1));
}

#[test]
fn every_layer_keeps_its_least_number() {
    let mut m = model();
    set(&mut m, "spectral2.lambda_out", &[1e-6; 10]);
    Prune::by("eigenvalue").units().amount(0.5).min_keep(3).apply(&mut m, None).unwrap();
    assert_eq!(dead_units(&m, "spectral2"), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(dead_units(&m, "spectral1").len(), 13);
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let base = || Prune::by("magnitude");
    for (prune, words) in [
        (base().units().amount(1.0), &["everything", "38"][..]),
        (base().units().count(39), &["38", "min_keep"]),
        (base().weights().threshold(1e9), &["everything"]),
        (base().units().per_layer().amount(0.9).min_keep(5), &["`spectral1`", "25", "min_keep"]),
        (base().units().layers(&["dense1"]).amount(0.5), &["dense1", "outputs"]),
        (base().layers(&["spectrl1"]).amount(0.5), &["spectrl1", "did you mean `spectral1`"]),
        (base().except(&["spectral9"]).amount(0.5), &["spectral9"]),
        (base().except(&["spectral1", "spectral2", "dense1"]).amount(0.5), &["no layer is left"]),
        (base().amount(1.2), &["between 0 and 1"]),
        (base().amount(f64::NAN), &["between 0 and 1"]),
        (base().percentile(-1.0), &["between 0 and 100"]),
        (base(), &["how much"]),
        (base().amount(0.1).count(2), &["exclude"]),
        (base().amount(0.1).parameters(serde_json::json!(3)), &["object"]),
        (base().amount(0.1).parameters(serde_json::json!({ "exponent": -1.0 })), &["exponent"]),
        (Prune::by("magnitudes").amount(0.1), &["did you mean `magnitude`", "eigenvalue"]),
        (Prune::by("taylor").amount(0.1), &["--calibration"]),
    ] {
        let mut m = model();
        let hash = m.content_hash().unwrap();
        let error = prune.apply(&mut m, None).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{words:?}: {error}");
        assert_eq!((m.content_hash().unwrap(), m.meta.history.len()), (hash, 0), "{error}");
    }
}

#[test]
fn chosen_layers_are_the_pool() {
    let mut m = model();
    let report = Prune::by("magnitude").units().except(&["spectral1"]).amount(0.5).apply(&mut m, None).unwrap();
    assert_eq!((report.removed, report.total), (5, 10));
    assert!(dead_units(&m, "spectral1").is_empty() && dead_units(&m, "dense1").is_empty());
}
