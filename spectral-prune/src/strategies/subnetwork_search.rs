//! Pruning to, or training, the weights that random sub-networks did well with.

use super::phase;
use crate::SubnetworkConfig;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::{
    Cell, Error, Metrics, Model, Result, Strategy, StrategyCx, StrategyReport, Table, register_strategy,
};
use spectral_train::TrainConfig;

/// Draws random sub-networks, and keeps the weights that the better ones had. Source: Sparana.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubnetworkSearch {
    /// How sub-networks are drawn and judged.
    pub search: SubnetworkConfig,
    /// Share of the weights of every layer that is chosen.
    pub amount: f64,
    /// What becomes of the choice.
    pub then: Then,
    /// How the chosen weights train afterwards, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainConfig>,
}

/// What becomes of the chosen weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// All others are pruned.
    #[default]
    Prune,
    /// All others, and the biases, are frozen while these train; then they can train again.
    Freeze,
}

impl Default for SubnetworkSearch {
    fn default() -> Self {
        Self { search: SubnetworkConfig::default(), amount: 0.5, then: Then::Prune, train: None }
    }
}

impl Strategy for SubnetworkSearch {
    fn check(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::config("strategy `subnetwork_search`", problem));
        if !(0.0..=1.0).contains(&self.amount) {
            return bad(format!("`amount` is {}; it must be between 0 and 1", self.amount));
        }
        if self.then == Then::Freeze && self.train.is_none() {
            return bad("to freeze the others without `train` does nothing; say how to train".into());
        }
        self.search.check()?;
        self.train.as_ref().map_or(Ok(()), phase::check)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let measured = TrainConfig { loss: self.search.loss, ..TrainConfig::default() };
        let measured = self.train.as_ref().unwrap_or(&measured);
        let mut table = Table::new("Sub-network search", ["model", "weights and biases", "loss", "accuracy"]);
        let mut row = |name: &str, model: &Model, cx: &StrategyCx<'_>| {
            let m = phase::measure(measured, model, cx.validation)?;
            table.push([Cell::from(name), model.params().kept().into(), m.loss.into(), m.accuracy.into()]);
            Ok::<Metrics, Error>(m)
        };
        let before = row("before", model, cx)?;
        let scores = self.search.search(model, cx.train, cx.seed)?;
        let chosen = scores.best(model, self.amount)?;
        let mut result = model.duplicate()?;
        let frozen = match self.then {
            Then::Prune => {
                chosen.prune_others(&mut result)?;
                row("pruned to the chosen weights", &result, cx)?;
                None
            }
            Then::Freeze => Some(chosen.freeze_others(&mut result)?),
        };
        if let Some(train) = &self.train {
            phase::train(cx, "sub-network", train, &mut result, phase::Data::of(cx), &mut [])?;
            row("trained", &result, cx)?;
        }
        if let Some(was) = frozen {
            was.restore(&mut result)?;
        }
        let after = phase::measure(measured, &result, cx.validation)?;
        *model = result;
        let weights: usize = chosen.layers.iter().map(|l| l.mask.count()).sum();
        Ok(StrategyReport {
            summary: format!(
                "{weights} weights chosen by {} random sub-networks: {after}, before: {before}",
                self.search.draws
            ),
            detail: json!({ "weights": weights, "before": before.accuracy, "after": after.accuracy, "mean": scores.mean }),
            tables: vec![table, chosen.table()],
        })
    }
}

register_strategy!(
    SubnetworkSearch,
    "subnetwork_search",
    "draws random sub-networks and keeps the weights that the better ones had"
);
