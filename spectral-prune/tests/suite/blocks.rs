//! Blocks of weights, and N of M weights of a row, as what is cut.

use crate::criteria::{LAYERS, matrix, network, weights};
use crate::support::*;
use spectral_core::{Activation::*, Model, PrunerEntry, Role, registry};
use spectral_layers::Sparse;
use spectral_layers::{Network, gates};
use spectral_prune::{Granularity, Prune, PruneConfig, compact};
use spectral_sparse::{Policy, sparsify};

/// The entries of every block of a matrix, block by block.
fn blocks(model: &Model, name: &str, rows: usize, columns: usize) -> Vec<Vec<usize>> {
    let shape = param(model, name).full_shape();
    let (height, width) = (shape.rows(), shape.columns());
    let mut blocks = Vec::new();
    for top in (0..height).step_by(rows) {
        for left in (0..width).step_by(columns) {
            let inside = |r: usize| (left..(left + columns).min(width)).map(move |c| r * width + c);
            blocks.push((top..(top + rows).min(height)).flat_map(inside).collect());
        }
    }
    blocks
}

/// How many weights of each block are pruned, with how many it has.
fn pruned_in(model: &Model, name: &str, rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let gone = param(model, name).pruned();
    let count = |block: &Vec<usize>| block.iter().filter(|&&k| gone.is_some_and(|m| m.contains(k))).count();
    blocks(model, name, rows, columns).iter().map(|b| (count(b), b.len())).collect()
}

/// A network whose every weighted layer the criterion scores, apart from the last for `eigenvalue`. No weight is
/// protected from the criteria that look at signs.
fn scored_by(criterion: &str) -> Model {
    let dense = Network::new(7).dense(10, Relu).dense(9, Tanh);
    match criterion {
        "eigenvalue" => build(&Network::new(7).spectral(10, Relu).spectral(9, Tanh).dense(3, Identity), 5),
        "gain" => {
            let mut model = gates::dense(&build(&dense.dense(6, Relu).dense(3, Identity), 5)).unwrap();
            randomise(&mut model, 6);
            model
        }
        "negative" | "positive" => {
            let sign = if criterion == "negative" { -1.0 } else { 1.0 };
            let mut model = build(&dense.dense(3, Identity), 5);
            for name in ["dense1.weight", "dense2.weight", "dense3.weight"] {
                let one_sided: Vec<f64> = values(&model, name).iter().map(|w| sign * w.abs()).collect();
                set(&mut model, name, &one_sided);
            }
            model
        }
        _ => build(&dense.spectral(6, Relu).dense(3, Identity), 5),
    }
}

fn matrices(model: &Model) -> Vec<String> {
    let own = |r: Role| matches!(r, Role::Weight | Role::Basis);
    model.params().iter().filter(|(_, p)| own(p.role)).map(|(_, p)| p.name.clone()).collect()
}

#[test]
fn every_registered_criterion_cuts_blocks_and_patterns_that_stay_equal() {
    for entry in registry::all::<PrunerEntry>().unwrap() {
        let data = samples(40, 7, 3, 1);
        for (rows, columns) in [(4, 1), (1, 4), (2, 3), (100, 1)] {
            for prune in [Prune::by(entry.name).globally(), Prune::by(entry.name).per_layer()] {
                let mut model = scored_by(entry.name);
                let report = prune.blocks(rows, columns).amount(0.4).apply(&mut model, &data).unwrap();
                let asked = (0.4 * report.total as f64).ceil() as usize;
                let blocks = report.layers.len() * (rows * columns).min(10);
                assert!(report.removed <= asked + report.layers.len() && report.removed + blocks > asked);
                for name in matrices(&model) {
                    let whole = pruned_in(&model, &name, rows, columns);
                    assert!(whole.iter().all(|(gone, of)| *gone == 0 || gone == of), "{} {name}", entry.name);
                }
                let sparse = sparsify(&compact(&model).unwrap().model, &Policy::Always).unwrap();
                assert!(equal(&model, &sparse.model));
            }
        }
        for (n, m) in [(2, 4), (1, 3), (1, 16)] {
            let mut model = scored_by(entry.name);
            let report = Prune::by(entry.name).n_of_m(n, m).protect_last(false).apply(&mut model, &data).unwrap();
            let mut cut = 0;
            for name in matrices(&model).iter().filter(|name| !pruned(&model, name).is_empty()) {
                cut += 1;
                for (gone, of) in pruned_in(&model, name, 1, m) {
                    assert_eq!(gone, of.saturating_sub(n), "{} {name}", entry.name);
                }
            }
            assert!(cut >= 2 && report.removed + report.kept == report.total, "{}", entry.name);
            let sparse = sparsify(&model, &Policy::Always).unwrap();
            assert!(equal(&model, &sparse.model));
        }
    }
}

