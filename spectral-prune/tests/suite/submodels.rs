//! Cutting a smaller network out of a model, and putting it back.

use crate::support::*;
use spectral_core::registry::ByName;
use spectral_core::registry::all;
use spectral_core::{Activation::*, DType, Model, Plan, PrunerEntry, Samples, Seed, Session};
use spectral_layers::Network;
use spectral_prune::{Gaussian, Pick, SubModelConfig};
use spectral_train::TrainConfig;

fn config(units: &[usize]) -> SubModelConfig {
    SubModelConfig { units: units.to_vec(), ..SubModelConfig::default() }
}

/// Dense, masked and spectral layers with something element-wise in between, pruned here and there.
fn mixed(seed: u64) -> Model {
    let network = Network::new(6).dense(12, Relu).masked(10, Identity, 0.6).activation(Tanh).dropout(0.4);
    let mut m = build(&network.spectral(9, Sigmoid).dense(4, Identity), seed);
    prune_entries(&mut m, "spectral1.basis", &[0, 7, 31]);
    prune_entries(&mut m, "spectral1.bias", &[2]);
    m
}

/// A gate, which has a factor a unit, behind every dense layer.
fn gated() -> Model {
    let network = Network::new(6).dense(12, Relu).dense(10, Tanh).dense(9, Relu).dense(4, Identity);
    let mut m = spectral_layers::gates::dense(&build(&network, 3)).unwrap();
    randomise(&mut m, 4);
    m
}

