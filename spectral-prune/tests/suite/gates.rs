//! Gates: put behind layers, pruned by their size, multiplied into the layers before them.

use crate::support::*;
use spectral_core::{Activation::*, DType, Model};
use spectral_layers::{Network, gates};
use spectral_prune::{Prune, compact};

/// Two gated layers with gains `1 / 10, 2 / 10, ...` that no two units share.
fn gated(dtype: DType) -> Model {
    let network = Network::new(4).dtype(dtype).dense(6, Tanh).dropout(0.2).dense(4, Sigmoid).dense(3, Identity);
    let mut model = gates::dense(&build(&network, 5)).unwrap();
    set(&mut model, "dense1_gate.gain", &[0.3, -0.1, 0.9, 0.7, -0.5, 1.0]);
    set(&mut model, "dense2_gate.gain", &[-0.2, 0.4, 0.6, -0.8]);
    set(&mut model, "dense3_gate.gain", &[0.05, 0.05, 0.05]);
    model
}

/// spectraltools D5: one global ranking by the size of the gain, numbers rounded half to even. The network's outputs
/// are not in the pool.
#[test]
fn gain_prunes_the_smallest_gates_of_all_layers() {
    for (share, gone1, gone2) in
        [(0.25, vec![1], vec![0]), (0.35, vec![0, 1], vec![0, 1]), (0.55, vec![0, 1, 4], vec![0, 1, 2])]
    {
        let mut model = gated(DType::F32);
        let report = Prune::by("gain").units().globally().amount(share).apply(&mut model, None).unwrap();
        assert_eq!(report.removed, gone1.len() + gone2.len(), "{share}");
        assert_eq!((dead_units(&model, "dense1"), dead_units(&model, "dense2")), (gone1.clone(), gone2.clone()));
        assert_eq!((pruned(&model, "dense1_gate.gain"), pruned(&model, "dense2_gate.gain")), (gone1, gone2));
    }
}

/// spectraltools D5 defects: a share is a share, never a number of units or a percentage, and a second call with the
/// same share changes nothing.
#[test]
fn a_share_is_neither_a_number_nor_a_percentage_and_repeats() {
    let mut model = gated(DType::F64);
    let prune = |share: f64, model: &mut Model| Prune::by("gain").units().amount(share).apply(model, None);
    assert_eq!(prune(0.5, &mut model).unwrap().removed, 5);
    assert_eq!(prune(0.5, &mut model).unwrap().removed, 0);
    // Half of the remaining half, which is what a second call of the original means.
    assert_eq!(prune(0.75, &mut model).unwrap().removed, 3);
    assert!(prune(1.0, &mut gated(DType::F64)).is_err());
    assert!(prune(25.0, &mut gated(DType::F64)).unwrap_err().to_string().contains("between 0 and 1"));
    assert!(prune(-0.1, &mut gated(DType::F64)).is_err());
}

/// spectraltools D5: a model without gates is a clear error.
#[test]
fn gain_refuses_networks_without_gates() {
    let mut model = build(&Network::new(4).dense(5, Relu).dense(2, Identity), 1);
    let error = Prune::by("gain").units().amount(0.2).apply(&mut model, None).unwrap_err();
    assert!(error.to_string().contains("needs a gate"), "{error}");
}

#[test]
fn pruned_gates_take_their_units_with_them_when_compacted() {
    for dtype in [DType::F32, DType::F64] {
        for keep_bias in [false, true] {
            let mut model = gated(dtype);
            let prune = Prune::by("gain").units().count(5);
            let prune = if keep_bias { prune.keep_bias() } else { prune };
            prune.apply(&mut model, None).unwrap();
            let small = compact(&model).unwrap().model;
            assert!(equal(&model, &small), "{dtype} {keep_bias}");
            assert_eq!(small.widths(), [4, 3, 2, 3]);
            assert_eq!(small.meta.origins["dense1"], [2, 3, 5]);
            // No gate is left, and none of the arithmetic either.
            let kinds: Vec<_> = small.graph().nodes().iter().map(|n| n.layer.kind()).collect();
            assert_eq!(kinds, ["dense", "dropout", "dense", "dense"]);
            assert_eq!(small.graph().nodes()[0].name, "dense1");
        }
    }
}

#[test]
fn a_gain_of_zero_is_a_dead_unit_whatever_feeds_it() {
    let mut model = gated(DType::F64);
    set(&mut model, "dense1_gate.gain", &[0.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
    let small = compact(&model).unwrap().model;
    assert!(equal(&model, &small));
    assert_eq!(small.widths(), [4, 4, 4, 3]);
}

#[test]
fn a_gate_behind_a_merge_or_a_branch_stays_and_is_cut() {
    let network = Network::new(4).dtype(DType::F64).dense(5, Tanh).mark("left").from("input").dense(5, Identity);
    let network = network.mark("right").add(&["left", "right"]).layer(spectral_layers::Gate::new(Relu));
    let network = network.dense(2, Identity);
    let mut model = build(&network, 3);
    set(&mut model, "gate1.gain", &[0.5, 0.0, 1.5, 0.0, -1.0]);
    let small = compact(&model).unwrap().model;
    assert!(equal(&model, &small));
    assert_eq!(small.widths(), [4, 3, 3, 2]);
    assert_eq!(values(&small, "gate1.gain"), [0.5, 1.5, -1.0]);
}

#[test]
fn spectral_and_masked_layers_take_their_gates_in() {
    let network = Network::new(4).dtype(DType::F64).layer(spectral_layers::Spectral::new(5, Identity));
    let network = network.layer(spectral_layers::Gate::new(Tanh)).masked(4, Identity, 0.6);
    let network = network.layer(spectral_layers::Gate::new(Relu)).dense(2, Identity);
    let mut model = build(&network, 3);
    Prune::by("gain").units().count(3).apply(&mut model, None).unwrap();
    let small = compact(&model).unwrap().model;
    assert!(equal(&model, &small));
    assert_eq!(small.graph().nodes().len(), 3);
}
