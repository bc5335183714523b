//! Layers through public interfaces: parameter counts, spectral identities, configurations, what training draws.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use ndarray::Array2;
use spectral_core::registry::all;
use spectral_core::{
    Change, Constraint, DType, Gradients, Init, Layer, LayerEntry, Mode, Model, Param, Penalty, Plan, Reference, Role,
    Seed, Session, Shape, Trainable, Units, Word, Workspace,
};
use spectral_layers::prelude::*;
use spectral_layers::{ActivationLayer, Conv2d, Factors, Multiply, WeightConstraints, spectral};

/// Entries that training moves, by role.
fn trainable(model: &Model, roles: &[Role]) -> usize {
    let moves = |p: &Param| match &p.trainable {
        Trainable::All => p.value().len(),
        Trainable::None => 0,
        Trainable::Only(mask) => mask.count(),
    };
    model.params().iter().filter(|(_, p)| roles.contains(&p.role)).map(|(_, p)| moves(p)).sum()
}

fn spectral_layer(units: usize, activation: Activation, trainable: Factors<bool>) -> Spectral {
    let around_zero = Init::Uniform { low: -0.5, high: 0.5 };
    let init = Factors { lambda_in: around_zero, lambda_out: around_zero, ..Default::default() };
    Spectral { trainable, init, bias: false, ..Spectral::new(units, activation) }
}

/// results.md 2.1: (784+2000)+(2000+200)+(200+10) = 5,194 eigenvalues of 784-2000-200-10.
#[test]
fn published_parameter_counts() {
    let eigenvalues = Factors { basis: false, lambda_in: true, lambda_out: true, bias: false };
    let model = Network::new(784)
        .layer(spectral_layer(2000, Tanh, eigenvalues))
        .layer(spectral_layer(200, Tanh, eigenvalues))
        .layer(spectral_layer(10, Identity, eigenvalues))
        .build(&Reference, Seed(1))
        .unwrap();
    assert_eq!(trainable(&model, &Role::ALL), 5_194);

    // 784-500-200-10 with the eigenvalues of the first layer's outputs and all of two layers with one eigenvalue
    // vector each: 500 + (500*200+200) + (200*10+10) = 102,710.
    let outputs_only = Factors { basis: false, lambda_in: false, lambda_out: true, bias: false };
    let full = Factors { basis: true, ..outputs_only };
    let model = Network::new(784)
        .layer(spectral_layer(500, Tanh, outputs_only))
        .layer(spectral_layer(200, Tanh, full))
        .layer(spectral_layer(10, Identity, full))
        .build(&Reference, Seed(1))
        .unwrap();
    assert_eq!(trainable(&model, &Role::ALL), 102_710);
}

/// spectraltools A10: every combination of trainable parts, with and without bias, is legal and counted.
#[test]
fn every_combination_of_trainable_parts_counts_its_entries() {
    let (inputs, units) = (7, 5);
    for bits in 0..16 {
        let on = |bit: u32| bits >> bit & 1 == 1;
        let layer = Spectral {
            trainable: Factors { basis: on(0), lambda_in: on(1), lambda_out: on(2), bias: true },
            bias: on(3),
            ..Spectral::new(units, Relu)
        };
        let model = Network::new(inputs).layer(layer).build(&Reference, Seed(bits)).unwrap();
        let part = |bit, n| usize::from(on(bit)) * n;
        let want = part(0, inputs * units) + part(1, inputs) + part(2, units) + part(3, units);
        assert_eq!(trainable(&model, &Role::ALL), want, "combination {bits:04b}");
        let all = inputs * units + inputs + units + part(3, units);
        assert_eq!(model.params().total(), all, "combination {bits:04b}");
    }
}

/// spectraltools A6: with the initial values of version 1.x the weight is `-basis`.
#[test]
fn a_spectral_layer_starts_as_minus_its_basis() {
    let model = Network::new(30).spectral(20, Relu).dtype(DType::F64).build(&Reference, Seed(3)).unwrap();
    let w = spectral::weight(&model, 0).unwrap();
    let basis = spectral::basis_matrix(&model, 0).unwrap().slice(ndarray::s![30.., ..30]).to_owned();
    assert_eq!(w, -&basis);
    let limit = (6.0f64 / 50.0).sqrt();
    let largest = basis.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(largest <= limit && largest > 0.95 * limit, "{largest} against {limit}");
    let eigenvalues = spectral::eigenvalues(&model, 0).unwrap();
    assert_eq!((eigenvalues.lambda_in.values, eigenvalues.lambda_in.trains), (vec![0.0; 30], false));
    assert_eq!((eigenvalues.lambda_out.values, eigenvalues.lambda_out.trains), (vec![1.0; 20], true));
}