#[test]
fn blocks_score_the_mean_over_what_is_left_of_them() {
    for seed in 0..60 {
        for (rows, columns) in [(4, 1), (2, 2), (1, 3), (3, 5)] {
            let mut model = network(seed);
            for (k, layer) in LAYERS.iter().enumerate() {
                let entries = values(&model, &matrix(layer)).len();
                prune_entries(&mut model, &matrix(layer), &[k % entries, (7 * k + 3) % entries]);
            }
            // Block by block over all layers: the mean, and the entries that are left.
            let mut means = Vec::new();
            for layer in LAYERS {
                let (all, gone) = (weights(&model, layer).concat(), pruned(&model, &matrix(layer)));
                for mut block in blocks(&model, &matrix(layer), rows, columns) {
                    block.retain(|k| !gone.contains(k));
                    let mean = block.iter().map(|&k| all[k].abs()).sum::<f64>() / block.len() as f64;
                    means.extend((!block.is_empty()).then_some((mean, layer, block)));
                }
            }
            means.sort_by(|a, b| a.0.total_cmp(&b.0));
            let half = means.len() / 2;
            let cut = (means[half - 1].0 + means[half].0) / 2.0;
            let mut want: Vec<Vec<usize>> = LAYERS.iter().map(|l| pruned(&model, &matrix(l))).collect();
            for (_, layer, block) in &means[..half] {
                want[LAYERS.iter().position(|l| l == layer).unwrap()].extend(block);
            }
            want.iter_mut().for_each(|w| w.sort_unstable());
            Prune::by("magnitude").blocks(rows, columns).threshold(cut).min_keep(0).apply(&mut model, None).unwrap();
            let got: Vec<Vec<usize>> = LAYERS.iter().map(|l| pruned(&model, &matrix(l))).collect();
            assert_eq!(got, want, "seed {seed}: {rows}x{columns}");
        }
    }
}

#[test]
fn the_largest_of_every_few_stay_and_of_equal_ones_the_first() {
    let mut model = build(&Network::new(6).dense(2, Relu).dense(2, Identity), 1);
    set(&mut model, "dense1.weight", &[0.1, -4.0, 2.0, -3.0, 5.0, 6.0, 1.0, -1.0, 0.0, -0.0, 0.0, 1.0]);
    prune_entries(&mut model, "dense1.weight", &[1]);
    let report = Prune::by("magnitude").n_of_m(1, 4).layers(&["dense1"]).apply(&mut model, None).unwrap();
    assert_eq!(pruned(&model, "dense1.weight"), [0, 1, 2, 4, 7, 8, 9, 10]);
    assert_eq!((report.removed, report.kept, report.total), (7, 4, 12));
    let again = Prune::by("magnitude").n_of_m(1, 4).layers(&["dense1"]).apply(&mut model, None).unwrap();
    assert_eq!((again.removed, model.meta.history.len()), (0, 1));
    // All zeros are equal, whatever their sign.
    set(&mut model, "dense2.weight", &[-0.0, 0.0, 0.0, -0.0]);
    Prune::by("value").n_of_m(1, 2).layers(&["dense2"]).apply(&mut model, None).unwrap();
    assert_eq!(pruned(&model, "dense2.weight"), [1, 3]);
}

#[test]
fn blocks_with_protected_weights_stay() {
    let mut model = build(&Network::new(6).dense(8, Relu).dense(3, Identity), 2);
    let before = values(&model, "dense1.weight");
    let report = Prune::by("negative").blocks(2, 1).layers(&["dense1"]).threshold(1e9).apply(&mut model, None).unwrap();
    let mut want: Vec<usize> = blocks(&model, "dense1.weight", 2, 1)
        .into_iter()
        .filter(|b| b.iter().all(|&k| before[k] <= 0.0))
        .flatten()
        .collect();
    want.sort_unstable();
    assert!(!want.is_empty() && pruned(&model, "dense1.weight") == want && report.removed == want.len());
}

