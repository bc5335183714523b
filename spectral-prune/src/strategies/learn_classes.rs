//! Learning new classes, and what is forgotten of the old ones.

use super::phase;
use crate::{Pick, SelectConfig};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::registry::ByName;
use spectral_core::{
    Cell, EpochRecord, Error, Evaluate, Flow, Model, Plot, Progress, Result, Samples, Seed, State, Strategy,
    StrategyCx, StrategyReport, Table, TrainHook, register_strategy,
};
use spectral_train::{Evaluator, TrainConfig};

/// Trains on the old classes, then on new ones: once with all parameters, once with selected ones only. Leaves the
/// model whose selected parameters learnt.
///
/// The network has outputs for all classes from the start; the model should not have seen the new ones yet (set
/// `epochs = 0` in the recipe's `[train]`). The weights that lead to outputs of new classes are always selected.
/// Source: Sparana ("forgetting").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnClasses {
    /// The classes that come later.
    pub new_classes: Vec<u32>,
    /// How the old classes are learnt; 0 epochs, if they are known.
    pub train: TrainConfig,
    /// How the new ones are.
    pub learn: TrainConfig,
    /// Which parameters learn them, scored on the old classes.
    pub select: SelectConfig,
    /// Share of the old samples that is shown again with the new ones.
    pub rehearsal: f64,
}

impl Default for LearnClasses {
    fn default() -> Self {
        // What the old classes use least is free to learn.
        let select = SelectConfig {
            criterion: ByName::new("activation_weight"),
            pick: Pick::Bottom,
            amount: Some(0.2),
            freeze_biases: true,
            ..SelectConfig::default()
        };
        let (train, learn) = (TrainConfig::default(), TrainConfig { epochs: 3, ..TrainConfig::default() });
        Self { new_classes: Vec::new(), train, learn, select, rehearsal: 0.0 }
    }
}

/// Old and new classes, apart.
struct Split {
    old: Samples,
    new: Samples,
}

impl Split {
    fn of(data: &Samples, new: &[u32]) -> Result<Self> {
        Ok(Self { old: data.without_classes(new)?, new: data.of_classes(new)? })
    }

    fn accuracies(&self, model: &Model, evaluator: &Evaluator) -> Result<[f64; 2]> {
        let accuracy = |data: &Samples| {
            let values = || Error::Data(format!("{}: its targets are values, not classes", data.name));
            evaluator.evaluate(model, data)?.accuracy.ok_or_else(values)
        };
        Ok([accuracy(&self.old)?, accuracy(&self.new)?])
    }
}

/// Measures both after every epoch.
struct Recorder<'a> {
    split: &'a Split,
    evaluator: Evaluator,
    epochs: Vec<[f64; 2]>,
}

impl TrainHook for Recorder<'_> {
    fn after_epoch(&mut self, model: &mut Model, _: &Progress, _: &EpochRecord) -> Result<Flow> {
        self.epochs.push(self.split.accuracies(model, &self.evaluator)?);
        Ok(Flow::Continue)
    }

    fn save(&self) -> Result<State> {
        State::of(&self.epochs)
    }

    fn load(&mut self, _: &mut Model, state: &State) -> Result<()> {
        self.epochs = state.read("the accuracies of old and new classes")?;
        Ok(())
    }
}

impl LearnClasses {
    /// The selection, with the outputs of the new classes.
    fn selection(&self) -> SelectConfig {
        let mut select = self.select.clone();
        select.new_classes.extend(self.new_classes.iter().map(|&c| c as usize));
        select
    }

    /// What the new classes are learnt from: their samples, and the old ones shown again.
    fn lessons(&self, data: &Split, seed: Seed) -> Result<Samples> {
        if self.rehearsal == 0.0 {
            return Ok(data.new.clone());
        }
        let again = match self.rehearsal < 1.0 {
            true => data.old.split(self.rehearsal, seed)?.1,
            false => data.old.clone(),
        };
        Samples::concat(&[&data.new, &again])
    }
}

