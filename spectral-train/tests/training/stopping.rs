//! Validation, early stopping, and the best epoch.

use crate::support::{bits, blobs, small};
use ndarray::Array2;
use spectral_core::{
    DType, EpochRecord, Error, Evaluate, Flow, History, Mask, Model, Progress, Result, Samples, Seed, Targets,
    TrainHook, Trainable,
};
use spectral_layers::prelude::*;
use spectral_train::{Adam, Evaluator, Sgd, Trainer};

/// Keeps the bits of the parameters after every epoch.
#[derive(Default)]
struct Recorder(Vec<Vec<u64>>);

impl TrainHook for Recorder {
    fn after_epoch(&mut self, model: &mut Model, _: &Progress, _: &EpochRecord) -> Result<Flow> {
        self.0.push(bits(model));
        Ok(Flow::Continue)
    }
}

fn validation_losses(history: &History) -> Vec<f64> {
    history.epochs.iter().map(|e| e.validation.unwrap().loss).collect()
}

fn first_lowest(losses: &[f64]) -> usize {
    (1..losses.len()).fold(0, |best, i| if losses[i] < losses[best] { i } else { best })
}

#[test]
fn validation_is_measured_on_the_stratified_rest() {
    let data = blobs(100, 4, 1);
    let mut model = small(4, DType::F32);
    let history =
        Trainer::new(Adam::default()).epochs(2).batch(30).validation(0.2).seed(Seed(6)).fit(&mut model, &data);
    let history = history.unwrap();
    let (train, rest) = data.split(0.2, Seed(6)).unwrap();
    let expected = Evaluator::default().batch(30).evaluate(&model, &rest).unwrap();
    let last = &history.epochs[1];
    assert_eq!((last.validation, last.train.samples), (Some(expected), train.len()));
    assert_eq!((train.len(), rest.len()), (80, 20));
}

#[test]
fn the_best_epoch_is_restored_bit_for_bit() {
    let data = blobs(60, 4, 1);
    let mut failures = 0;
    for seed in 1..=3 {
        // A rate this high makes the loss go up and down.
        let trainer = Trainer::new(Sgd { rate: 1.5 }).epochs(12).batch(10).validation(0.3).seed(Seed(seed));
        let mut recorder = Recorder::default();
        let mut model = small(4, DType::F32);
        let history = trainer.clone().keep_best().fit_with(&mut model, &data, &mut [&mut recorder]).unwrap();
        let best = first_lowest(&validation_losses(&history));
        assert_eq!(history.best_epoch, Some(best + 1));
        assert_eq!(bits(&model), recorder.0[best]);
        failures += usize::from(best == 11);
        let mut last = small(4, DType::F32);
        let history = trainer.fit(&mut last, &data).unwrap();
        assert_eq!((bits(&last) == recorder.0[11], history.best_epoch), (true, None));
    }
    assert!(failures < 3, "the last epoch was always the best, so nothing was tested");
}

#[test]
fn training_stops_when_nothing_gets_better() {
    let data = blobs(40, 2, 1);
    for (validation, of) in [(None, "training loss"), (Some(0.25), "validation loss")] {
        let trainer = Trainer::new(Sgd { rate: 0.0 }).epochs(20).batch(10).patience(3).min_delta(1e-9);
        let trainer = validation.map_or(trainer.clone(), |share| trainer.validation(share));
        let history = trainer.fit(&mut small(2, DType::F32), &data).unwrap();
        assert_eq!(history.epochs.len(), 4);
        assert_eq!(history.stopped.as_deref(), Some(&*format!("no lower {of} in 3 epochs")));
    }
}

#[test]
fn an_improvement_below_min_delta_does_not_count() {
    let data = blobs(40, 2, 1);
    let epochs = |delta| {
        let trainer = Trainer::new(Sgd { rate: 0.01 }).epochs(8).batch(10).patience(2).min_delta(delta);
        trainer.fit(&mut small(2, DType::F32), &data).unwrap().epochs.len()
    };
    assert_eq!((epochs(0.0), epochs(10.0)), (8, 3));
}

/// Prunes half of every matrix after epoch 2.
struct PruneOnce;

impl TrainHook for PruneOnce {
    fn after_epoch(&mut self, model: &mut Model, at: &Progress, _: &EpochRecord) -> Result<Flow> {
        if at.epoch == 2 {
            let (params, backend) = model.params_mut();
            let targets: Vec<_> = params.iter().map(|(id, p)| (id, p.value().len())).collect();
            for (id, len) in targets {
                params.prune(backend, id, &Mask::from_fn(len, |i| i % 2 == 0))?;
            }
        }
        Ok(Flow::Continue)
    }
}

#[test]
fn the_best_epoch_is_one_with_the_final_masks() {
    let data = blobs(80, 4, 1);
    let mut model = small(4, DType::F32);
    let mut recorder = Recorder::default();
    let trainer = Trainer::new(Adam { rate: 0.05, ..Adam::default() }).epochs(5).batch(20).keep_best();
    let history = trainer.fit_with(&mut model, &data, &mut [&mut PruneOnce, &mut recorder]).unwrap();
    let best = history.best_epoch.unwrap();
    assert!(best > 2);
    assert_eq!(bits(&model), recorder.0[best - 1]);
    assert!(history.epochs[2].kept < history.epochs[1].kept);
}