fn outputs(model: &Model, data: &Samples) -> Vec<f64> {
    match model.dtype() {
        DType::F32 => {
            let y = Session::new(model, &Plan::default()).unwrap().run(data.inputs()).unwrap();
            y.iter().map(|v| f64::from(*v)).collect()
        }
        DType::F64 => {
            let x = data.inputs().mapv(f64::from);
            Session::new(model, &Plan::default()).unwrap().run(x.view()).unwrap().into_iter().collect()
        }
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Sparana C15, C18: extraction followed by reinsertion without training changes nothing, to the bit, by every
/// registered criterion.
#[test]
fn extraction_and_reinsertion_without_training_change_nothing() {
    let data = samples(60, 6, 4, 1);
    for entry in all::<PrunerEntry>().unwrap() {
        for (units, summary) in
            [(&[8, 7, 5][..], true), (&[3][..], true), (&[12, 10, 9][..], true), (&[4, 4][..], false)]
        {
            for pick in [Pick::Top, Pick::Gaussian(Gaussian { std: 0.3, bottom: false })] {
                let mut m = match entry.name {
                    "eigenvalue" => build(
                        &Network::new(6).spectral(12, Relu).spectral(10, Tanh).spectral(9, Relu).spectral(4, Identity),
                        3,
                    ),
                    "gain" => gated(),
                    _ => mixed(3),
                };
                let before = m.content_hash().unwrap();
                let criterion = ByName::new(entry.name);
                let config = SubModelConfig { criterion, pick, summary, units: units.to_vec() };
                let sub = config.extract(&m, &data, Seed(1)).unwrap();
                sub.reinsert(&mut m).unwrap();
                assert_eq!(m.content_hash().unwrap(), before, "{} {units:?}", entry.name);
            }
        }
    }
}

/// Sparana C15: the chosen units, then one that stands for the others; the outputs all stay.
#[test]
fn the_largest_units_stay_and_one_stands_for_the_others() {
    let m = mixed(3);
    for (units, summary, widths) in
        [(&[8, 7, 5][..], true, &[6, 9, 8, 6, 4][..]), (&[5], false, &[10, 5, 4]), (&[10, 2], true, &[12, 10, 3, 4])]
    {
        let sub = SubModelConfig { summary, ..config(units) }.extract(&m, None, Seed(1)).unwrap();
        assert_eq!(sub.model.widths(), widths);
        for (layer, units) in sub.layers.iter().zip(units) {
            assert_eq!((layer.kept.len(), layer.summary), (*units, summary && *units < layer.of));
        }
    }
    let w = values(&m, "dense1.weight");
    let best = |u: usize| w[u * 6..(u + 1) * 6].iter().map(|v| v.abs()).fold(0.0, f64::max);
    let sub = config(&[4, 10, 9]).extract(&m, None, Seed(1)).unwrap();
    let kept = &sub.layers[0].kept;
    let least = kept.iter().map(|&u| best(u)).fold(f64::MAX, f64::min);
    assert!((0..12).filter(|u| !kept.contains(u)).all(|u| best(u) <= least));
}

/// Sparana C15: with all units kept, or units that a summary stands for exactly, the function is the same.
#[test]
fn a_summary_of_equal_units_computes_the_same() {
    for spectral in [false, true] {
        let network = Network::new(3).dtype(DType::F64).dense(5, Relu);
        let network = if spectral { network.spectral(6, Tanh) } else { network.dense(6, Tanh) };
        let mut m = build(&network.dense(2, Identity), 4);
        // Units 1, 3 and 4 of the first layer are equal and small, so that they are left out.
        let mut w = values(&m, "dense1.weight");
        let mut b = values(&m, "dense1.bias");
        for unit in [1, 3, 4] {
            w[unit * 3..unit * 3 + 3].copy_from_slice(&[0.01, -0.02, 0.03]);
            b[unit] = 0.5;
        }
        set(&mut m, "dense1.weight", &w);
        set(&mut m, "dense1.bias", &b);
        let data = samples(40, 3, 2, 1);
        for calibration in [None, Some(&data)] {
            let sub = config(&[2, 6]).extract(&m, calibration, Seed(1)).unwrap();
            assert_eq!(sub.layers[0].kept, [0, 2]);
            let far = distance(&outputs(&m, &data), &outputs(&sub.model, &data));
            assert!(far < 1e-10, "spectral {spectral}: {far}");
        }
    }
}

/// Sparana C15, C17: the summary, fitted to activities, is nearer to the original than its unfitted sum, and that than
/// leaving the units out.
#[test]
fn a_fitted_summary_is_nearest_to_the_original() {
    let (mut none, mut plain, mut fitted) = (0.0, 0.0, 0.0);
    for seed in 0..10 {
        let m = build(&Network::new(6).dense(30, Sigmoid).spectral(20, Relu).dense(4, Identity), seed);
        let data = samples(200, 6, 4, seed);
        let want = outputs(&m, &data);
        let at = |summary, calibration: Option<&Samples>| {
            let sub = SubModelConfig { summary, ..config(&[15, 10]) }.extract(&m, calibration, Seed(1)).unwrap();
            distance(&want, &outputs(&sub.model, &data))
        };
        none += at(false, None);
        plain += at(true, None);
        fitted += at(true, Some(&data));
    }
    assert!(fitted < plain && plain < none, "{fitted} {plain} {none}");
}

/// Sparana C18 ("mind meld"): what was trained goes back to where it came from, and nothing else moves.
#[test]
fn what_a_sub_model_learnt_goes_back_to_its_units() {
    let mut m = mixed(3);
    let data = samples(60, 6, 4, 1);
    let mut sub = config(&[7, 5]).extract(&m, &data, Seed(1)).unwrap();
    let seen = sub.inputs(&m, &data).unwrap();
    assert_eq!((seen.features(), seen.len()), (12, 60));
    TrainConfig { epochs: 3, batch: 20, ..TrainConfig::default() }
        .build(Seed(1))
        .unwrap()
        .fit(&mut sub.model, &seen)
        .unwrap();
    let before = m.duplicate().unwrap();
    sub.reinsert(&mut m).unwrap();
    assert_eq!(values(&before, "dense1.weight"), values(&m, "dense1.weight"));
    assert_eq!(pruned(&before, "spectral1.basis"), pruned(&m, "spectral1.basis"));
    let (masked, spectral) = (&sub.layers[0].kept, &sub.layers[1].kept);
    let (old, new, own) =
        (values(&before, "spectral1.basis"), values(&m, "spectral1.basis"), values(&sub.model, "spectral1.basis"));
    for k in 0..90 {
        let at = (spectral.iter().position(|u| *u == k / 10), masked.iter().position(|u| *u == k % 10));
        match at {
            (Some(o), Some(i)) => assert_eq!(new[k], own[o * 8 + i]),
            _ => assert_eq!(new[k], old[k]),
        }
    }
    assert_ne!(old, new);
    assert_ne!(values(&before, "dense2.bias"), values(&m, "dense2.bias"));
}

/// The inputs of a sub-model are the activities in front of it, so that without cuts it computes the same.
#[test]
fn a_sub_model_of_all_units_computes_the_same_from_its_inputs() {
    for m in [mixed(3), gated()] {
        let data = samples(300, 6, 4, 1);
        let sub = config(&[9]).extract(&m, None, Seed(1)).unwrap();
        let seen = sub.inputs(&m, &data).unwrap();
        assert!(distance(&outputs(&m, &data), &outputs(&sub.model, &seen)) < 1e-4);
    }
}

/// Sparana D10: more units than there are is an error, not a loop or an index out of range.
#[test]
fn sub_models_that_cannot_be_cut_are_refused() {
    let m = mixed(3);
    let merged = build(
        &Network::new(6).dense(6, Relu).mark("a").dense(6, Relu).mark("b").add(&["a", "b"]).dense(4, Identity),
        1,
    );
    let sparse =
        build(&Network::new(6).layer_named("s", spectral_layers::Sparse::new(8, Relu, 0.5)).dense(3, Identity), 6);
    for (model, config, word) in [
        (&m, config(&[10]), "cannot keep 10 units of layer `spectral1`, which has 9"),
        (&m, config(&[1, 1, 1, 1]), "4 hidden layers cannot be cut: the network has 3"),
        (&m, config(&[]), "needs `units`"),
        (&m, config(&[3, 0]), "needs `units`"),
        (&m, SubModelConfig { criterion: ByName::new("taylor"), ..config(&[3]) }, "--calibration"),
        (&m, SubModelConfig { criterion: ByName::new("taylr"), ..config(&[3]) }, "did you mean `taylor`"),
        (&merged, config(&[3, 3]), "takes several inputs"),
        (&sparse, config(&[3]), "densify"),
    ] {
        let error = config.extract(model, None, Seed(1)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(
        config(&[3]).extract(&merged, None, Seed(1)).unwrap_err().to_string().matches("several inputs").count(),
        1
    );
    let sub = config(&[3]).extract(&m, None, Seed(1)).unwrap();
    let mut other = build(&Network::new(6).dense(3, Relu).dense(4, Identity), 1);
    let hash = other.content_hash().unwrap();
    assert!(sub.reinsert(&mut other).unwrap_err().to_string().contains("another shape"));
    assert_eq!(other.content_hash().unwrap(), hash);
}