/// spectraltools A12, results.md 2.6: `Phi^-1 = 2I - Phi`, and the lower-left block of
/// `Phi diag(l_in, l_out) Phi^-1` is the weight.
#[test]
fn eigenvectors_diagonalise_the_adjacency_matrix() {
    let all = Factors { basis: true, lambda_in: true, lambda_out: true, bias: true };
    let (inputs, units) = (6, 4);
    let net = Network::new(inputs).layer(spectral_layer(units, Identity, all)).dtype(DType::F64);
    let model = net.build(&Reference, Seed(9)).unwrap();
    let phi = spectral::basis_matrix(&model, 0).unwrap();
    let n = inputs + units;
    let inverse = 2.0 * Array2::<f64>::eye(n) - &phi;
    let off = (phi.dot(&inverse) - Array2::<f64>::eye(n)).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(off < 1e-15, "{off}");

    let values = spectral::eigenvalues(&model, 0).unwrap();
    let diagonal: Vec<f64> = values.lambda_in.values.iter().chain(&values.lambda_out.values).copied().collect();
    let adjacency = phi.dot(&Array2::from_diag(&ndarray::Array1::from(diagonal))).dot(&inverse);
    let block = adjacency.slice(ndarray::s![inputs.., ..inputs]);
    let w = spectral::weight(&model, 0).unwrap();
    let off = (&block - &w).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(off < 1e-15 && w.iter().any(|v| v.abs() > 0.05), "{off}");
    assert_eq!(adjacency.slice(ndarray::s![..inputs, inputs..]), Array2::<f64>::zeros((inputs, units)));
}

/// A11: the direct-space weight honours masks, where spectraltools' ignored them.
#[test]
fn the_direct_space_weight_honours_masks() {
    let mut model = Network::new(3).spectral(2, Relu).dtype(DType::F64).build(&Reference, Seed(4)).unwrap();
    let (params, backend) = model.params_mut();
    let (basis, lambda_out) = (params.by_name("spectral1.basis").unwrap(), params.by_name("spectral1.lambda_out"));
    params.prune(backend, basis, &spectral_core::Mask::from_fn(6, |i| i == 1)).unwrap();
    params.prune(backend, lambda_out.unwrap(), &spectral_core::Mask::from_fn(2, |i| i == 1)).unwrap();
    let w = spectral::weight(&model, 0).unwrap();
    assert!(w[(0, 0)] != 0.0 && w[(0, 1)] == 0.0 && w.row(1).iter().all(|v| *v == 0.0), "{w}");
}

#[test]
fn views_name_the_node_that_has_no_eigenvalues() {
    let model = Network::new(3).dense(2, Relu).build(&Reference, Seed(4)).unwrap();
    assert!(spectral::weight(&model, 0).unwrap_err().to_string().contains("`dense1`"));
    assert!(spectral::eigenvalues(&model, 7).unwrap_err().to_string().contains("there are 1 nodes"));
}

