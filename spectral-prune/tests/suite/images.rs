//! Networks over images: convolution, normalisation, gates, and the way back to rows of values.

use crate::support::*;
use spectral_core::{Activation, Activation::*, DType};
use spectral_layers::{
    Average, AvgPool, BatchNorm, Conv2d, Gate, Global, GlobalPool, LayerNorm, MaxPool, Network, Prelu, Slice, gates,
};
use spectral_prune::{Prune, compact};
use spectral_sparse::{Policy, sparsify};

fn conv(channels: usize, stride: usize, padding: usize, activation: Activation) -> Conv2d {
    Conv2d { stride: [stride; 2], padding: padding.into(), ..Conv2d::new(channels, 3, activation) }
}

/// Convolutions behind each other, with and without padding, through everything that goes between them.
fn images(dtype: DType, act: Activation, padding: usize) -> Network {
    Network::new(50)
        .dtype(dtype)
        .reshape(&[2, 5, 5])
        .layer(conv(6, 1, padding, act))
        .layer(conv(5, 1, 1, Identity))
        .batch_norm()
        .activation(act)
        .dropout(0.2)
        .flatten()
        .dense(7, act)
        .dense(3, Identity)
}

#[test]
fn channels_are_cut_through_convolutions_and_flatten() {
    for dtype in [DType::F32, DType::F64] {
        for act in [Relu, Sigmoid, Tanh] {
            for padding in [0, 1] {
                for keep_bias in [false, true] {
                    let mut model = built(&images(dtype, act, padding), 3);
                    let prune = Prune::by("magnitude").units().per_layer().amount(0.4);
                    let prune = if keep_bias { prune.keep_bias() } else { prune };
                    let report = prune.apply(&mut model, None).unwrap();
                    assert_eq!(report.removed, 2 + 2 + 3);
                    let small = compact(&model).unwrap().model;
                    assert!(equal(&model, &small));
                    let sparse = sparsify(&small, &Policy::Always).unwrap();
                    assert!(equal(&model, &sparse.model));
                    // Channels of the first convolution whose constant is not zero meet the padding of the second.
                    let zero = act != Sigmoid && !keep_bias;
                    assert!(!zero || small.widths()[1] == 4, "{dtype} {act:?} {padding}: {:?}", small.widths());
                    assert_eq!(small.widths()[2..], [3, 4, 3], "{dtype} {act:?} {padding} {keep_bias}");
                }
            }
        }
    }
}

#[test]
fn constants_fold_into_a_convolution_without_padding() {
    let network = Network::new(18).dtype(DType::F64).reshape(&[2, 3, 3]).layer(Conv2d::new(4, 1, Sigmoid));
    let network = network.layer(Conv2d { bias: false, ..conv(3, 1, 0, Tanh) }).flatten().dense(2, Identity);
    let mut model = built(&network, 4);
    Prune::by("magnitude").units().layers(&["conv2d1"]).count(2).apply(&mut model, None).unwrap();
    let small = compact(&model).unwrap();
    assert!(equal(&model, &small.model));
    assert_eq!((small.model.widths(), small.report.folded), (vec![18, 2, 3, 2], 3));
}

/// spectraltools D3, D4: one gain for each channel, whatever the width of the image.
#[test]
fn gated_channels_are_pruned_by_gain_and_folded_in() {
    let network = Network::new(50).dtype(DType::F64).reshape(&[2, 5, 5]).layer(conv(4, 2, 1, Relu)).flatten();
    let plain = built(&network.dense(6, Tanh).dense(3, Identity), 8);
    let mut model = gates::all(&plain).unwrap();
    assert!(equal(&plain, &model));
    assert_eq!(gates::all(&model).unwrap().content_hash().unwrap(), model.content_hash().unwrap());
    set(&mut model, "conv2d1_gate.gain", &[0.9, 0.1, -0.2, 1.3]);
    set(&mut model, "dense1_gate.gain", &[1.0, 0.3, -0.05, 0.7, 2.0, 0.6]);
    Prune::by("gain").units().count(3).apply(&mut model, None).unwrap();
    assert_eq!((pruned(&model, "conv2d1_gate.gain"), pruned(&model, "dense1_gate.gain")), (vec![1, 2], vec![2]));
    let small = compact(&model).unwrap().model;
    assert!(equal(&model, &small));
    assert_eq!(small.widths(), [50, 2, 5, 3]);
    assert!(small.graph().nodes().iter().all(|n| n.layer.kind() != "gate"));
}

/// spectraltools B7 defect: normalisation next to a layer that is pruned is cut with it, first and last layers
/// included, with dropout and activations between.
#[test]
fn normalisation_is_cut_with_the_layer_before_it() {
    for spectral in [false, true] {
        for keep_bias in [false, true] {
            let start = Network::new(4).dtype(DType::F64);
            let start = if spectral { start.spectral(6, Identity) } else { start.dense(6, Identity) };
            let network = start.batch_norm().activation(Sigmoid).dropout(0.3).dense(5, Tanh).batch_norm();
            let mut model = built(&network.dense(3, Identity).batch_norm(), 6);
            let prune = Prune::by("magnitude").units().per_layer().amount(0.4);
            let prune = if keep_bias { prune.keep_bias() } else { prune };
            prune.apply(&mut model, None).unwrap();
            let small = compact(&model).unwrap().model;
            assert!(equal(&model, &small));
            assert_eq!(small.widths(), [4, 4, 3, 3]);
            let kept = small.params().get(small.params().by_name("batch_norm1.variance").unwrap()).value().len();
            assert_eq!(kept, 4);
        }
    }
}

