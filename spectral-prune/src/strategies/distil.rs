//! Spectral distillation: a large network trained by its eigenvalues leaves a small one, which is then trained.

use super::{eigenvalues, phase};
use crate::{Error, Granularity, Prune, PruneConfig, Schedule, compact};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::{
    Cell, Metrics, Model, Result, Samples, Seed, Strategy, StrategyCx, StrategyReport, Table, register_strategy,
};
use spectral_train::TrainConfig;

/// Trains the eigenvalues over frozen bases, prunes once, removes what was pruned, and trains all that is left.
///
/// 1. With `restart` all parameters are drawn anew.
/// 2. `train`: eigenvalues of outputs, biases and all layers that are not spectral, over frozen bases. Eigenvalues of
///    inputs train where the layer says so.
/// 3. `prune`: once, to the 85th percentile of the eigenvalues unless chosen.
/// 4. With `compact` pruned units are removed for real.
/// 5. What was trainable is again, and `finetune` trains it from the weights that were found, or, with `reinitialise`,
///    from new ones.
///
/// Source: spectraltools (`spectral_distiller`), which kept nothing but the sizes of the layers. Not knowledge
/// distillation: there is no teacher. Deterministic in the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distil {
    /// Whether all parameters are drawn anew first.
    pub restart: bool,
    /// How the eigenvalues are trained.
    pub train: TrainConfig,
    /// How it is pruned, in one step.
    pub prune: PruneConfig,
    /// Whether pruned units are removed for real before the last training.
    pub compact: bool,
    /// Whether the parameters that are left are drawn anew before the last training.
    pub reinitialise: bool,
    /// How what is left is trained, with everything that may train.
    pub finetune: TrainConfig,
}

impl Default for Distil {
    fn default() -> Self {
        let units = PruneConfig { granularity: Granularity::Unit, ..PruneConfig::new("eigenvalue") };
        Self {
            restart: true,
            train: TrainConfig::default(),
            prune: PruneConfig { percentile: Some(85.0), ..units },
            compact: true,
            reinitialise: false,
            finetune: TrainConfig::default(),
        }
    }
}

impl Strategy for Distil {
    fn check(&self) -> Result<()> {
        phase::check(&self.train)?;
        phase::check(&self.finetune)?;
        self.prune.check()?;
        if self.prune.schedule != Schedule::OneShot {
            return Err(Error::Config("`prune` of a distillation is one step: take the schedule out".into()).into());
        }
        Ok(())
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let mut found = model.duplicate()?;
        let mut table = Table::new("Distillation", ["after", "loss", "accuracy", "parameters"]);
        let was = eigenvalues::train(cx, &self.train, &mut found, self.restart)?;
        self.row(&mut table, "training eigenvalues", &found, cx.validation)?;
        let report = Prune::from_config(self.prune.clone()).seed(cx.seed).apply(&mut found, cx.train)?;
        // The ids of parameters change when they are compacted.
        was.restore(&mut found)?;
        if self.compact {
            found = compact(&found)?.model;
        }
        self.row(&mut table, "pruning", &found, cx.validation)?;
        if self.reinitialise {
            found.redraw(Seed(cx.seed.key("reinitialise", 0)))?;
        }
        let data = phase::Data::of(cx);
        phase::train(cx, "fine-tune", &self.finetune, &mut found, data, &mut [])?;
        let metrics = self.row(&mut table, "training all", &found, cx.validation)?;
        let (removed, kept) = (report.removed, report.kept);
        let summary = format!(
            "trained eigenvalues over frozen bases, pruned {removed} {} and kept {kept}, trained what is left to \
             {metrics}",
            self.prune.granularity.plural()
        );
        *model = found;
        let detail = json!({ "restart": self.restart, "reinitialise": self.reinitialise, "removed": removed,
            "kept": kept, "accuracy": metrics.accuracy });
        Ok(StrategyReport { summary, detail, tables: vec![table] })
    }
}

impl Distil {
    /// Adds what `model` does on `data`, and returns it.
    fn row(&self, table: &mut Table, after: &str, model: &Model, data: &Samples) -> Result<Metrics> {
        let metrics = phase::measure(&self.finetune, model, data)?;
        let kept = model.params().kept();
        table.push([Cell::from(after), metrics.loss.into(), metrics.accuracy.into(), kept.into()]);
        Ok(metrics)
    }
}

register_strategy!(
    Distil,
    "distil",
    "trains eigenvalues over frozen bases, cuts at a percentile, and trains the smaller network"
);