/// What a file stores of a layer builds the same layer again.
#[test]
fn every_kind_reads_back_its_own_configuration() {
    let entries = all::<LayerEntry>().unwrap();
    let kinds: Vec<&str> = entries.iter().map(|e| e.name).collect();
    for kind in ["activation", "add", "concat", "dense", "drop_connect", "dropout", "masked", "multiply", "spectral"] {
        assert!(kinds.contains(&kind), "{kind} is not registered: {kinds:?}");
    }
    for entry in entries {
        let (layer, inputs) = (entry.example)();
        let config = layer.config().unwrap();
        let text = config.to_string();
        let again = (entry.build)(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((layer.kind(), again.kind()), (entry.name, entry.name));
        assert_eq!(again.config().unwrap(), config, "{}", entry.name);
        assert_eq!(format!("{again:?}"), format!("{layer:?}"), "{}", entry.name);
        assert_eq!(again.output_shape(&inputs).unwrap(), layer.output_shape(&inputs).unwrap());
        let mut stray = config;
        stray.as_object_mut().unwrap().insert("stray".into(), 1.into());
        assert!((entry.build)(stray).is_err(), "{} ignores unknown fields", entry.name);
    }
}

#[test]
fn penalties_reach_the_arena_by_role() {
    let penalty = |l2| Penalty { l1: 0.0, l2 };
    let layer = Spectral {
        penalties: Factors {
            basis: penalty(1e-3),
            lambda_in: penalty(2e-3),
            lambda_out: penalty(3e-3),
            bias: penalty(4e-3),
        },
        ..Spectral::new(3, Relu)
    };
    let model = Network::new(4).layer(layer).build(&Reference, Seed(0)).unwrap();
    let found: Vec<(Role, f64)> = model.params().iter().map(|(_, p)| (p.role, p.penalty.l2)).collect();
    let want = [(Role::Basis, 1e-3), (Role::EigenvalueIn, 2e-3), (Role::EigenvalueOut, 3e-3), (Role::Bias, 4e-3)];
    assert_eq!(found, want);
}

#[test]
fn layers_cut_and_grow_a_bias() {
    let layers: Vec<std::sync::Arc<dyn spectral_core::Layer>> = vec![
        std::sync::Arc::new(Dense { bias: false, ..Dense::new(5, Relu) }),
        std::sync::Arc::new(Spectral { bias: false, ..Spectral::new(5, Relu) }),
        std::sync::Arc::new(Masked { density: 0.5, dense: Dense { bias: false, ..Dense::new(5, Relu) } }),
        std::sync::Arc::new(spectral_layers::DropConnect {
            rate: 0.5,
            dense: Dense { bias: false, ..Dense::new(5, Relu) },
        }),
    ];
    let inputs = [Shape::vector(3)];
    for layer in layers {
        let with = layer.with(Change::Bias).unwrap();
        assert!(with.with(Change::Bias).is_none(), "{} has a bias already", layer.kind());
        let (before, after) = (layer.params(&inputs).unwrap(), with.params(&inputs).unwrap());
        assert_eq!(after.len(), before.len() + 1);
        assert_eq!(after.last().unwrap().role, Role::Bias);
        assert_eq!(layer.with(Change::Units(2)).unwrap().output_shape(&inputs).unwrap(), Shape::vector(2));
        assert_eq!(layer.op().units(), Units::Own);
    }
}

/// Inference runs softmax and products of many inputs, on batches of different sizes.
#[test]
fn sessions_run_products_of_three_and_softmax() {
    let model = Network::new(3)
        .dense(4, Tanh)
        .mark("a")
        .from("input")
        .dense(4, Sigmoid)
        .mark("b")
        .from("input")
        .spectral(4, Elu { alpha: 1.0 })
        .multiply(&["a", "b", "spectral1"])
        .softmax()
        .dtype(DType::F64)
        .build(&Reference, Seed(2))
        .unwrap();
    assert!(model.graph().nodes()[3].layer.op().word == Word::Multiply);
    let mut session = Session::new(&model, &Plan::default()).unwrap();
    let x = Array2::from_shape_fn((5, 3), |(b, f)| (b as f64 - 2.0) * 0.4 + f as f64 * 0.3);
    let whole = session.run(x.view()).unwrap();
    assert!(whole.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-15));
    for b in 0..5 {
        assert_eq!(session.run(x.slice(ndarray::s![b..b + 1, ..])).unwrap().row(0), whole.row(b));
    }
}

/// The buffers after a forward pass over the inputs `x`, `[features, batch]`.
fn passed(model: &Model, mode: Mode, key: u64, x: &[f64]) -> Workspace {
    let batch = x.len() / model.graph().input().len();
    let mut ws = Workspace::new(model, batch, Gradients::ParametersAndInput).unwrap();
    model.backend().write(x, ws.begin(model, batch).unwrap()).unwrap();
    ws.forward(model, mode, key).unwrap();
    ws
}

