//! What a step does to parameters, reports and the history.

use crate::support::*;
use spectral_core::{Activation::*, Reference};
use spectral_layers::Network;
use spectral_prune::history::original_indices;
use spectral_prune::{LayerReport, PRUNE, Prune, collapsed, compact, explain, layers_between};

#[test]
fn a_pruned_unit_loses_its_row_its_eigenvalue_and_its_bias_and_nothing_else() {
    for keep_bias in [false, true] {
        let mut m = build(&Network::new(6).spectral(8, Sigmoid).spectral(5, Sigmoid).dense(2, Identity), 4);
        let before = values(&m, "spectral2.basis");
        let prune = Prune::by("eigenvalue").units().layers(&["spectral1"]).count(3);
        let prune = if keep_bias { prune.keep_bias() } else { prune };
        prune.apply(&mut m, None).unwrap();
        let gone = dead_units(&m, "spectral1");
        assert_eq!(gone.len(), 3);
        assert_eq!(pruned(&m, "spectral1.lambda_out"), gone);
        assert_eq!(pruned(&m, "spectral1.bias"), if keep_bias { vec![] } else { gone.clone() });
        assert!(pruned(&m, "spectral1.lambda_in").is_empty() && values(&m, "spectral2.basis") == before);
        let bias = values(&m, "spectral1.bias");
        assert!(gone.iter().all(|&u| (bias[u] == 0.0) != keep_bias));
    }
}

#[test]
fn reports_and_histories_name_units_by_their_first_index() {
    let mut m = build(&Network::new(6).spectral(12, Relu).dense(9, Relu).dense(2, Identity), 5);
    let start = m.content_hash().unwrap();
    let one = Prune::by("magnitude").units().layers(&["spectral1"]).count(5).apply(&mut m, None).unwrap();
    assert_eq!((one.step, one.parent), (1, start));
    let first = dead_units(&m, "spectral1");
    let mut small = compact(&m).unwrap().model;
    let kept: Vec<usize> = (0..12).filter(|u| !first.contains(u)).collect();
    assert_eq!(original_indices(&small, "spectral1").unwrap(), kept);
    let parent = small.content_hash().unwrap();
    let two = Prune::by("magnitude").units().layers(&["spectral1"]).count(2).apply(&mut small, None).unwrap();
    assert_eq!((two.step, two.total), (2, 7));
    let second: Vec<u32> = dead_units(&small, "spectral1").iter().map(|&u| kept[u] as u32).collect();
    let rows = explain(&small).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].parent, rows[1].parent), (start, parent));
    assert_eq!(rows[0].layers[0].units, first.iter().map(|&u| u as u32).collect::<Vec<_>>());
    assert_eq!((rows[1].layers[0].units.clone(), rows[1].layers[0].weights), (second.clone(), 12));
    let smaller = compact(&small).unwrap().model;
    let left: Vec<usize> = kept.into_iter().filter(|u| !second.contains(&(*u as u32))).collect();
    assert_eq!(original_indices(&smaller, "spectral1").unwrap(), left);
    assert!(original_indices(&smaller, "spectral").is_err());
    let actions: Vec<&str> = smaller.meta.history.iter().map(|e| e.action.as_str()).collect();
    assert_eq!(actions, [PRUNE, "compact", PRUNE, "compact"]);
}

#[test]
fn weights_are_pruned_out_of_every_layer_and_spare_biases() {
    let mut m = build(&Network::new(6).spectral(8, Relu).dense(5, Relu).masked(3, Identity, 0.5), 6);
    let report = Prune::by("magnitude").weights().amount(0.7).apply(&mut m, None).unwrap();
    assert_eq!(report.total, 48 + 40 + 15);
    assert_eq!(report.total - report.kept, 72);
    for name in ["spectral1.bias", "dense1.bias", "spectral1.lambda_out", "spectral1.lambda_in"] {
        assert!(pruned(&m, name).is_empty(), "{name}");
    }
    let masked = report.layers.iter().find(|l| l.name == "masked1").unwrap();
    assert!(masked.weights_before <= 8 && masked.weights_after <= masked.weights_before);
}