impl Strategy for LearnClasses {
    fn check(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::config("strategy `learn_classes`", problem));
        if self.new_classes.is_empty() {
            return bad("name the `new_classes`, for instance [8, 9]".into());
        }
        if !(0.0..=1.0).contains(&self.rehearsal) {
            return bad(format!("`rehearsal` is {}; it must be between 0 and 1", self.rehearsal));
        }
        phase::check(&self.train)?;
        phase::check(&self.learn)?;
        Ok(self.select.check()?)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let data = Split::of(cx.train, &self.new_classes)?;
        let held_out = Split::of(cx.validation, &self.new_classes)?;
        let lessons = self.lessons(&data, cx.seed)?;
        let evaluator = Evaluator::new(self.learn.loss);
        let mut start = model.duplicate()?;
        let old = phase::Data { train: &data.old, held_out: &held_out.old };
        phase::train(cx, "old classes", &self.train, &mut start, old, &mut [])?;
        let before = held_out.accuracies(&start, &evaluator)?;
        let selection = self.selection().select(&start, &data.old, cx.seed)?;

        let columns = ["parameters", "trained entries", "old before", "old after", "new before", "new after"];
        let mut table = Table::new("Accuracy on old and new classes", columns);
        let mut curve = Table::new("Learning new classes", ["parameters", "epoch", "old classes", "new classes"]);
        curve.plot = Some(Plot { x: 1, y: vec![2, 3], by: Some(0) });
        let mut results = Vec::new();
        for (arm, select) in [("all", false), ("selected", true)] {
            let mut learner = start.duplicate()?;
            let was = match select {
                true => Some(selection.freeze_others(&mut learner)?),
                false => None,
            };
            let trained = trainable_entries(&learner);
            let mut recorder = Recorder { split: &held_out, evaluator, epochs: vec![before] };
            let phase = format!("new classes, {arm} parameters");
            let measured = if self.rehearsal > 0.0 { cx.validation } else { &held_out.new };
            let new = phase::Data { train: &lessons, held_out: measured };
            phase::train(cx, &phase, &self.learn, &mut learner, new, &mut [&mut recorder])?;
            for (epoch, [old, new]) in recorder.epochs.into_iter().enumerate() {
                curve.push([Cell::from(arm), epoch.into(), old.into(), new.into()]);
            }
            if let Some(was) = was {
                was.restore(&mut learner)?;
            }
            let after = held_out.accuracies(&learner, &evaluator)?;
            let numbers = [before[0], after[0], before[1], after[1]].map(Cell::from);
            table.push([Cell::from(arm), trained.into()].into_iter().chain(numbers));
            results.push((after, learner));
        }
        let (all, selected) = (results[0].0, results[1].0);
        let summary = format!(
            "new classes learnt to {:.4} with selected parameters, old ones went from {:.4} to {:.4}; with all \
             parameters to {:.4} and {:.4}",
            selected[1], before[0], selected[0], all[1], all[0]
        );
        if let Some((_, learner)) = results.pop() {
            *model = learner;
        }
        let detail = json!({ "new_classes": self.new_classes, "before": before, "all": all, "selected": selected });
        Ok(StrategyReport { summary, detail, tables: vec![table, curve, selection.table()] })
    }
}

/// Entries of all parameters that training may move.
fn trainable_entries(model: &Model) -> usize {
    use spectral_core::Trainable;
    let of = |p: &spectral_core::Param| match &p.trainable {
        Trainable::All => p.kept(),
        Trainable::None => 0,
        Trainable::Only(mask) => mask.iter().filter(|&k| !p.pruned().is_some_and(|m| m.contains(k))).count(),
    };
    model.params().iter().map(|(_, p)| of(p)).sum()
}

register_strategy!(
    LearnClasses,
    "learn_classes",
    "learns new classes with all parameters and with selected ones, and measures what is forgotten"
);
