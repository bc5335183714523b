//! Our gradients beside those of libtorch's autograd, on random networks in f64.
//!
//! The networks are written a second time here, in libtorch's own operators: its convolution, activations and losses.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use spectral_core::backend::{LossKernel, LossKind};
use spectral_core::{
    Activation, BackendHandle, BackendOptions, DType, GradSlot, Gradients, Mode, Model, Node, ParamId, Role, Seed,
    Shape, Stream, Tensor, Workspace,
};
use spectral_cpu::Cpu;
use spectral_layers::Sparse;
use spectral_layers::{Conv2d, Network};
use spectral_tch::Torch;
use std::sync::Arc;
use tch::Kind;

/// Largest difference, as a share of the largest entry of a gradient.
const TOLERANCE: f64 = 1e-10;

const INPUTS: usize = 36;
const OUTPUTS: usize = 4;
const BATCH: usize = 7;

const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Elu { alpha: 1.0 },
    Activation::Gelu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softplus,
];

/// A network of one to four layers of any kind, perhaps with a convolution before them and a softmax among them.
fn network(stream: &mut Stream) -> Network {
    let mut network = Network::new(INPUTS).dtype(DType::F64);
    if stream.unit() < 0.5 {
        let activation = ACTIVATIONS[stream.below(ACTIVATIONS.len())];
        let (stride, padding) = (1 + stream.below(2), stream.below(2));
        let conv = Conv2d { stride: [stride; 2], padding: padding.into(), ..Conv2d::new(3, 3, activation) };
        network = network.reshape(&[1, 6, 6]).layer(conv).flatten();
    }
    for _ in 0..1 + stream.below(3) {
        let (units, activation) = (5 + stream.below(9), ACTIVATIONS[stream.below(ACTIVATIONS.len())]);
        network = match stream.below(5) {
            0 => network.dense(units, activation),
            1 => network.spectral(units, activation),
            2 => network.masked(units, activation, 0.5),
            3 => network.layer(Sparse::new(units, activation, 0.4)),
            _ => network.dense(units, activation).softmax(),
        };
    }
    network.dense(OUTPUTS, Activation::Identity)
}

/// Values of a tensor as libtorch's, a leaf of its graph.
fn leaf(values: &[f64], shape: Shape) -> tch::Tensor {
    let extents: Vec<i64> = shape.extents().iter().map(|&e| e as i64).collect();
    tch::Tensor::from_slice(values).view(extents.as_slice()).set_requires_grad(true)
}

fn activated(name: &str, x: &tch::Tensor) -> tch::Tensor {
    match name {
        "identity" => x.shallow_clone(),
        "relu" => x.relu(),
        "leaky_relu" => x.leaky_relu(),
        "elu" => x.elu(),
        "gelu" => x.gelu("none"),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "softplus" => x.softplus(),
        "softmax" => x.softmax(0, None),
        other => panic!("no second form of {other}"),
    }
}

/// One layer in libtorch's own operators.
fn layer(model: &Model, node: &Node, leaves: &[tch::Tensor], x: &tch::Tensor) -> tch::Tensor {
    let of = |role: Role| {
        let id = node.params.iter().find(|id| model.params().get(**id).role == role);
        id.map(|id| &leaves[id.index()])
    };
    let config = node.layer.config().unwrap();
    let number = |key: &str| config[key].as_i64().unwrap();
    let z = match node.layer.kind() {
        "reshape" => {
            let mut shape: Vec<i64> = config["shape"].as_array().unwrap().iter().map(|e| e.as_i64().unwrap()).collect();
            shape.push(BATCH as i64);
            return x.view(shape.as_slice());
        }
        "flatten" => return x.reshape([-1, BATCH as i64]),
        "activation" => x.shallow_clone(),
        "dense" | "masked" => of(Role::Weight).unwrap().matmul(x),
        "spectral" => {
            let gaps = of(Role::EigenvalueIn).unwrap() - of(Role::EigenvalueOut).unwrap().unsqueeze(1);
            (of(Role::Basis).unwrap() * gaps).matmul(x)
        }
        "sparse" => {
            let pattern = model.params().get(node.params[0]).pattern.clone().unwrap();
            let at: Vec<i64> = pattern.iter().map(|(r, c)| (r * pattern.columns() + c) as i64).collect();
            let dense = tch::Tensor::zeros([(pattern.rows() * pattern.columns()) as i64], (Kind::Double, x.device()));
            let dense = dense.index_add(0, &tch::Tensor::from_slice(&at), of(Role::Weight).unwrap());
            dense.view([pattern.rows() as i64, pattern.columns() as i64]).matmul(x)
        }
        "conv2d" => {
            let (stride, padding) = ([number("stride"); 2], [number("padding"); 2]);
            let images = x.permute([3, 0, 1, 2]);
            let y = images.conv2d(of(Role::Weight).unwrap(), of(Role::Bias), stride, padding, [1, 1], 1);
            return activated(&name(&config), &y).permute([1, 2, 3, 0]);
        }
        other => panic!("no second form of {other}"),
    };
    let z = match of(Role::Bias) {
        Some(bias) => z + bias.unsqueeze(1),
        None => z,
    };
    activated(&name(&config), &z)
}