/// Sparana B1, A1: nothing is scaled there, and one rate overwrites that of every layer.
#[test]
fn dropout_keeps_the_mean_in_training_and_sleeps_at_inference() {
    let model = Network::new(500).dropout(0.2).dropout(0.5).dtype(DType::F64).build(&Reference, Seed(1)).unwrap();
    let x = vec![1.0; 500 * 40];
    let ws = passed(&model, Mode::Train, 7, &x);
    for (node, rate) in [(0, 0.2), (1, 0.6)] {
        let y = ws.output(node).host::<f64>().unwrap();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let dropped = y.iter().filter(|v| **v == 0.0).count() as f64 / y.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (dropped - rate).abs() < 0.02, "{node}: mean {mean}, {dropped} dropped");
        assert!(y.iter().all(|v| *v == 0.0 || (v - 1.0 / (1.0 - rate)).abs() < 1e-12));
    }
    let asleep = passed(&model, Mode::Infer, 7, &x);
    assert_eq!(asleep.output(1).host::<f64>().unwrap(), x);
}

/// Sparana B2: the gradient of dropped weights is not masked there, and they move.
#[test]
fn dropped_connections_get_no_gradient_and_kept_ones_that_of_what_was_used() {
    let net = Network::new(6).drop_connect(5, Identity, 0.5).dtype(DType::F64);
    let model = net.build(&Reference, Seed(2)).unwrap();
    let weight = model.params().by_name("drop_connect1.weight").unwrap();
    let values = model.params().get(weight).value().host::<f64>().unwrap();
    // One sample a feature: the outputs are the weights that were used.
    let eye: Vec<f64> = Array2::<f64>::eye(6).into_iter().collect();
    let mut ws = passed(&model, Mode::Train, 3, &eye);
    let used = ws.output(0).host::<f64>().unwrap().to_vec();
    let dropped = used.iter().filter(|w| **w == 0.0).count();
    assert!(dropped > 5 && dropped < 25, "{dropped} of 30 dropped");
    assert!(used.iter().zip(values).all(|(u, w)| *u == 0.0 || (u - 2.0 * w).abs() < 1e-15));
    let ones = vec![1.0; 30];
    let mut dy = model.backend().zeros(Shape::matrix(5, 6), DType::F64).unwrap();
    model.backend().write(&ones, &mut dy).unwrap();
    ws.seed_gradient(&model, 0, &dy).unwrap();
    ws.backward(&model, 0).unwrap();
    let gradient = ws.param_grad(weight).unwrap().host::<f64>().unwrap();
    for (g, u) in gradient.iter().zip(&used) {
        assert_eq!(*g, if *u == 0.0 { 0.0 } else { 2.0 });
    }
    let inputs = ws.input_grad().unwrap().host::<f64>().unwrap();
    for (i, row) in inputs.chunks(6).enumerate() {
        let column: f64 = (0..5).map(|o| used[o * 6 + i]).sum();
        assert!(row.iter().all(|d| (d - column).abs() < 1e-12));
    }
}

/// Sparana B3: without a shift the exponentials overflow there.
#[test]
fn softmax_of_large_inputs_is_finite_forward_and_backward() {
    let model = Network::new(3).softmax().dtype(DType::F64).build(&Reference, Seed(1)).unwrap();
    let mut ws = passed(&model, Mode::Train, 0, &[1e4, -1e300, 1e4, 0.0, -1e4, 1e300]);
    let y = ws.output(0).host::<f64>().unwrap().to_vec();
    assert_eq!(y, [0.5, 0.0, 0.5, 0.0, 0.0, 1.0]);
    let mut dy = model.backend().zeros(Shape::matrix(3, 2), DType::F64).unwrap();
    model.backend().write(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut dy).unwrap();
    ws.seed_gradient(&model, 0, &dy).unwrap();
    ws.backward(&model, 0).unwrap();
    assert_eq!(ws.input_grad().unwrap().host::<f64>().unwrap(), [-0.5, 0.0, 0.5, 0.0, 0.0, 0.0]);
}

#[test]
fn softmax_mixes_units_and_says_so() {
    assert_eq!(ActivationLayer { activation: Softmax }.op().units(), Units::Fixed);
    assert_eq!(ActivationLayer { activation: Relu }.op().units(), Units::Same);
    let refused = Dense::new(3, Softmax).output_shape(&[Shape::vector(2)]).unwrap_err();
    assert!(refused.to_string().contains("put a softmax activation layer after it"), "{refused}");
    assert!(Multiply {}.output_shape(&[Shape::vector(2)]).is_err());
}

