//! The ways to evaluate a spectral layer compute the same; the one that writes the weight down is checked against
//! finite differences with all registered layers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use spectral_core::{
    Accum, DType, Elementwise, Gradients, Init, Mask, Memory, Mode, Model, ParamId, Reference, Seed, Shape, Tensor,
    Trainable, Workspace,
};
use spectral_layers::Factors;
use spectral_layers::prelude::*;

const INPUTS: usize = 7;
const UNITS: usize = 5;
const BATCH: usize = 6;
const SLOTS: usize = 4;

/// A network of a spectral layer between two dense ones, so that the input of the spectral layer wants a gradient too.
fn model(lambda_in: Init, bias: bool, dtype: DType) -> Model {
    let around_zero = Init::Uniform { low: -0.5, high: 0.5 };
    let init = Factors { lambda_in, lambda_out: around_zero, bias: around_zero, ..Default::default() };
    let trainable = Factors { basis: true, lambda_in: true, lambda_out: true, bias: true };
    let layer = Spectral { init, trainable, bias, ..Spectral::new(UNITS, Gelu) };
    Network::new(INPUTS).dense(INPUTS, Tanh).layer(layer).dtype(dtype).build(&Reference, Seed(3)).unwrap()
}

fn values(dtype: DType, shape: Shape, seed: u64) -> Tensor {
    let mut stream = Seed(seed).stream("values", 0);
    let values: Vec<f64> = (0..shape.len()).map(|_| stream.uniform(-1.0, 1.0)).collect();
    let mut t = Tensor::host_zeros(shape, dtype);
    Reference.write(&values, &mut t).unwrap();
    t
}

/// The output and all gradients that there are: of the parameters of the spectral layer and of the input.
fn run(model: &Model, x: &Tensor) -> (Vec<f64>, Vec<Option<Vec<f64>>>) {
    let mut workspace = Workspace::new(model, BATCH, Gradients::ParametersAndInput).unwrap();
    let input = workspace.begin(model, BATCH).unwrap();
    Reference.scale(1.0, x, input, Accum::Replace).unwrap();
    workspace.forward(model, Mode::Train, 0).unwrap();
    let dy = values(model.dtype(), Shape::matrix(UNITS, BATCH), 9);
    workspace.seed_gradient(model, 1, &dy).unwrap();
    workspace.backward(model, 1).unwrap();
    let down = |t: &Tensor| Reference.download(t).unwrap();
    let mut grads: Vec<_> =
        model.graph().nodes()[1].params.iter().map(|&id| workspace.param_grad(id).map(down)).collect();
    grads.push(workspace.input_grad().map(down));
    (down(workspace.output(1)), grads)
}

fn freeze(model: &mut Model, slots: u32) {
    let ids: Vec<ParamId> = model.graph().nodes()[1].params.clone();
    for (slot, id) in ids.into_iter().enumerate() {
        let trainable = if slots >> slot & 1 == 1 { Trainable::None } else { Trainable::All };
        model.params_mut().0.set_trainable(id, trainable).unwrap();
    }
}

fn close(got: &[f64], want: &[f64], tolerance: f64) -> bool {
    let largest = want.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= tolerance * largest)
}

/// spectraltools A7, A10: whatever is frozen, and whether or not the eigenvalues of the inputs are zero, the outputs
/// and the gradients of the rest are those of the layer that trains everything.
#[test]
fn every_form_computes_the_same_outputs_and_gradients() {
    let drawn = Init::Uniform { low: -0.5, high: 0.5 };
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        for lambda_in in [Init::Zeros, drawn] {
            for bias in [false, true] {
                let mut model = model(lambda_in, bias, dtype);
                let x = values(dtype, Shape::matrix(INPUTS, BATCH), 8);
                let (y, grads) = run(&model, &x);
                assert!(grads.iter().all(Option::is_some));
                for frozen in 1..1 << SLOTS {
                    freeze(&mut model, frozen);
                    let (got, part) = run(&model, &x);
                    let what = format!("{dtype} {lambda_in:?}, bias {bias}, frozen {frozen:04b}");
                    assert!(close(&got, &y, tolerance), "{what}: {got:?} instead of {y:?}");
                    for (slot, (got, want)) in part.iter().zip(&grads).enumerate() {
                        let is_frozen = slot + 1 < part.len() && frozen >> slot & 1 == 1;
                        assert_eq!(got.is_none(), is_frozen, "{what}, gradient {slot}");
                        if let (Some(got), Some(want)) = (got, want) {
                            assert!(close(got, want, tolerance), "{what}, gradient {slot}: {got:?} not {want:?}");
                        }
                    }
                }
            }
        }
    }
}

/// A pruned unit has its row of the basis and its eigenvalue pruned: it emits `act(bias)`, to the bit, in every form.
#[test]
fn a_pruned_unit_emits_its_constant_in_every_form() {
    const UNIT: usize = 2;
    for lambda_in in [Init::Zeros, Init::Ones] {
        for frozen in 0..1 << SLOTS {
            let mut model = model(lambda_in, true, DType::F64);
            let ids = model.graph().nodes()[1].params.clone();
            let (params, backend) = model.params_mut();
            params.prune(backend, ids[0], &Mask::from_fn(UNITS * INPUTS, |i| i / INPUTS == UNIT)).unwrap();
            params.prune(backend, ids[2], &Mask::from_fn(UNITS, |i| i == UNIT)).unwrap();
            freeze(&mut model, frozen);
            let bias = Reference.download(model.params().get(ids[3]).value()).unwrap()[UNIT];
            let (y, _) = run(&model, &values(DType::F64, Shape::matrix(INPUTS, BATCH), 8));
            let row = &y[UNIT * BATCH..(UNIT + 1) * BATCH];
            assert!(row.iter().all(|y| *y == Gelu.value(bias)), "frozen {frozen:04b}: {row:?}");
        }
    }
}

#[test]
fn what_is_not_a_number_stays_visible_in_every_form() {
    for lambda_in in [Init::Zeros, Init::Ones] {
        for frozen in 0..1 << SLOTS {
            let mut model = model(lambda_in, true, DType::F64);
            freeze(&mut model, frozen);
            let mut x = vec![0.1; INPUTS * BATCH];
            x[3] = f64::NAN;
            let mut t = Tensor::host_zeros(Shape::matrix(INPUTS, BATCH), DType::F64);
            Reference.write(&x, &mut t).unwrap();
            let (y, _) = run(&model, &t);
            let bad: Vec<bool> = y.iter().map(|y| y.is_nan()).collect();
            let want: Vec<bool> = (0..UNITS * BATCH).map(|i| i % BATCH == 3).collect();
            assert_eq!(bad, want, "frozen {frozen:04b}");
        }
    }
}