#[test]
fn masks_do_not_depend_on_the_element_type_that_holds_the_same_values() {
    let mut narrow = build(&Network::new(6).dense(8, Relu).dense(3, Identity), 7);
    let mut wide = narrow.to_backend(&Reference, spectral_core::DType::F64).unwrap();
    for m in [&mut narrow, &mut wide] {
        Prune::by("magnitude").weights().amount(0.6).apply(m, None).unwrap();
    }
    assert_eq!(pruned(&narrow, "dense1.weight"), pruned(&wide, "dense1.weight"));
}

#[test]
fn stored_entries_of_a_sparse_layer_are_the_pool_of_what_is_left() {
    let sparse = spectral_layers::Sparse::new(8, Relu, 0.5);
    let mut m = build(&Network::new(6).layer_named("s", sparse).dense(3, Identity), 6);
    let report = Prune::by("magnitude").layers(&["s"]).amount(0.75).apply(&mut m, None).unwrap();
    assert_eq!((report.total, report.removed, report.kept), (48, 12, 12));
    let w = values(&m, "s.weight");
    let gone = pruned(&m, "s.weight");
    let least = (0..24).filter(|k| !gone.contains(k)).map(|k| w[k].abs()).fold(f64::MAX, f64::min);
    assert!(gone.iter().all(|&k| w[k] == 0.0) && least > 0.0);
    let fewer = Prune::by("magnitude").layers(&["s"]).amount(0.5).apply(&mut m, None).unwrap_err().to_string();
    assert!(fewer.contains("36 are pruned already"), "{fewer}");
}

#[test]
fn a_layer_that_is_all_but_cut_through_is_named() {
    let mut m = build(&Network::new(6).dense(12, Relu).dense(9, Relu).dense(2, Identity), 5);
    let dense = m.duplicate().unwrap();
    let step = Prune::by("magnitude").units().layers(&["dense2"]).count(8).apply(&mut m, None).unwrap();
    let names = |layers: Vec<&LayerReport>| layers.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(step.collapsed()), ["dense2"]);
    let between = layers_between(&dense, &m);
    assert_eq!(between, step.layers);
    assert_eq!((between[1].units_before, between[1].units_after, between[1].weights_after), (9, 1, 12));
    // Evenly thinned, or as the layers themselves are, nothing collapses.
    let evenly = Prune::by("magnitude").amount(0.9).per_layer().apply(&mut dense.duplicate().unwrap(), None).unwrap();
    assert!(evenly.collapsed().is_empty(), "{evenly:?}");
    let layer = |name: &str, before, after| LayerReport {
        name: name.into(),
        units_before: 10,
        units_after: 5,
        weights_before: before,
        weights_after: after,
    };
    let layers = [layer("wide", 1000, 200), layer("thin", 1000, 9), layer("thick", 1000, 100)];
    assert_eq!(names(collapsed(&layers)), ["thin"]);
    assert!(collapsed(&[]).is_empty());
}

/// What a later step would refuse is known before a long training.
#[test]
fn what_would_stop_a_step_is_found_without_one() {
    let m = build(&Network::new(6).dense(12, Relu).dense(9, Relu).dense(2, Identity), 5);
    let before = m.content_hash().unwrap();
    let by = || Prune::by("magnitude");
    for (prune, words) in [
        (by().units().count(20), "`min_keep`"),
        (by().amount(1.0), "everything"),
        (by().layers(&["dens1"]).amount(0.5), "did you mean `dense1`"),
        (by().amounts(&[("dens1", 0.5)]), "did you mean `dense1`"),
        (Prune::by("eigenvalue").units().amount(0.5), "needs eigenvalues"),
        (Prune::by("taylor").amount(0.5), "measures on data"),
    ] {
        let error = prune.check_for(&m, None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    by().amount(0.9).check_for(&m, None).unwrap();
    // Training moves scores, so a cut by score may well be right when it comes.
    by().threshold(1e9).check_for(&m, None).unwrap();
    assert_eq!(m.content_hash().unwrap(), before);
}