/// The name of a layer's activation.
fn name(config: &serde_json::Value) -> String {
    match &config["activation"] {
        serde_json::Value::String(name) => name.clone(),
        serde_json::Value::Object(table) => table.keys().next().unwrap().clone(),
        other => panic!("{other}"),
    }
}

/// The gradients of all parameters that train and of the inputs, by autograd.
fn autograd(model: &Model, kind: LossKind, x: &[f64], t: &[f64]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let values = |p: &spectral_core::Param| model.backend().download(p.value()).unwrap();
    let leaves: Vec<_> = model.params().iter().map(|(_, p)| leaf(&values(p), p.value().shape())).collect();
    let input = leaf(x, Shape::matrix(INPUTS, BATCH));
    let targets = leaf(t, Shape::matrix(OUTPUTS, BATCH)).detach();
    let nodes = model.graph().nodes();
    let y = nodes.iter().fold(input.shallow_clone(), |x, node| layer(model, node, &leaves, &x));
    let loss = match kind {
        LossKind::SoftmaxCrossEntropy => -(targets * y.log_softmax(0, None)).sum(Kind::Double),
        LossKind::MeanSquaredError => (y - targets).square().sum(Kind::Double) / OUTPUTS as f64,
    };
    (loss / BATCH as f64).backward();
    let gradient = |t: &tch::Tensor| Vec::<f64>::try_from(t.grad().reshape([-1])).unwrap();
    (leaves.iter().map(gradient).collect(), gradient(&input))
}

/// The same by our own formulas; `None` for a parameter that does not train.
fn ours(model: &Model, kind: LossKind, x: &[f64], t: &[f64]) -> (Vec<Option<Vec<f64>>>, Vec<f64>) {
    let backend = model.backend();
    let tensor = |values: &[f64], shape: Shape| -> Tensor {
        let mut tensor = backend.zeros(shape, DType::F64).unwrap();
        backend.write(values, &mut tensor).unwrap();
        tensor
    };
    let (targets, mut totals) = (tensor(t, Shape::matrix(OUTPUTS, BATCH)), tensor(&[0.0; 2], Shape::vector(2)));
    let mut workspace = Workspace::new(model, BATCH, Gradients::ParametersAndInput).unwrap();
    backend.write(x, workspace.begin(model, BATCH).unwrap()).unwrap();
    workspace.forward(model, Mode::Train, 0).unwrap();
    let last = model.graph().nodes().len() - 1;
    let (outputs, slot): (&Tensor, Option<GradSlot<'_>>) = workspace.output_and_slot(last);
    let op = LossKernel { kind, outputs, targets: &targets, gradient_scale: 1.0 / BATCH as f64 };
    backend.loss(&op, &mut totals, slot).unwrap();
    workspace.backward(model, last).unwrap();
    let read = |t: &Tensor| backend.download(t).unwrap();
    let of = |i| workspace.param_grad(ParamId(i as u32)).map(read);
    ((0..model.params().len()).map(of).collect(), read(workspace.input_grad().unwrap()))
}

/// How far two gradients are apart, as a share of the largest entry, where `counts`.
fn apart(a: &[f64], b: &[f64], counts: impl Fn(usize) -> bool) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-3, |most: f64, v| most.max(v.abs()));
    let off = (0..a.len()).filter(|i| counts(*i)).map(|i| (a[i] - b[i]).abs()).fold(0.0, f64::max);
    off / largest
}

#[test]
fn gradients_of_random_networks_are_those_of_autograd() {
    let backends: [BackendHandle; 2] =
        [Arc::new(Cpu::with_threads(1).unwrap()), Arc::new(Torch::new(&BackendOptions::default()).unwrap())];
    let mut compared = 0;
    for seed in 0..40 {
        let mut stream = Seed(seed).stream("network", 0);
        let network = network(&mut stream);
        let x: Vec<f64> = (0..INPUTS * BATCH).map(|_| stream.normal()).collect();
        let mut t = vec![0.0; OUTPUTS * BATCH];
        (0..BATCH).for_each(|b| t[stream.below(OUTPUTS) * BATCH + b] = 1.0);
        let kind = if seed % 2 == 0 { LossKind::SoftmaxCrossEntropy } else { LossKind::MeanSquaredError };
        for backend in &backends {
            let model = network.build(backend, Seed(seed)).unwrap();
            let (expected, at_input) = autograd(&model, kind, &x, &t);
            let (got, input) = ours(&model, kind, &x, &t);
            let kinds: Vec<&str> = model.graph().nodes().iter().map(|n| n.layer.kind()).collect();
            let label = format!("seed {seed} on {}: {kinds:?}", backend.name());
            let off = apart(&input, &at_input, |_| true);
            assert!(off < TOLERANCE, "{label}: the input's gradient is off by {off:.1e}");
            for (((_, param), got), expected) in model.params().iter().zip(got).zip(expected) {
                let Some(got) = got else { continue };
                let off = apart(&got, &expected, |i| param.pruned().is_none_or(|m| !m.contains(i)));
                assert!(off < TOLERANCE, "{label}: `{}` is off by {off:.1e}", param.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "only {compared} parameters were compared");
}
