//! Training on a topology that moves.

use super::phase;
use crate::topology::{Topology, TopologyHook, TopologyRecord};
use serde::{Deserialize, Serialize};
use spectral_core::{Cell, History, Model, Result, Strategy, StrategyCx, StrategyReport, Table, register_strategy};
use spectral_train::{Loss, TrainConfig};

/// Trains layers of kind `sparse` while they exchange stored weights for absent ones.
///
/// ```toml
/// [[strategy]]
/// name = "dynamic_sparse"
/// method = { name = "rigl", share = 0.3, every = { steps = 100 } }   # or "set", "rigl", "srigl"
/// train = { epochs = 40, batch = 32, optimizer = { name = "momentum", rate = 0.05 } }
/// ```
///
/// Gradients of absent weights are taken on batches of the training data, of the size and by the loss of `train`.
/// The report has a row for every epoch: stored share of the weights, accuracy while it trained, exchanged share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicSparse {
    /// How entries are exchanged.
    pub method: Topology,
    /// How it trains.
    pub train: TrainConfig,
}

impl Strategy for DynamicSparse {
    fn check(&self) -> Result<()> {
        self.method.check()?;
        phase::check(&self.train)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        let loss = self.train.loss.unwrap_or_else(|| Loss::for_targets(cx.train.targets()));
        let mut hook = TopologyHook::new(self.method, cx.seed)?.growing_on(cx.train, loss, self.train.batch);
        let mut trained = model.duplicate()?;
        let data = phase::Data::of(cx);
        let history = phase::train(cx, "dynamic_sparse", &self.train, &mut trained, data, &mut [&mut hook])?;
        let measured = phase::measure(&self.train, &trained, cx.validation)?;
        let (stored, positions) = stored(&trained);
        let summary = format!(
            "{} of {positions} weights stored ({:.2} %), {} updates exchanged {} of them, validation {measured}",
            stored,
            100.0 * stored as f64 / (positions as f64).max(1.0),
            hook.records().len(),
            hook.records().iter().map(|r| r.exchanged).sum::<usize>(),
        );
        let detail = serde_json::json!({
            "method": self.method,
            "updates": hook.records().len(),
            "stored": stored,
            "validation": measured,
        });
        let table = epochs(&history, hook.records(), (stored, positions));
        *model = trained;
        Ok(StrategyReport { summary, detail, tables: vec![table] })
    }
}

/// Entries stored on patterns, and those of the whole matrices.
fn stored(model: &Model) -> (usize, u64) {
    let patterns = model.params().iter().filter_map(|(_, p)| p.pattern.as_ref());
    patterns.fold((0, 0), |(n, all), p| (n + p.nonzeros(), all + p.nonzeros() as u64 + p.absent()))
}

/// One row an epoch. `end` is what is stored at the end: all along, where nothing was ever exchanged.
fn epochs(history: &History, records: &[TopologyRecord], end: (usize, u64)) -> Table {
    let columns =
        ["epoch", "stored share", "train accuracy", "validation accuracy", "exchanged share", "ablated units"];
    let mut table = Table::new("Dynamic sparse training", columns).plotted(0, [2, 3]);
    for epoch in &history.epochs {
        let until = records.partition_point(|r| r.epoch <= epoch.epoch);
        let here = &records[records.partition_point(|r| r.epoch < epoch.epoch)..until];
        let stored = match (until.checked_sub(1), records.first()) {
            (Some(i), _) => records[i].stored as f64 / records[i].positions as f64,
            (None, Some(first)) => first.before as f64 / first.positions as f64,
            (None, None) => end.0 as f64 / (end.1 as f64).max(1.0),
        };
        let exchanged: f64 = here.iter().fold(0.0, |sum, r| sum + r.exchanged as f64 / r.before.max(1) as f64);
        table.push([
            Cell::from(epoch.epoch),
            stored.into(),
            epoch.train.accuracy.into(),
            epoch.validation.and_then(|m| m.accuracy).into(),
            exchanged.into(),
            until.checked_sub(1).map_or(0, |i| records[i].ablated).into(),
        ]);
    }
    table
}

register_strategy!(DynamicSparse, "dynamic_sparse", "trains sparse layers that exchange weights: SET, RigL, SRigL");
