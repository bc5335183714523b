//! Compaction keeps the function, for every activation, merge and kind of dead unit.

use crate::support::*;
use spectral_core::{Activation, Activation::*, DType, Gradients, Mode, Model, Named, Seed, Workspace, prove};
use spectral_layers::Sparse;
use spectral_layers::{Dense, Network};
use spectral_prune::{Compacted, Prune, compact};

fn assert_equal(model: &Model, small: &Model, what: &str) {
    let named = |name, model| Named { name, model };
    let proof = &prove(named("masked", model), &[named("compact", small)], None, None).unwrap()[0];
    assert!(proof.equal, "{what}: {proof:?}");
}

fn shrink(model: &Model, what: &str) -> Compacted {
    let c = compact(model).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_equal(model, &c.model, what);
    c
}

#[test]
fn pruned_networks_of_every_shape_and_activation_compute_the_same() {
    let mut removed = 0;
    for dtype in [DType::F32, DType::F64] {
        for act in ACTIVATIONS {
            for shape in 0..SHAPES {
                for keep_bias in [false, true] {
                    let seed = (shape * 2 + usize::from(keep_bias)) as u64;
                    let what = format!("{dtype} {act:?} shape {shape} keep_bias {keep_bias}");
                    let mut m = build(&random_network(dtype, act, shape, seed), seed);
                    let prune = Prune::by("magnitude").units().percentile(40.0);
                    let prune = if keep_bias { prune.keep_bias() } else { prune };
                    let gone = prune.apply(&mut m, None).unwrap_or_else(|e| panic!("{what}: {e}")).removed;
                    let c = shrink(&m, &what);
                    assert!(c.report.removed >= gone, "{what}: {gone} {:?}", c.report);
                    assert_eq!(c.report.parameters_after, c.model.params().total());
                    removed += gone;
                    // Nothing is left to remove.
                    assert_eq!(compact(&c.model).unwrap().report.removed, 0, "{what}");
                }
            }
        }
    }
    assert!(removed > 300, "{removed}");
}

#[test]
fn weights_pruned_at_random_leave_dead_ends_of_every_kind() {
    for seed in 0..60 {
        let act = ACTIVATIONS[seed as usize % ACTIVATIONS.len()];
        let mut m = build(&random_network(DType::F64, act, seed as usize % SHAPES, seed), seed);
        Prune::by("random").weights().amount(0.85).seed(Seed(seed)).apply(&mut m, None).unwrap();
        shrink(&m, &format!("seed {seed}"));
    }
}

#[test]
fn a_layer_without_bias_gets_one_where_a_constant_needs_it() {
    let bare = |units, act| Dense { bias: false, ..Dense::new(units, act) };
    for (act, biases_after) in [(Sigmoid, 1), (Relu, 0)] {
        let network = Network::new(4).layer_named("a", bare(5, act)).layer_named("b", bare(3, Identity));
        let mut m = build(&network.dtype(DType::F64), 2);
        Prune::by("magnitude").units().count(2).apply(&mut m, None).unwrap();
        let c = shrink(&m, "bare");
        assert_eq!((biases(&c.model), c.report.removed), (biases_after, 2));
        assert_eq!(c.report.folded, if biases_after == 1 { 3 } else { 0 });
    }
}

#[test]
fn a_pruned_bias_comes_back_where_it_must_hold_a_constant() {
    let mut m = build(&Network::new(3).dense(4, Sigmoid).dense(3, Tanh).dense(2, Identity).dtype(DType::F64), 16);
    prune_entries(&mut m, "dense1.weight", &[3, 4, 5]);
    prune_entries(&mut m, "dense2.bias", &[0, 2]);
    prune_entries(&mut m, "dense2.weight", &[9]);
    let c = shrink(&m, "pruned bias");
    assert_eq!(c.model.widths(), [3, 3, 3, 2]);
    // Unit 2 takes nothing from the constant unit.
    assert_eq!(pruned(&c.model, "dense2.bias"), [2]);
}

