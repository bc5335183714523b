//! The gradual schedule, driven by hand.

use crate::support::*;
use spectral_core::{Activation::*, Flow, Model, Progress, Samples, Targets, TrainHook};
use spectral_layers::Network;
use spectral_prune::{Gradual, GradualPruning, PRUNE, PruneConfig, explain};
use spectral_train::{Sgd, Trainer};

fn model() -> Model {
    build(&Network::new(10).spectral(30, Relu).spectral(20, Relu).dense(4, Identity), 3)
}

fn at(step: u64) -> Progress {
    Progress { step, steps: 100, epoch: 0, epochs: 1 }
}

#[test]
fn the_pruned_share_follows_the_cubic_to_the_unit() {
    let config = PruneConfig {
        amount: Some(0.8),
        granularity: spectral_prune::Granularity::Unit,
        ..PruneConfig::new("eigenvalue")
    };
    let window = Gradual { start: 10, end: 60, every: 5, from: 0.0 };
    let mut hook = GradualPruning::new(config, (10, 60), 5, None).unwrap();
    let mut m = model();
    let start = m.content_hash().unwrap();
    hook.start(&mut m, &at(0)).unwrap();
    let mut last = 0;
    for t in 1..=100 {
        assert_eq!(hook.after_step(&mut m, &at(t)).unwrap(), Flow::Continue);
        let gone = dead_units(&m, "spectral1").len() + dead_units(&m, "spectral2").len();
        let reached = if t < 10 { 0.0 } else { window.share(0.8, (t - t % 5).min(60)) };
        assert_eq!(gone, (reached * 50.0).round_ties_even() as usize, "step {t}");
        assert!(gone >= last);
        last = gone;
        // Training moves what is left.
        randomise(&mut m, t);
    }
    assert_eq!(last, 40);
    assert_eq!(m.meta.history.iter().filter(|e| e.action == PRUNE).count(), 1);
    let row = &explain(&m).unwrap()[0];
    assert_eq!((row.parent, row.removed, row.kept), (start, 40, 10));
    let named: Vec<usize> = row.layers.iter().map(|l| l.units.len()).collect();
    assert_eq!(named.iter().sum::<usize>(), 40);
    assert_eq!(hook.report().unwrap().removed, 40);
}

#[test]
fn what_cannot_be_reached_fails_before_training() {
    let config = |amount| PruneConfig { amount: Some(amount), ..PruneConfig::new("magnitude") };
    let mut hook = GradualPruning::new(config(1.0), (0, 10), 1, None).unwrap();
    let error = hook.start(&mut model(), &at(0)).unwrap_err().to_string();
    assert!(error.contains("everything"), "{error}");
    assert!(GradualPruning::new(config(0.5), (10, 10), 1, None).is_err());
    assert!(GradualPruning::new(config(0.5), (0, 10), 0, None).is_err());
    assert!(
        GradualPruning::new(PruneConfig { count: Some(3), ..PruneConfig::new("magnitude") }, (0, 9), 1, None).is_err()
    );
}

#[test]
fn a_prepruned_model_waits_until_the_cubic_overtakes_it() {
    let mut m = model();
    spectral_prune::Prune::by("magnitude").amount(0.5).apply(&mut m, None).unwrap();
    let config = PruneConfig { amount: Some(0.9), ..PruneConfig::new("magnitude") };
    let mut hook = GradualPruning::new(config, (0, 20), 1, None).unwrap();
    hook.start(&mut m, &at(0)).unwrap();
    for t in 1..=20 {
        hook.after_step(&mut m, &at(t)).unwrap();
    }
    assert_eq!(m.meta.history.len(), 2);
    let report = hook.report().unwrap();
    assert_eq!((report.step, report.kept), (2, report.total - (0.9 * report.total as f64).round_ties_even() as usize));
}

/// A promised amount is reached, or refused before the first step, or an error says what was reached.
#[test]
fn a_schedule_that_ends_after_the_phase_is_refused_before_it() {
    let config = PruneConfig { amount: Some(0.9), ..PruneConfig::new("magnitude") };
    let mut hook = GradualPruning::new(config, (0, 101), 1, None).unwrap();
    let mut m = model();
    let before = m.content_hash().unwrap();
    let error = hook.start(&mut m, &at(0)).unwrap_err().to_string();
    assert!(error.contains("ends with step 101") && error.contains("has 100"), "{error}");
    assert_eq!(m.content_hash().unwrap(), before);
}

/// Stops training after a step.
struct Stop(u64);

impl TrainHook for Stop {
    fn after_step(&mut self, _: &mut Model, at: &Progress) -> spectral_core::Result<Flow> {
        Ok(if at.step == self.0 { Flow::Stop } else { Flow::Continue })
    }
}

#[test]
fn a_phase_that_ends_early_names_what_was_asked_for_and_what_was_reached() {
    let inputs = ndarray::Array2::from_shape_fn((40, 10), |(i, j)| ((i * 7 + j * 3) % 11) as f32 / 11.0);
    let labels = (0..40).map(|i| i % 4).collect();
    let data = Samples::new("forty", inputs, Targets::Classes { labels, classes: 4 }).unwrap();
    let config = || PruneConfig { amount: Some(0.9), ..PruneConfig::new("magnitude") };
    // 10 epochs of 4 steps. Nothing gets better, so that patience ends it two epochs after masks last changed.
    let trainer = Trainer::new(Sgd { rate: 0.0 }).epochs(10).batch(10);
    for (patience, stop, every) in [(None, 13, 1), (Some(2), 0, 12)] {
        let trainer = patience.map_or(trainer.clone(), |epochs| trainer.clone().patience(epochs).min_delta(1.0));
        let mut hook = GradualPruning::new(config(), (0, 40), every, None).unwrap();
        let mut m = model();
        let error = trainer.fit_with(&mut m, &data, &mut [&mut hook, &mut Stop(stop)]).unwrap_err().to_string();
        let reached = 1.0 - hook.report().unwrap().kept as f64 / hook.report().unwrap().total as f64;
        assert!(reached > 0.1 && reached < 0.9, "{reached}");
        let words = ["an amount of 0.9", &format!("reached {reached:.4}"), "ends with step 40", "`patience`"];
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    }
    let mut hook = GradualPruning::new(config(), (0, 40), 1, None).unwrap();
    trainer.fit_with(&mut model(), &data, &mut [&mut hook]).unwrap();
    let report = hook.report().unwrap();
    assert_eq!(report.total - report.kept, (0.9 * report.total as f64).round_ties_even() as usize);
}
