//! Runs that stop and go on, and the seam between backward and step.

use crate::support::{bits, blobs, small};
use spectral_core::{
    Backend, DType, GradientSync, KeepState, Model, ParamId, Progress, Reference, Result, Samples, Seed, State,
    TrainHook, Workspace,
};
use spectral_layers::Network;
use spectral_layers::prelude::*;
use spectral_train::{Adam, DistanceTracker, MomentumRestart, Nesterov, Optimizer, RmsProp, StepDecay, Trainer};
use std::sync::{Arc, Mutex};

/// Every state of a run, with the model it is in.
#[derive(Debug, Clone, Default)]
struct All(Arc<Mutex<Vec<(Model, State)>>>);

impl KeepState for All {
    fn keep(&self, model: &Model, state: State) -> Result<()> {
        self.0.lock().unwrap().push((model.duplicate()?, state));
        Ok(())
    }
}

fn model() -> Model {
    let network = Network::new(4).dense(8, Identity).batch_norm().activation(Relu).dropout(0.2).spectral(6, Tanh);
    network.dense(3, Identity).build(&Reference, Seed(3)).unwrap()
}

fn trainer(optimizer: Box<dyn Optimizer>) -> Trainer {
    let trainer = Trainer::with_optimizer(optimizer).epochs(6).batch(16).validation(0.2).keep_best().patience(4);
    trainer.schedule(StepDecay { every: 2, factor: 0.5 }).seed(Seed(9))
}