#[test]
fn dead_ends_cascade_in_one_pass() {
    let network = Network::new(3).dense(4, Sigmoid).dense(4, Tanh).dense(4, Softplus).dense(2, Identity);
    let mut m = build(&network.dtype(DType::F64), 8);
    // Unit 1 of the third layer leads nowhere; unit 2 of the second leads to it alone; unit 3 of the first to that.
    prune_entries(&mut m, "dense4.weight", &[1, 5]);
    prune_entries(&mut m, "dense3.weight", &[2, 10, 14]);
    prune_entries(&mut m, "dense2.weight", &[3, 7, 15]);
    // Unit 0 of the first layer is constant, and unit 0 of the second takes from it alone.
    prune_entries(&mut m, "dense1.weight", &[0, 1, 2]);
    prune_entries(&mut m, "dense2.weight", &[1, 2, 3]);
    let c = shrink(&m, "cascade");
    assert_eq!(c.model.widths(), [3, 2, 2, 3, 2]);
    assert_eq!(c.model.meta.origins["dense1"], [1, 2]);
    assert_eq!(c.model.meta.origins["dense2"], [1, 3]);
    assert_eq!(c.model.meta.origins["dense3"], [0, 2, 3]);
}

#[test]
fn a_dead_loop_around_a_residual_connection_goes() {
    let network = Network::new(3)
        .dense(4, Tanh)
        .mark("skip")
        .dense(4, Tanh)
        .mark("body")
        .add(&["skip", "body"])
        .dense(2, Identity);
    let mut m = build(&network.dtype(DType::F64), 9);
    // Position 1 of the sum feeds itself through the body only.
    prune_entries(&mut m, "dense3.weight", &[1, 5]);
    prune_entries(&mut m, "dense2.weight", &[1, 9, 13]);
    let c = shrink(&m, "loop");
    assert_eq!(c.model.widths(), [3, 3, 3, 2]);
}

#[test]
fn constants_on_living_positions_stay() {
    let network = Network::new(3).dense(4, Sigmoid).mark("a").dense(4, Sigmoid).mark("b").add(&["a", "b"]);
    let mut m = build(&network.dense(2, Identity).dtype(DType::F64), 10);
    prune_entries(&mut m, "dense1.weight", &[3, 4, 5]);
    let c = shrink(&m, "half of a pair");
    assert_eq!((c.report.removed, c.model.widths()), (0, vec![3, 4, 4, 2]));
}

#[test]
fn a_zero_factor_kills_its_partner() {
    let network = Network::new(3).dense(4, Tanh).mark("a").from("input").dense(4, Relu).mark("b").multiply(&["a", "b"]);
    let mut m = build(&network.dense(2, Identity).dtype(DType::F64), 11);
    prune_entries(&mut m, "dense2.weight", &[3, 4, 5]);
    prune_entries(&mut m, "dense2.bias", &[1]);
    let c = shrink(&m, "product");
    assert_eq!(c.model.widths(), [3, 3, 3, 2]);
}

#[test]
fn every_layer_keeps_a_unit_even_if_all_are_dead() {
    for act in [Sigmoid, Relu, Softplus] {
        let mut m = build(&Network::new(3).dense(4, act).dense(5, act).dense(2, Identity).dtype(DType::F64), 12);
        let all: Vec<usize> = (0..12).collect();
        prune_entries(&mut m, "dense1.weight", &all);
        let c = shrink(&m, "constant network");
        assert_eq!(c.model.widths(), [3, 1, 1, 2]);
    }
    // Dead on the way out, not on the way in.
    let mut m = build(&Network::new(3).dense(4, Tanh).dense(2, Identity).dtype(DType::F64), 13);
    prune_entries(&mut m, "dense2.weight", &(0..8).collect::<Vec<_>>());
    assert_eq!(shrink(&m, "cut off").model.widths(), [3, 1, 2]);
}

#[test]
fn softmax_inputs_and_the_network_input_stay() {
    let network = Network::new(4).dense(5, Relu).dense(3, Softmax).dense(6, Tanh).dense(2, Softmax);
    let mut m = build(&network.dtype(DType::F64), 14);
    prune_entries(&mut m, "dense2.weight", &(0..5).collect::<Vec<_>>());
    prune_entries(&mut m, "dense1.weight", &[0, 4, 8, 12, 16]);
    let c = shrink(&m, "softmax");
    assert_eq!(c.model.widths()[..3], [4, 5, 3]);
    assert_eq!(param(&c.model, "dense1.weight").value().shape().columns(), 4);
}