#[test]
fn normalised_branches_of_a_merge_are_cut_together() {
    let network = Network::new(4).dtype(DType::F64).dense(5, Tanh).batch_norm().mark("skip");
    let network = network.dense(5, Identity).layer(Gate::new(Relu)).mark("deep").add(&["skip", "deep"]);
    let mut model = built(&network.batch_norm().dense(2, Identity), 9);
    assert_eq!(Prune::by("magnitude").units().count(4).apply(&mut model, None).unwrap().removed, 4);
    let small = compact(&model).unwrap().model;
    assert!(equal(&model, &small));
    assert_eq!(small.widths(), [4, 3, 3, 2]);
}

/// Network slimming: the gains of normalisation are gates.
#[test]
fn gains_of_normalisation_prune_units() {
    let network = Network::new(4).dtype(DType::F64).dense(5, Identity).layer(BatchNorm::default()).activation(Relu);
    let mut model = built(&network.dense(2, Identity), 2);
    set(&mut model, "batch_norm1.gain", &[0.5, -0.1, 2.0, 0.01, 1.0]);
    Prune::by("gain").units().count(2).apply(&mut model, None).unwrap();
    for name in ["batch_norm1.gain", "batch_norm1.bias"] {
        assert_eq!(pruned(&model, name), [1, 3]);
    }
    assert!(pruned(&model, "batch_norm1.mean").is_empty() && pruned(&model, "batch_norm1.variance").is_empty());
    let small = compact(&model).unwrap().model;
    assert!(equal(&model, &small));
    assert_eq!(small.widths(), [4, 3, 2]);
    // It computes something else in training, so it is not folded in.
    assert_eq!(small.graph().nodes()[1].layer.kind(), "batch_norm");
}

#[test]
fn criteria_that_measure_inputs_refuse_images_clearly() {
    let mut model = built(&images(DType::F32, Relu, 1), 1);
    let data = samples(6, 50, 3, 1);
    let error = Prune::by("activation_weight").amount(0.2).apply(&mut model, &data).unwrap_err();
    assert!(error.to_string().contains("statistics need flat inputs"), "{error}");
    // Gradients there are.
    assert!(Prune::by("taylor").amount(0.2).apply(&mut model, &data).unwrap().removed > 0);
}

/// Pooling, learnt slopes and means of branches pass units on: channels that are pruned are cut through them, constants
/// of pruned channels stay what they were, masked and compact networks compute the same.
#[test]
fn channels_are_cut_through_pooling_slopes_and_means() {
    let network = |act, count_padding| {
        let pool = AvgPool { padding: 1.into(), stride: Some([2; 2]), count_padding, ..AvgPool::new(3) };
        Network::new(72)
            .dtype(DType::F64)
            .reshape(&[2, 6, 6])
            .layer(conv(6, 1, 1, act))
            .layer(Prelu::default())
            .mark("body")
            .layer(MaxPool { stride: Some([1; 2]), padding: 1.into(), ..MaxPool::new(3) })
            .mark("pooled")
            .merge(Average {}, &["body", "pooled"])
            .layer(pool)
            .layer(Conv2d { padding: 0.into(), ..conv(5, 1, 0, act) })
            .layer(GlobalPool { pooling: Global::Average })
            .dense(3, Identity)
    };
    for act in [Relu, Sigmoid] {
        for (count_padding, keep_bias) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut model = built(&network(act, count_padding), 6);
            let prune = Prune::by("magnitude").units().per_layer().amount(0.5);
            if keep_bias { prune.keep_bias() } else { prune }.apply(&mut model, None).unwrap();
            let small = compact(&model).unwrap().model;
            assert!(equal(&model, &small), "{act:?} {count_padding} {keep_bias}");
            // A constant that is not zero cannot leave where zeros of the padding count in its mean.
            let constant = act == Sigmoid || keep_bias;
            if !(constant && count_padding) {
                let slopes = small.params().get(small.params().by_name("prelu1.slope").unwrap()).value().len();
                assert_eq!(slopes, 3, "{act:?} {count_padding} {keep_bias}");
            }
        }
    }
}

/// A constant unit counts in the mean of a layer normalisation, groups have as many channels each, and a slice counts
/// units: nothing in front of them is cut, and what is pruned there changes nothing but values.
#[test]
fn nothing_is_cut_in_front_of_what_mixes_units() {
    let front = || Network::new(16).dtype(DType::F64).dense(6, Relu);
    let image = || Network::new(32).dtype(DType::F64).reshape(&[2, 4, 4]).layer(conv(4, 1, 1, Relu));
    let grouped = Conv2d { groups: 2, ..conv(4, 1, 0, Relu) };
    for network in [
        front().layer(LayerNorm::default()).dense(3, Identity),
        front().layer(Slice { from: 1, to: 5 }).dense(3, Identity),
        image().layer(grouped).flatten().dense(3, Identity),
    ] {
        let mut model = built(&network, 8);
        let first = model.graph().nodes().iter().position(|n| n.layer.op().word.weights().is_some()).unwrap();
        let name = model.graph().nodes()[first].name.clone();
        let refused = Prune::by("magnitude").units().layers(&[name.as_str()]).count(2).apply(&mut model, None);
        assert!(refused.is_err(), "{name}");
        // A unit without weights is a constant, and stays all the same.
        let id = model.graph().nodes()[first].params[0];
        let (params, backend) = model.params_mut();
        let (entries, units) = (params.get(id).value().len(), params.get(id).value().shape().rows());
        params.prune(backend, id, &spectral_core::Mask::from_fn(entries, |k| k < entries / units)).unwrap();
        let small = compact(&model).unwrap().model;
        assert!(equal(&model, &small), "{name}");
        assert_eq!(small.widths(), model.widths(), "{name}");
        let words: Vec<_> = model.graph().nodes().iter().filter_map(|n| n.layer.op().word.keeps_units()).collect();
        assert!(!words.is_empty(), "{name}");
    }
}