/// A state as it would come out of a file.
fn written(state: &State) -> State {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

#[test]
fn a_run_that_goes_on_gives_the_same_bits() {
    let data = blobs(90, 3, 1);
    let optimizers: [fn() -> Box<dyn Optimizer>; 4] = [
        || Box::new(Nesterov::default()),
        || Box::new(Adam { rate: 0.01, amsgrad: true, ..Adam::default() }),
        || Box::new(RmsProp { centered: true, momentum: 0.5, ..RmsProp::default() }),
        || Box::new(MomentumRestart { start: 3, ..MomentumRestart::default() }),
    ];
    for optimizer in optimizers {
        let kept = All::default();
        let mut whole = model();
        let mut tracker = DistanceTracker::new(&data, 30, Seed(1)).unwrap();
        let run = trainer(optimizer()).keep_states(kept.clone());
        let history = run.fit_with(&mut whole, &data, &mut [&mut tracker]).unwrap();
        for (mut model, state) in kept.0.lock().unwrap().drain(..) {
            let mut again = DistanceTracker::new(&data, 30, Seed(1)).unwrap();
            let rest = trainer(optimizer()).resume(&mut model, &data, &mut [&mut again], &written(&state)).unwrap();
            assert_eq!(bits(&model), bits(&whole), "{:?}", optimizer());
            assert_eq!((rest.epochs.len(), rest.best_epoch), (history.epochs.len(), history.best_epoch));
            assert_eq!(again.checkpoints(), tracker.checkpoints());
        }
    }
}

#[test]
fn what_a_run_froze_is_thawed_by_the_run_that_goes_on() {
    let (data, kept) = (blobs(60, 3, 1), All::default());
    let run = || Trainer::new(Adam::default()).epochs(3).batch(20).only(["dense1"]);
    let mut whole = small(3, DType::F32);
    run().keep_states(kept.clone()).fit(&mut whole, &data).unwrap();
    let (mut model, state) = kept.0.lock().unwrap().swap_remove(0);
    assert!(model.params().iter().any(|(_, p)| !p.is_trainable()));
    run().resume(&mut model, &data, &mut [], &written(&state)).unwrap();
    assert_eq!(bits(&model), bits(&whole));
    let trains = |m: &Model| m.params().iter().map(|(_, p)| p.trainable.clone()).collect::<Vec<_>>();
    assert_eq!(trains(&model), trains(&small(3, DType::F32)));
}

#[test]
fn states_of_other_runs_are_refused() {
    let (data, kept) = (blobs(60, 3, 1), All::default());
    let run = || Trainer::new(Adam::default()).epochs(2).batch(20);
    run().keep_states(kept.clone()).fit(&mut small(3, DType::F32), &data).unwrap();
    let (_, state) = kept.0.lock().unwrap().swap_remove(0);
    let resume = |trainer: Trainer, model: &mut Model, hooks: &mut [&mut dyn TrainHook], state: &State| {
        trainer.resume(model, &data, hooks, state).unwrap_err().to_string()
    };
    let error = resume(run().epochs(5), &mut small(3, DType::F32), &mut [], &state);
    assert!(error.contains("2 epochs") && error.contains("same settings"), "{error}");
    let mut other = Network::new(4).spectral(9, Tanh).dense(5, Relu).dense(3, Identity);
    other = other.dtype(DType::F32);
    let error = resume(run(), &mut other.build(&Reference, Seed(1)).unwrap(), &mut [], &state);
    assert!(error.contains("does not fit parameter"), "{error}");
    let mut tracker = DistanceTracker::new(&data, 30, Seed(1)).unwrap();
    let error = resume(run(), &mut small(3, DType::F32), &mut [&mut tracker], &state);
    assert!(error.contains("0 hooks, and there are 1"), "{error}");
    let error = resume(run(), &mut small(3, DType::F32), &mut [], &State::default());
    assert!(error.contains("saved state of a training run"), "{error}");
}

/// What a machine among others would do, and what somebody sees who only looks.
#[derive(Debug)]
struct Seam {
    /// Factor on all gradients.
    factor: f64,
    calls: Arc<Mutex<Vec<u64>>>,
    sums: Arc<Mutex<Vec<Vec<f64>>>>,
}

impl GradientSync for Seam {
    fn sync(&self, model: &Model, gradients: &mut Workspace, at: &Progress) -> Result<()> {
        self.calls.lock().unwrap().push(at.step);
        for index in 0..model.params().len() {
            let id = ParamId(index as u32);
            let Some(gradient) = gradients.param_grad_mut(id) else {
                assert!(!model.params().get(id).is_trainable(), "every gradient is written down");
                continue;
            };
            let backend: &dyn Backend = &**model.backend();
            let scaled: Vec<f64> = backend.download(gradient)?.iter().map(|g| g * self.factor).collect();
            backend.write(&scaled, gradient)?;
        }
        Ok(())
    }

    fn sum(&self, values: &mut [f64]) -> Result<()> {
        self.sums.lock().unwrap().push(values.to_vec());
        values.iter_mut().for_each(|v| *v *= 2.0);
        Ok(())
    }
}

fn fit(data: &Samples, factor: Option<f64>) -> (Model, spectral_core::History, Vec<u64>) {
    let (mut model, calls, sums) = (small(3, DType::F32), Arc::default(), Arc::default());
    let mut trainer = Trainer::new(Nesterov::default()).epochs(2).batch(25);
    if let Some(factor) = factor {
        trainer = trainer.sync(Seam { factor, calls: Arc::clone(&calls), sums: Arc::clone(&sums) });
    }
    let history = trainer.fit(&mut model, data).unwrap();
    let calls = calls.lock().unwrap().clone();
    (model, history, calls)
}

#[test]
fn the_seam_is_passed_once_a_step_and_may_change_gradients_and_sums() {
    let data = blobs(60, 3, 1);
    let (plain, history, _) = fit(&data, None);
    let (seen, doubled, calls) = fit(&data, Some(1.0));
    assert_eq!(calls, [0, 1, 2, 3, 4, 5]);
    assert_eq!(bits(&plain), bits(&seen), "looking changes nothing");
    // Twice the sums of loss, right answers and samples: the same means over twice the samples.
    let (one, two) = (history.epochs[0].train, doubled.epochs[0].train);
    assert_eq!((two.samples, two.loss, two.accuracy), (2 * one.samples, one.loss, one.accuracy));
    let (still, ..) = fit(&data, Some(0.0));
    assert_eq!(bits(&still), bits(&small(3, DType::F32)), "no gradient, no step");
}
