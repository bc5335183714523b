//! Pruning, moving topologies and strategies that stop and go on.

use crate::support::*;
use serde_json::json;
use spectral_core::registry::find;
use spectral_core::{
    Activation::*, FinishedPhase, History, KeepState, Model, Phases, Result, Resumed, Samples, Seed, State, StrategyCx,
    StrategyEntry, Train, TrainHook, Unwatched, Watch,
};
use spectral_cpu::Cpu;
use spectral_layers::{Network, Sparse};
use spectral_prune::topology::{Every, Rigl, Topology, TopologyHook};
use spectral_prune::{GradualPruning, Granularity, PruneConfig};
use spectral_train::{Adam, Loss, Trainer};
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

/// A state as it would come out of a file.
fn written(state: &State) -> State {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

/// Runs `trainer` once as a whole and once from each of its epochs on, with new hooks each time.
fn goes_on<'d, H: TrainHook + 'd>(trainer: Trainer, start: &Model, data: &'d Samples, hook: impl Fn() -> H) {
    let (kept, mut whole) = (All::default(), start.duplicate().unwrap());
    trainer.clone().keep_states(kept.clone()).fit_with(&mut whole, data, &mut [&mut hook()]).unwrap();
    let hash = whole.content_hash().unwrap();
    assert_ne!(hash, start.content_hash().unwrap());
    let kept = std::mem::take(&mut *kept.0.lock().unwrap());
    assert!(kept.len() > 2);
    for (mut model, state) in kept {
        trainer.resume(&mut model, data, &mut [&mut hook()], &written(&state)).unwrap();
        assert_eq!(model.content_hash().unwrap(), hash);
        assert_eq!(model.meta.history, whole.meta.history);
    }
}

#[test]
fn gradual_pruning_goes_on_along_its_curve() {
    let start = build(&Network::new(6).spectral(20, Relu).spectral(12, Relu).dense(3, Identity), 3);
    let data = samples(60, 6, 3, 1);
    let config = PruneConfig { amount: Some(0.6), granularity: Granularity::Unit, ..PruneConfig::new("eigenvalue") };
    let hook = || GradualPruning::new(config.clone(), (4, 18), 3, None).unwrap();
    goes_on(Trainer::new(Adam::default()).batch(15).epochs(5).seed(Seed(2)), &start, &data, hook);
}

#[test]
fn a_moving_topology_goes_on_with_the_same_exchanges() {
    let layer = |units, act| Sparse::new(units, act, 0.3);
    let network = Network::new(12).layer(layer(16, Relu)).layer(layer(3, Identity));
    let start = network.build(&Cpu::with_threads(1).unwrap(), Seed(4)).unwrap();
    let data = samples(60, 12, 3, 1);
    let rigl = Rigl { every: Every::Steps(3), until: 0.9, ..Rigl::default() };
    let hook = || TopologyHook::new(Topology::Rigl(rigl), Seed(5)).unwrap().growing_on(&data, Loss::CrossEntropy, 16);
    goes_on(Trainer::new(Adam::default()).batch(15).epochs(4).seed(Seed(2)), &start, &data, hook);
}

/// Phases in memory, with their models.
#[derive(Default)]
struct Kept(Vec<(String, Model, History, State)>);

impl Phases for Kept {
    fn done(&mut self, index: usize, name: &str) -> Result<Option<FinishedPhase>> {
        let Some((kept, model, history, hooks)) = self.0.get(index) else { return Ok(None) };
        assert_eq!(kept, name);
        let (model, history, hooks) = (model.duplicate()?, history.clone(), written(hooks));
        Ok(Some(FinishedPhase { model, history, hooks }))
    }

    fn keep(&mut self, _: usize, name: &str, model: &Model, history: &History, hooks: &State) -> Result<()> {
        self.0.push((name.into(), model.duplicate()?, history.clone(), hooks.clone()));
        Ok(())
    }
}

/// Trains `phases` more phases, and fails at the next.
struct Breaks {
    phases: usize,
}

impl Watch for Breaks {
    fn train(
        &mut self,
        _: &str,
        trainer: &dyn Train,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> Result<History> {
        self.phases = self.phases.checked_sub(1).ok_or_else(|| spectral_core::Error::Data("the power went".into()))?;
        trainer.train(model, data, hooks)
    }
}

#[test]
fn a_strategy_that_was_stopped_goes_on_without_training_anything_twice() {
    let phase = json!({ "epochs": 2, "batch": 20, "optimizer": { "name": "adam", "rate": 0.01 } });
    let start = build(&Network::new(6).spectral(20, Relu).spectral(12, Relu).dense(3, Identity), 3);
    let (train, validation) = (samples(90, 6, 3, 1), samples(60, 6, 3, 2));
    for (name, config) in [
        (
            "distil",
            json!({ "train": phase, "finetune": phase, "prune": { "criterion": "eigenvalue",
            "granularity": "unit", "percentile": 50.0 } }),
        ),
        ("learn_classes", json!({ "new_classes": [2], "train": phase, "learn": phase })),
    ] {
        let run = |watch: &mut dyn Watch, model: &mut Model| {
            let strategy = (find::<StrategyEntry>(name).unwrap().build)(config.clone()).unwrap();
            let mut cx = StrategyCx { train: &train, validation: &validation, seed: Seed(3), watch };
            strategy.run(model, &mut cx)
        };
        let mut whole = start.duplicate().unwrap();
        let report = run(&mut Unwatched, &mut whole).unwrap();
        let (mut kept, mut model) = (Kept::default(), start.duplicate().unwrap());
        let mut stops = 0;
        // Each try gets one phase further.
        let again = loop {
            match run(&mut Resumed::new(&mut Breaks { phases: 1 }, &mut kept), &mut model) {
                Ok(report) => break report,
                Err(e) => assert!(e.to_string().contains("the power went"), "{e}"),
            }
            stops += 1;
            assert_eq!(kept.0.len(), stops);
            assert_eq!(model.content_hash().unwrap(), start.content_hash().unwrap(), "as it was after an error");
        };
        assert!(stops > 0, "{name}");
        assert_eq!((model.content_hash().unwrap(), again), (whole.content_hash().unwrap(), report), "{name}");
    }
}