#[test]
fn nothing_trainable_is_not_an_error() {
    let data = blobs(20, 2, 1);
    let mut model = small(2, DType::F32);
    let ids: Vec<_> = model.params().iter().map(|(id, _)| id).collect();
    ids.into_iter().for_each(|id| model.params_mut().0.set_trainable(id, Trainable::None).unwrap());
    let before = bits(&model);
    let history = Trainer::new(Adam::default()).epochs(2).fit(&mut model, &data).unwrap();
    assert_eq!((bits(&model), history.epochs.len()), (before, 2));
    // The same samples in another order: the same sum but for rounding.
    assert!((history.epochs[0].train.loss - history.epochs[1].train.loss).abs() < 1e-12);
}

#[test]
fn no_epochs_is_no_training() {
    let data = blobs(20, 2, 1);
    let mut model = small(2, DType::F32);
    let before = bits(&model);
    let history = Trainer::new(Adam::default()).epochs(0).keep_best().fit(&mut model, &data).unwrap();
    assert_eq!((bits(&model), history), (before, History::default()));
}

/// Labels that cannot be learnt, only remembered: whoever is right about a held-out sample has been trained on it.
fn coin_tosses() -> Samples {
    let mut stream = Seed(5).stream("coin", 0);
    let labels = (0..300).map(|_| u32::from(stream.unit() < 0.5)).collect();
    let inputs = Array2::from_shape_fn((300, 10), |_| stream.normal() as f32);
    Samples::new("coin tosses", inputs, Targets::Classes { labels, classes: 2 }).unwrap()
}

#[test]
fn what_is_held_out_stays_so_in_every_later_phase() {
    let data = coin_tosses();
    let network = Network::new(10).dense(64, Relu).dense(32, Relu).dense(2, Identity);
    let mut model = network.build(&spectral_cpu::Cpu::new().unwrap(), Seed(1)).unwrap();
    let trainer = |seed| Trainer::new(Adam { rate: 5e-3, ..Adam::default() }).batch(20).seed(Seed(seed));
    let last = |history: History| history.epochs.last().unwrap().clone();
    let first = last(trainer(1).epochs(120).validation(0.2).fit(&mut model, &data).unwrap());
    assert!(first.train.accuracy.unwrap() > 0.95, "{first:?}");
    let record = model.meta.held_out.unwrap();
    assert_eq!((record.share, record.seed, record.of), (0.2, 1, 300));
    // Another seed, another share, or none at all in between.
    trainer(2).epochs(5).fit(&mut model, &data).unwrap();
    let second = last(trainer(3).epochs(5).validation(0.4).fit(&mut model, &data).unwrap());
    assert_eq!(model.meta.held_out, Some(record));
    for epoch in [first, second] {
        let validation = epoch.validation.unwrap();
        assert_eq!((epoch.train.samples, validation.samples), (240, 60));
        assert!((validation.accuracy.unwrap() - 0.5).abs() < 0.2, "{validation:?}");
    }
    // Samples of another set are drawn from that.
    let other = blobs(50, 2, 3);
    let mut model = small(2, DType::F32);
    model.meta.held_out = Some(record);
    trainer(4).epochs(1).validation(0.2).fit(&mut model, &other).unwrap();
    assert_eq!(model.meta.held_out.map(|h| (h.seed, h.of)), Some((4, 50)));
}

#[test]
fn samples_to_validate_on_can_be_given() {
    let (data, held_out) = (blobs(40, 2, 1), blobs(12, 2, 9));
    let mut model = small(2, DType::F32);
    let trainer = Trainer::new(Adam::default()).epochs(1).batch(10).validation(0.5);
    let history = trainer.validate_on(held_out.clone()).fit(&mut model, &data).unwrap();
    let expected = Evaluator::default().batch(10).evaluate(&model, &held_out).unwrap();
    assert_eq!((history.epochs[0].train.samples, history.epochs[0].validation), (40, Some(expected)));
    assert_eq!(model.meta.held_out, None);
}

/// Keeps what happened, and stops after a step.
#[derive(Default)]
struct Calls {
    stop_after: u64,
    ended: Vec<u64>,
}

impl TrainHook for Calls {
    fn after_step(&mut self, _: &mut Model, at: &Progress) -> Result<Flow> {
        Ok(if at.step == self.stop_after { Flow::Stop } else { Flow::Continue })
    }
    fn end(&mut self, _: &mut Model, at: &Progress) -> Result<()> {
        self.ended.push(at.step);
        if self.stop_after == 7 { Err(Error::config("the hook", "asked for more")) } else { Ok(()) }
    }
}

#[test]
fn hooks_hear_of_the_end_once_and_may_refuse_it() {
    let data = blobs(20, 2, 1);
    for (stop_after, steps) in [(0, 8), (3, 3), (7, 7)] {
        let mut calls = Calls { stop_after, ..Calls::default() };
        let trainer = Trainer::new(Adam::default()).epochs(4).batch(10);
        let fitted = trainer.fit_with(&mut small(2, DType::F32), &data, &mut [&mut calls]);
        assert_eq!((calls.ended, fitted.is_err()), (vec![steps], stop_after == 7));
    }
}

#[test]
fn what_would_stop_a_run_is_found_without_one() {
    let (data, model) = (blobs(20, 2, 1), small(2, DType::F32));
    let trainer = || Trainer::new(Adam::default());
    trainer().check_for(&model, &data).unwrap();
    for (trainer, words) in [
        (trainer().batch(0), "`batch` is 0"),
        (trainer().only(["dens1"]), "did you mean"),
        (trainer().validate_on(blobs(5, 3, 1)), "has 3 outputs"),
    ] {
        let error = trainer.check_for(&model, &data).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(trainer().epochs(3).batch(30).steps(100), 12);
}
