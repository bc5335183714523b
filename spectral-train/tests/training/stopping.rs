//! Validation, early stopping, and the best epoch.

use crate::support::{bits, blobs, small};
use spectral_core::{
    DType, EpochRecord, Evaluate, Flow, History, Mask, Model, Progress, Result, Seed, TrainHook, Trainable,
};
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