/// spectraltools A1: constraints reach the arena by role, and one value may serve both vectors of eigenvalues.
#[test]
fn constraints_reach_the_arena_by_role() {
    let constraints = Factors { basis: Constraint::MaxNorm { max: 2.0 }, ..Factors::<Constraint>::default() };
    let constraints = constraints.with_eigenvalues(Constraint::NonNeg);
    let model = Network::new(4).layer(Spectral { constraints, ..Spectral::new(3, Relu) });
    let model = model.build(&Reference, Seed(0)).unwrap();
    let found: Vec<Constraint> = model.params().iter().map(|(_, p)| p.constraint()).collect();
    let want = [Constraint::MaxNorm { max: 2.0 }, Constraint::NonNeg, Constraint::NonNeg, Constraint::None];
    assert_eq!(found, want);
    // They are the layer's, so every copy has them.
    let copy = model.to_backend(&Reference, spectral_core::DType::F64).unwrap();
    assert_eq!(copy.params().iter().map(|(_, p)| p.constraint()).collect::<Vec<_>>(), want);
    let bad = Dense {
        constraints: WeightConstraints { weight: Constraint::MaxNorm { max: -1.0 }, ..WeightConstraints::default() },
        ..Dense::new(3, Relu)
    };
    let error = Network::new(4).layer(bad).build(&Reference, Seed(0)).unwrap_err().to_string();
    assert!(error.contains("must be a finite number above 0"), "{error}");
}

/// spectraltools A3: the mask of a new layer is that of pruned units, and gone from a layer that is cut.
#[test]
fn units_can_be_masked_from_the_start() {
    let layer = Spectral { mask: vec![true, false, true], ..Spectral::new(3, Relu) };
    let model = Network::new(2).layer(layer.clone()).build(&Reference, Seed(1)).unwrap();
    let pruned = |name: &str| {
        let param = model.params().get(model.params().by_name(name).unwrap());
        let values = param.value().host::<f32>().unwrap();
        let gone: Vec<usize> = param.pruned().map(|m| m.iter().collect()).unwrap_or_default();
        assert!(gone.iter().all(|&i| values[i].to_bits() == 0));
        gone
    };
    assert_eq!(pruned("spectral1.basis"), [2, 3]);
    assert_eq!(pruned("spectral1.lambda_out"), [1]);
    assert_eq!(pruned("spectral1.bias"), [1]);
    assert!(pruned("spectral1.lambda_in").is_empty());
    let cut = spectral_core::Layer::with(&layer, Change::Units(2)).unwrap();
    assert!(cut.params(&[Shape::vector(2)]).unwrap().iter().all(|p| p.pruned.is_none()));
    let error = Network::new(2).layer(Spectral { mask: vec![true], ..layer }).build(&Reference, Seed(1)).unwrap_err();
    assert!(error.to_string().contains("one for each"), "{error}");
}

/// spectraltools A5, A7: the original multiplies along the last axis of anything; here samples with several axes are
/// images, and a weighted layer says how to get them into its form.
#[test]
fn samples_with_several_axes_are_refused_with_the_way_out() {
    for network in
        [Network::new(12).reshape(&[3, 2, 2]).spectral(3, Relu), Network::new(12).reshape(&[6, 2]).dense(3, Relu)]
    {
        let error = network.build(&Reference, Seed(1)).unwrap_err().to_string();
        assert!(error.contains("takes samples with one axis") && error.contains("`flatten`"), "{error}");
    }
    let model = Network::new(12).reshape(&[3, 2, 2]).flatten().spectral(3, Relu).build(&Reference, Seed(1)).unwrap();
    assert_eq!(model.graph().output(), Shape::vector(3));
}