#[test]
fn the_last_layer_is_protected_where_every_layer_loses_its_share() {
    let network = || build(&Network::new(8).dense(12, Relu).dense(8, Relu).dense(4, Identity), 3);
    let by = || Prune::by("magnitude");
    for (prune, want) in [
        (by().blocks(4, 1).per_layer().amount(0.5), [48, 48, 0]),
        (by().blocks(4, 1).per_layer().amount(0.5).protect_last(false), [48, 48, 16]),
        (by().blocks(4, 1).amounts(&[("dense1", 0.25), ("dense3", 0.5)]), [24, 0, 16]),
        (by().n_of_m(2, 4), [48, 48, 0]),
        (by().n_of_m(2, 4).per_layer().protect_last(false), [48, 48, 16]),
        (by().n_of_m(1, 4).except(&["dense2"]).protect_last(false), [72, 0, 24]),
    ] {
        let report = prune.apply(&mut network(), None).unwrap();
        let gone: Vec<usize> = report.layers.iter().map(|l| l.weights_before - l.weights_after).collect();
        assert_eq!(gone, want, "{:?}", prune.config());
    }
}

#[test]
fn stored_weights_of_sparse_layers_are_what_is_left_of_blocks() {
    let mut model = build(&Network::new(6).layer_named("s", Sparse::new(9, Relu, 0.5)).dense(3, Identity), 6);
    let pattern = param(&model, "s.weight").pattern.clone().unwrap();
    let place: Vec<(usize, usize)> = pattern.iter().collect();
    Prune::by("magnitude").blocks(4, 1).layers(&["s"]).amount(0.75).apply(&mut model, None).unwrap();
    let gone = pruned(&model, "s.weight");
    assert!(gone.iter().all(|&k| (0..place.len()).all(|j| {
        let together = (place[j].0 / 4, place[j].1) == (place[k].0 / 4, place[k].1);
        !together || gone.contains(&j)
    })));
    assert!((9..=14).contains(&gone.len()), "{}", gone.len());
    Prune::by("magnitude").n_of_m(1, 3).layers(&["s"]).apply(&mut model, None).unwrap();
    let gone = pruned(&model, "s.weight");
    let mut left: Vec<_> =
        (0..place.len()).filter(|k| !gone.contains(k)).map(|k| (place[k].0, place[k].1 / 3)).collect();
    let all = left.len();
    left.dedup();
    assert_eq!(left.len(), all);
}

#[test]
fn options_that_make_no_sense_are_refused_and_change_nothing() {
    let by = || Prune::by("magnitude");
    let mut scheduled = PruneConfig { granularity: Granularity::NOfM { n: 2, m: 4 }, ..PruneConfig::new("magnitude") };
    scheduled.schedule = serde_json::from_value(serde_json::json!({ "iterative": { "steps": 2 } })).unwrap();
    for (prune, words) in [
        (by().blocks(0, 4).amount(0.5), &["`0x4`", "`4x1`"][..]),
        (by().n_of_m(4, 4), &["`4:4`", "`2:4`"]),
        (by().n_of_m(2, 4).amount(0.5), &["`2:4`", "leave out `amount`"]),
        (by().n_of_m(2, 4).amounts(&[("dense1", 0.5)]), &["`2:4`", "leave out"]),
        (by().n_of_m(2, 4).min_keep(9), &["`min_keep`"]),
        (Prune::from_config(scheduled), &["schedule"]),
        (Prune::by("positive").n_of_m(1, 8), &["`1:8`", "protects", "`dense1`"]),
        (by().blocks(4, 1), &["how much"]),
        (by().blocks(4, 1).amount(1.0), &["everything"]),
        (by().blocks(4, 1).layers(&["dense1"]).amount(0.9).min_keep(60), &["`min_keep`", "36"]),
    ] {
        let mut model = build(&Network::new(8).dense(12, Relu).dense(4, Identity), 3);
        let hash = model.content_hash().unwrap();
        let error = prune.apply(&mut model, None).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{words:?}: {error}");
        assert_eq!((model.content_hash().unwrap(), model.meta.history.len()), (hash, 0), "{error}");
    }
}
