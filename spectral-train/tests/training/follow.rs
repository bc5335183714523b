//! Hooks: what they are told, and what they may do to the model.

use crate::support::{blobs, network, small, values};
use spectral_core::{
    DType, EpochRecord, Error, Flow, Mask, Model, Progress, Reference, Result, Role, Seed, TrainHook, Trainable,
};
use spectral_train::{Adam, Sgd, Trainer};

/// Stops after a number of steps.
pub(crate) struct StopAfter(pub(crate) u64);

impl TrainHook for StopAfter {
    fn after_step(&mut self, _: &mut Model, at: &Progress) -> Result<Flow> {
        Ok(if at.step == self.0 { Flow::Stop } else { Flow::Continue })
    }
}

/// Writes down every call.
#[derive(Default)]
struct Log(Vec<String>);

impl TrainHook for Log {
    fn start(&mut self, _: &mut Model, at: &Progress) -> Result<()> {
        self.0.push(format!("start of {}/{}", at.steps, at.epochs));
        Ok(())
    }
    fn after_step(&mut self, _: &mut Model, at: &Progress) -> Result<Flow> {
        self.0.push(format!("step {} in {}", at.step, at.epoch));
        Ok(Flow::Continue)
    }
    fn after_epoch(&mut self, _: &mut Model, at: &Progress, record: &EpochRecord) -> Result<Flow> {
        self.0.push(format!("epoch {} is {}", at.epoch, record.epoch));
        Ok(Flow::Continue)
    }
}

#[test]
fn hooks_see_every_step_and_epoch_in_order() {
    let mut log = Log::default();
    let trainer = Trainer::new(Sgd::default()).epochs(2).batch(8);
    trainer.fit_with(&mut small(2, DType::F32), &blobs(20, 2, 1), &mut [&mut log]).unwrap();
    let expected = [
        "start of 6/2",
        "step 1 in 0",
        "step 2 in 0",
        "step 3 in 0",
        "epoch 1 is 1",
        "step 4 in 1",
        "step 5 in 1",
        "step 6 in 1",
        "epoch 2 is 2",
    ];
    assert_eq!(log.0, expected);
}

#[test]
fn a_hook_can_stop_in_the_middle_of_an_epoch() {
    let trainer = Trainer::new(Sgd::default()).epochs(5).batch(8);
    let history = trainer.fit_with(&mut small(2, DType::F32), &blobs(20, 2, 1), &mut [&mut StopAfter(4)]).unwrap();
    assert_eq!((history.epochs.len(), history.epochs[1].train.samples), (2, 8));
    assert_eq!(history.stopped.as_deref(), Some("a hook stopped it after step 4"));
}

struct Fails;

impl TrainHook for Fails {
    fn after_epoch(&mut self, _: &mut Model, _: &Progress, _: &EpochRecord) -> Result<Flow> {
        Err(Error::Data("no room left".into()))
    }
}

#[test]
fn an_error_of_a_hook_comes_out_as_it_is() {
    let trainer = Trainer::new(Sgd::default());
    let error = trainer.fit_with(&mut small(2, DType::F32), &blobs(20, 2, 1), &mut [&mut Fails]).unwrap_err();
    assert_eq!(error.to_string(), "data: no room left");
}

/// After step 2: prunes, and thaws the basis, which was frozen.
struct PruneAndThaw;

impl TrainHook for PruneAndThaw {
    fn after_step(&mut self, model: &mut Model, at: &Progress) -> Result<Flow> {
        if at.step == 2 {
            let (params, backend) = model.params_mut();
            let id = params.by_name("dense1.weight").unwrap();
            let len = params.get(id).value().len();
            params.prune(backend, id, &Mask::from_fn(len, |i| i % 3 == 0))?;
            let basis = params.by_name("spectral1.basis").unwrap();
            params.set_trainable(basis, Trainable::All)?;
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn pruning_and_thawing_inside_training_take_effect() {
    let mut model = small(2, DType::F32);
    let basis = model.params().by_name("spectral1.basis").unwrap();
    let weight = model.params().by_name("dense1.weight").unwrap();
    model.params_mut().0.set_trainable(basis, Trainable::None).unwrap();
    let before = values(&model);
    let trainer = Trainer::new(Adam::default()).epochs(3).batch(8);
    let data = blobs(20, 2, 1);
    trainer.fit_with(&mut model, &data, &mut [&mut StopAfter(2)]).unwrap();
    assert_eq!(values(&model)[basis.index()], before[basis.index()]);
    trainer.fit_with(&mut model, &data, &mut [&mut PruneAndThaw]).unwrap();
    let after = values(&model);
    assert_ne!(after[basis.index()], before[basis.index()]);
    assert!(after[weight.index()].iter().enumerate().all(|(i, w)| (i % 3 == 0) == (w.to_bits() == 0)));
}

/// Swaps the model for one with a wider hidden layer after epoch 1.
struct Grow;

impl TrainHook for Grow {
    fn after_epoch(&mut self, model: &mut Model, at: &Progress, _: &EpochRecord) -> Result<Flow> {
        if at.epoch == 1 {
            *model = network(2)
                .dense(9, spectral_core::Activation::Relu)
                .dense(2, spectral_core::Activation::Identity)
                .build(&Reference, Seed(5))
                .unwrap();
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn a_model_of_another_shape_is_followed() {
    let mut model = small(2, DType::F32);
    let trainer = Trainer::new(Adam::default()).epochs(3).batch(8).clip_norm(1.0).keep_best().validation(0.2);
    let history = trainer.fit_with(&mut model, &blobs(40, 2, 1), &mut [&mut Grow]).unwrap();
    assert_eq!((history.epochs.len(), model.graph().nodes().len()), (3, 5));
    assert!(history.epochs[2].kept > history.epochs[0].kept);
}

/// Swaps the model for one with the same parameters and one more layer after step 2.
struct Insert;

impl TrainHook for Insert {
    fn after_step(&mut self, model: &mut Model, at: &Progress) -> Result<Flow> {
        if at.step == 2 {
            *model = network(2).dropout(0.2).build(&Reference, Seed(3)).unwrap();
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn a_layer_without_parameters_is_followed() {
    let mut model = small(2, DType::F32);
    let trainer = Trainer::new(Adam::default()).epochs(2).batch(8);
    trainer.fit_with(&mut model, &blobs(40, 2, 1), &mut [&mut Insert]).unwrap();
    assert_eq!(model.graph().nodes().len(), 4);
}

#[test]
fn a_role_that_no_parameter_has_is_harmless() {
    let trainer = Trainer::new(Sgd::default()).penalty(Role::Gain, spectral_core::Penalty { l1: 1.0, l2: 1.0 });
    let history = trainer.fit(&mut small(2, DType::F32), &blobs(20, 2, 1)).unwrap();
    assert_eq!(history.epochs[0].penalty, 0.0);
}