#[test]
fn recipes_describe_convolutions() {
    let layers: Vec<LayerSpec> = serde_json::from_value(serde_json::json!([
        { "kind": "reshape", "shape": [1, 8, 8] },
        { "kind": "conv2d", "channels": 8, "kernel": 3, "padding": 1, "activation": "relu" },
        { "kind": "batch_norm", "momentum": 0.9 },
        { "kind": "conv2d", "channels": 4, "kernel": 3, "stride": 2, "constraints": { "weight": { "max_norm": { "max": 2.0 } } } },
        { "kind": "gate", "activation": "relu" },
        { "kind": "flatten" },
        { "kind": "dense", "units": 10, "output_penalty": { "l2": 0.0 }, "init": "lecun_normal" },
    ]))
    .unwrap();
    let model = Network::from_specs(64, &layers).build(&Reference, Seed(1)).unwrap();
    let shapes: Vec<Shape> = (0..7).map(|i| model.graph().shape(spectral_core::Source::Node(i))).collect();
    let image = |extents: &[usize]| Shape::new(extents).unwrap();
    assert_eq!(shapes[1], image(&[8, 8, 8]));
    assert_eq!((shapes[3], shapes[5], shapes[6]), (image(&[4, 3, 3]), Shape::vector(36), Shape::vector(10)));
    for (layer, word) in [
        (serde_json::json!({ "kind": "conv2d", "channels": 8, "kernel": 9 }), "does not fit"),
        (serde_json::json!({ "kind": "conv2d", "channels": 8, "kernel": 3, "stride": 0 }), "at least 1"),
        (serde_json::json!({ "kind": "conv2d", "channels": 8, "kernal": 3 }), "did you mean `kernel`"),
        (serde_json::json!({ "kind": "batch_norm", "epsilon": 0.0 }), "must be a finite number above 0"),
        (serde_json::json!({ "kind": "reshape", "shape": [2, 2] }), "has 4 values"),
        (serde_json::json!({ "kind": "dense", "units": 3 }), "`flatten`"),
    ] {
        let specs = [layers[0].clone(), serde_json::from_value(layer).unwrap()];
        let error = Network::from_specs(64, &specs).build(&Reference, Seed(1)).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
    let error = Network::new(64).conv2d(3, 3, Relu).build(&Reference, Seed(1)).unwrap_err().to_string();
    assert!(error.contains("put a `reshape` layer before it"), "{error}");
}

#[test]
fn windows_are_numbers_lists_or_words() {
    use spectral_layers::Padding;
    let read = |value: serde_json::Value| serde_json::from_value::<Conv2d>(value).map_err(|e| e.to_string());
    let plain = Conv2d::new(2, 3, Identity);
    for (padding, sides, written) in [
        (serde_json::json!(2), Padding::Sides([2; 4]), serde_json::json!(2)),
        (serde_json::json!([1, 2]), Padding::Sides([1, 1, 2, 2]), serde_json::json!([1, 2])),
        (serde_json::json!([0, 1, 2, 3]), Padding::Sides([0, 1, 2, 3]), serde_json::json!([0, 1, 2, 3])),
        (serde_json::json!("valid"), Padding::Sides([0; 4]), serde_json::json!(0)),
        (serde_json::json!("same"), Padding::Same, serde_json::json!("same")),
    ] {
        let layer = read(serde_json::json!({ "channels": 2, "kernel": 3, "padding": padding })).unwrap();
        assert_eq!(layer, Conv2d { padding: sides, ..plain });
        assert_eq!(layer.config().unwrap()["padding"], written);
    }
    let long =
        serde_json::json!({ "channels": 4, "kernel": [1, 5], "stride": [2, 1], "dilation": [1, 2], "groups": 2 });
    let layer = read(long).unwrap();
    let want = Conv2d { channels: 4, kernel: [1, 5], stride: [2, 1], dilation: [1, 2], groups: 2, ..plain };
    assert_eq!(layer, want);
    let config = layer.config().unwrap();
    assert_eq!((&config["kernel"], &config["groups"]), (&serde_json::json!([1, 5]), &serde_json::json!(2)));
    for (value, word) in [
        (serde_json::json!({ "channels": 2, "kernel": [1, 2, 3] }), "a number or a list of two"),
        (serde_json::json!({ "channels": 2, "kernel": 3, "padding": "full" }), "[top, bottom, left, right]"),
        (serde_json::json!({ "channels": 2, "kernel": 3, "padding": [1, 2, 3] }), "[top, bottom, left, right]"),
    ] {
        assert!(read(value).unwrap_err().contains(word), "{word}");
    }
}

/// What version 1 wrote for a layer without anything new, to the last setting.
#[test]
fn a_square_window_is_written_as_before() {
    let layer = Conv2d { stride: [2; 2], padding: 1.into(), ..Conv2d::new(3, 3, Relu) };
    let config = layer.config().unwrap();
    let keys: Vec<&str> = config.as_object().unwrap().keys().map(String::as_str).collect();
    assert!(!keys.contains(&"dilation") && !keys.contains(&"groups"), "{keys:?}");
    let window = [&config["kernel"], &config["stride"], &config["padding"]];
    assert_eq!(window, [&serde_json::json!(3), &serde_json::json!(2), &serde_json::json!(1)]);
}

#[test]
fn windows_give_the_shapes_they_should() {
    let image = |extents: &[usize]| Shape::new(extents).unwrap();
    let shape = |value: serde_json::Value, input: Shape| {
        let entry = spectral_core::registry::find::<spectral_core::LayerEntry>(value["kind"].as_str().unwrap())?;
        let mut config = value.clone();
        config.as_object_mut().unwrap().remove("kind");
        (entry.build)(config)?.output_shape(&[input])
    };
    for (value, want) in [
        (
            serde_json::json!({ "kind": "conv2d", "channels": 6, "kernel": [3, 4], "padding": "same" }),
            image(&[6, 7, 9]),
        ),
        (
            serde_json::json!({ "kind": "conv2d", "channels": 4, "kernel": 3, "dilation": 2, "groups": 2 }),
            image(&[4, 3, 5]),
        ),
        (
            serde_json::json!({ "kind": "conv2d", "channels": 4, "kernel": 3, "padding": [2, 0, 0, 1], "stride": [2, 1] }),
            image(&[4, 4, 8]),
        ),
        (serde_json::json!({ "kind": "max_pool", "kernel": 2 }), image(&[4, 3, 4])),
        (
            serde_json::json!({ "kind": "max_pool", "kernel": [2, 3], "stride": 1, "padding": [0, 1] }),
            image(&[4, 6, 9]),
        ),
        (serde_json::json!({ "kind": "avg_pool", "kernel": 3, "padding": "same", "stride": 1 }), image(&[4, 7, 9])),
        (serde_json::json!({ "kind": "global_pool", "pooling": "max" }), Shape::vector(4)),
        (serde_json::json!({ "kind": "slice", "from": 1, "to": 3 }), image(&[2, 7, 9])),
    ] {
        assert_eq!(shape(value.clone(), image(&[4, 7, 9])).unwrap(), want, "{value}");
    }
    for (value, word) in [
        (serde_json::json!({ "kind": "conv2d", "channels": 4, "kernel": 3, "groups": 3 }), "must divide 4 input and 4"),
        (serde_json::json!({ "kind": "conv2d", "channels": 5, "kernel": 3, "groups": 4 }), "must divide 4 input and 5"),
        (serde_json::json!({ "kind": "conv2d", "channels": 4, "kernel": 3, "groups": 0 }), "`groups` is 0"),
        (serde_json::json!({ "kind": "conv2d", "channels": 4, "kernel": 3, "dilation": 0 }), "at least 1"),
        (
            serde_json::json!({ "kind": "conv2d", "channels": 4, "kernel": 3, "stride": 2, "padding": "same" }),
            "needs a `stride` of 1",
        ),
        (serde_json::json!({ "kind": "max_pool", "kernel": 8 }), "8x8 does not fit into images of 7x9"),
        (serde_json::json!({ "kind": "max_pool", "kernel": 2, "padding": 2 }), "in the padding alone"),
        (serde_json::json!({ "kind": "avg_pool", "kernel": 2, "count_paddings": true }), "unknown field"),
        (serde_json::json!({ "kind": "slice", "from": 3, "to": 5 }), "a range of at least one of its 4 units"),
        (serde_json::json!({ "kind": "slice", "from": 3, "to": 3 }), "a range of at least one of its 4 units"),
        (
            serde_json::json!({ "kind": "activation", "activation": { "clip": { "min": 1.0, "max": 1.0 } } }),
            "must be below `max`",
        ),
    ] {
        let error = shape(value.clone(), image(&[4, 7, 9])).unwrap_err().to_string();
        assert!(error.contains(word), "{value}: {error}");
    }
}