#[test]
fn spectral_layers_stay_spectral_and_masks_come_along() {
    let network = Network::new(6).spectral(8, Tanh).spectral(7, Tanh).spectral(3, Identity);
    let mut m = build(&network.dtype(DType::F64), 15);
    Prune::by("magnitude").weights().amount(0.3).apply(&mut m, None).unwrap();
    Prune::by("eigenvalue").units().amount(0.6).apply(&mut m, None).unwrap();
    let c = shrink(&m, "spectral");
    let kinds: Vec<&str> = c.model.graph().nodes().iter().map(|n| n.layer.kind()).collect();
    assert_eq!(kinds, ["spectral"; 3]);
    let names = |m: &Model| m.graph().nodes().iter().map(|n| n.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&c.model), names(&m));
    let kept = spectral_prune::history::original_indices(&c.model, "spectral1").unwrap();
    let outer = values(&m, "spectral1.lambda_out");
    assert_eq!(values(&c.model, "spectral1.lambda_out"), kept.iter().map(|&u| outer[u]).collect::<Vec<_>>());
    let mask = pruned(&c.model, "spectral1.basis");
    let old = pruned(&m, "spectral1.basis");
    let want: Vec<usize> = (0..kept.len() * 6).filter(|k| old.contains(&(kept[k / 6] * 6 + k % 6))).collect();
    assert_eq!(mask, want);
    assert!(!mask.is_empty());
}

#[test]
fn a_compact_model_trains() {
    let mut m = build(&random_network(DType::F64, Tanh, 4, 3), 3);
    Prune::by("magnitude").units().percentile(40.0).apply(&mut m, None).unwrap();
    let small = shrink(&m, "training").model;
    let data = samples(16, small.graph().input().len(), 3, 1);
    let mut w = Workspace::new(&small, 16, Gradients::Parameters).unwrap();
    let rows: Vec<usize> = (0..16).collect();
    data.gather_inputs::<f64>(&rows, w.begin(&small, 16).unwrap().host_mut().unwrap());
    w.forward(&small, Mode::Train, 1).unwrap();
    let ones = w.last_output().unwrap().duplicate().unwrap();
    let last = small.graph().nodes().len() - 1;
    w.seed_gradient(&small, last, &ones).unwrap();
    w.backward(&small, last).unwrap();
    for (id, p) in small.params().iter().filter(|(_, p)| p.is_trainable()) {
        let gradient = w.param_grad(id).unwrap_or_else(|| panic!("{} has no gradient", p.name));
        assert_eq!(gradient.shape(), p.value().shape());
    }
}

#[test]
fn an_untouched_network_stays_bit_for_bit() {
    for act in [Activation::Relu, Activation::Gelu] {
        let m = build(&random_network(DType::F32, act, 4, 5), 5);
        let c = compact(&m).unwrap();
        assert_eq!(c.report.removed, 0);
        assert_eq!(c.model.content_hash().unwrap(), m.content_hash().unwrap());
        assert_eq!(c.model.meta.history.len(), 1);
    }
}

/// Weights stored on a pattern are cut to the pattern of what is left, and f32 kernels agree within the tolerance.
#[test]
fn sparse_weights_on_the_cpu_backend_are_cut_with_their_pattern() {
    let cpu = spectral_cpu::Cpu::new().unwrap();
    for (k, act) in ACTIVATIONS.into_iter().enumerate() {
        for dtype in [DType::F32, DType::F64] {
            let network = Network::new(9)
                .dtype(dtype)
                .layer_named("a", Sparse::new(14, act, 0.25))
                .mark("a_end")
                .layer_named("b", Sparse::new(14, act, 0.1))
                .mark("b_end")
                .add(&["a_end", "b_end"])
                .layer_named("c", Sparse::new(10, act, 0.15))
                .layer_named("d", Sparse::new(4, Identity, 0.5));
            let mut m = network.build(&cpu, Seed(k as u64)).unwrap();
            randomise(&mut m, k as u64);
            Prune::by("magnitude").units().percentile(30.0).apply(&mut m, None).unwrap();
            Prune::by("magnitude").weights().layers(&["c"]).percentile(90.0).apply(&mut m, None).unwrap();
            let c = shrink(&m, &format!("{act:?} {dtype}"));
            assert!(c.report.removed > 0, "{act:?}: {:?}", c.report);
            let stored = |m: &Model| param(m, "c.weight").pattern.as_ref().unwrap().nonzeros();
            assert!(stored(&c.model) <= stored(&m));
            assert_eq!(compact(&c.model).unwrap().report.removed, 0);
        }
    }
}

#[test]
fn f32_kernels_agree_for_every_shape_and_activation() {
    let cpu = spectral_cpu::Cpu::new().unwrap();
    for act in ACTIVATIONS {
        for shape in 0..SHAPES {
            let mut m = build(&random_network(DType::F32, act, shape, 7), 7).to_backend(&cpu, DType::F32).unwrap();
            Prune::by("magnitude").units().percentile(40.0).keep_bias().apply(&mut m, None).unwrap();
            shrink(&m, &format!("{act:?} shape {shape}"));
        }
    }
}
