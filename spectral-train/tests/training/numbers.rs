//! NaN and infinity stop a run, with a name, before they reach a parameter.

use crate::support::{bits, blobs, small, values};
use serde_json::Value;
use spectral_core::{Accum, DType, Error, Forward, Layer, Memory, Model, Reference, Result, Samples, Seed, Shape, Vjp};
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_train::{Adam, Sgd, Trainer};

/// What was bad, and when.
fn failure(trainer: &Trainer, model: &mut Model, data: &Samples) -> (String, String) {
    match trainer.fit(model, data) {
        Err(spectral_train::Error::Core(Error::NonFinite { what, at })) => (what, at),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_huge_rate_stops_before_a_parameter_is_lost() {
    for rate in [1e12, 1e30] {
        let mut model = small(3, DType::F32);
        let trainer = Trainer::new(Sgd { rate }).epochs(50).batch(10);
        let (what, at) = failure(&trainer, &mut model, &blobs(60, 3, 1));
        assert!(what.contains('`') && at.starts_with("step "), "{what} at {at}");
        assert!(values(&model).concat().iter().all(|v| v.is_finite()), "{rate}");
    }
}

#[test]
fn a_poisoned_parameter_is_named_and_nothing_moves() {
    for (name, poison) in [("dense1.weight", f64::NAN), ("spectral1.basis", f64::INFINITY), ("dense2.bias", f64::NAN)] {
        let mut model = small(3, DType::F32);
        let id = model.params().by_name(name).unwrap();
        let (params, backend) = model.params_mut();
        params
            .edit(backend, id, |t| {
                let mut v = Reference.download(t)?;
                v[1] = poison;
                Reference.write(&v, t)
            })
            .unwrap();
        let before = bits(&model);
        let (what, at) = failure(&Trainer::new(Adam::default()), &mut model, &blobs(60, 3, 1));
        assert_eq!((what, at.as_str()), (format!("parameter `{name}`"), "step 1"));
        assert_eq!(bits(&model), before);
    }
}

#[test]
fn a_parameter_lost_in_the_last_step_is_found() {
    // The gradient is finite, the step is not, and no forward pass follows.
    let mut model = small(3, DType::F32);
    let trainer = Trainer::new(Sgd { rate: 1e300 }).batch(60);
    let (what, at) = failure(&trainer, &mut model, &blobs(60, 3, 1));
    assert!(what.starts_with("parameter `") && at == "step 1", "{what} at {at}");
}

/// Passes values on, and gradients from the third step on as NaN.
#[derive(Debug)]
struct BadGradient(std::sync::atomic::AtomicUsize);

impl Layer for BadGradient {
    fn kind(&self) -> &'static str {
        "bad_gradient"
    }
    fn config(&self) -> Result<Value> {
        Ok(Value::Null)
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }
    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        cx.backend.scale(1.0, cx.inputs.get(0), cx.output, Accum::Replace)
    }
    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let calls = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let factor = if calls < 2 { 1.0 } else { f64::NAN };
        match cx.input_grads.slot(0) {
            Some(slot) => cx.backend.scale(factor, cx.dy, slot.tensor, slot.accum),
            None => Ok(()),
        }
    }
}

#[test]
fn a_bad_gradient_is_named_and_not_applied() {
    let data = blobs(60, 3, 1);
    let build = || {
        let network = Network::new(4).dense(5, Tanh).layer(BadGradient(0.into())).dense(3, Identity);
        network.build(&Reference, Seed(1)).unwrap()
    };
    let (mut stopped, mut whole) = (build(), build());
    let trainer = Trainer::new(Adam::default()).batch(20);
    let (what, at) = failure(&trainer, &mut stopped, &data);
    assert_eq!((what.as_str(), at.as_str()), ("the gradient of `dense1.bias`", "step 3"));
    // The same run, stopped by a hook after two steps.
    trainer.fit_with(&mut whole, &data, &mut [&mut crate::follow::StopAfter(2)]).unwrap();
    assert_eq!(bits(&stopped), bits(&whole));
}
