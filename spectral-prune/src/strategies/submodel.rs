//! Training a smaller network in the model's place.

use super::phase;
use crate::SubModelConfig;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::{Cell, Metrics, Model, Result, Strategy, StrategyCx, StrategyReport, Table, register_strategy};
use spectral_train::TrainConfig;
use std::time::Instant;

/// Cuts a sub-model out of the last layers, trains it on the activities in front of them, and puts its parameters back.
///
/// Compared, if asked for, with training the whole model alike. Source: Sparana.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSubModel {
    /// What the sub-model keeps.
    pub submodel: SubModelConfig,
    /// How it trains.
    pub train: TrainConfig,
    /// Whether the whole model is trained alike, for the table.
    pub compare: bool,
}

impl Default for TrainSubModel {
    fn default() -> Self {
        Self { submodel: SubModelConfig::default(), train: TrainConfig::default(), compare: true }
    }
}

impl Strategy for TrainSubModel {
    fn check(&self) -> Result<()> {
        phase::check(&self.train)?;
        Ok(self.submodel.check()?)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let columns = ["model", "parameters", "loss", "accuracy", "training seconds"];
        let mut table = Table::new("Sub-model training", columns);
        let mut row = |name: &str, model: &Model, m: Metrics, seconds: f64| {
            let parameters = model.params().kept();
            table.push([Cell::from(name), parameters.into(), m.loss.into(), m.accuracy.into(), seconds.into()]);
        };
        let before = phase::measure(&self.train, model, cx.validation)?;
        row("original", model, before, 0.0);
        let mut sub = self.submodel.extract(model, cx.train, cx.seed)?;
        let (seen, unseen) = (sub.inputs(model, cx.train)?, sub.inputs(model, cx.validation)?);
        row("sub-model", &sub.model, phase::measure(&self.train, &sub.model, &unseen)?, 0.0);
        let started = Instant::now();
        phase::train(
            cx,
            "sub-model",
            &self.train,
            &mut sub.model,
            phase::Data { train: &seen, held_out: &unseen },
            &mut [],
        )?;
        let seconds = started.elapsed().as_secs_f64();
        row("sub-model, trained", &sub.model, phase::measure(&self.train, &sub.model, &unseen)?, seconds);
        let mut result = model.duplicate()?;
        sub.reinsert(&mut result)?;
        let after = phase::measure(&self.train, &result, cx.validation)?;
        row("original, sub-model put back", &result, after, seconds);
        if self.compare {
            let mut whole = model.duplicate()?;
            let started = Instant::now();
            phase::train(cx, "whole model", &self.train, &mut whole, phase::Data::of(cx), &mut [])?;
            let seconds = started.elapsed().as_secs_f64();
            row("original, trained as a whole", &whole, phase::measure(&self.train, &whole, cx.validation)?, seconds);
        }
        let parameters = sub.model.params().kept();
        let summary = format!(
            "a sub-model of {parameters} of {} parameters was trained and put back: {after}, before: {before}",
            model.params().kept()
        );
        *model = result;
        let detail = json!({ "layers": sub.layers, "before": before.accuracy, "after": after.accuracy });
        Ok(StrategyReport { summary, detail, tables: vec![table] })
    }
}

register_strategy!(TrainSubModel, "submodel", "trains a smaller network cut out of the last layers and puts it back");
