//! Copies of a model that train apart and are mixed.

use super::phase;
use crate::{MixConfig, Mixer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::{
    Cell, Error, Metrics, Model, Result, Strategy, StrategyCx, StrategyReport, Table, register_strategy,
};
use spectral_train::TrainConfig;

/// Trains several copies of the model, each on data or in an order of its own, and leaves their mix.
///
/// All copies start from the same parameters; the mean of networks that never met is of no use. Sparana E, I7.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// How many copies, at least 2.
    pub models: usize,
    /// What each trains on.
    pub data: Share,
    /// How each trains.
    pub train: TrainConfig,
    /// How they are mixed; criteria that measure do so on what the copy was trained on.
    pub mix: MixConfig,
}

/// What each of several models trains on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// A part of the data that no other trains on.
    #[default]
    Parts,
    /// All of it, in an order of its own.
    All,
}

impl Default for Mix {
    fn default() -> Self {
        Self { models: 3, data: Share::Parts, train: TrainConfig::default(), mix: MixConfig::default() }
    }
}

impl Strategy for Mix {
    fn check(&self) -> Result<()> {
        if self.models < 2 {
            return Err(Error::config("strategy `mix`", format!("`models` is {}; mix at least 2", self.models)));
        }
        phase::check(&self.train)?;
        Ok(self.mix.check()?)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let parts = match self.data {
            Share::Parts => cx.train.distribute(self.models, cx.seed)?,
            Share::All => vec![cx.train.clone(); self.models],
        };
        let mut table = Table::new("Mixed models", ["model", "samples", "loss", "accuracy"]);
        let mut row = |name: String, samples: usize, model: &Model, cx: &StrategyCx<'_>| {
            let m = phase::measure(&self.train, model, cx.validation)?;
            table.push([Cell::from(name), samples.into(), m.loss.into(), m.accuracy.into()]);
            Ok::<Metrics, Error>(m)
        };
        let start = row("start".into(), 0, model, cx)?;
        let mut mixer = Mixer::new(self.mix.clone(), cx.seed)?;
        let mut all = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut copy = model.duplicate()?;
            let name = format!("model {}", index + 1);
            let data = phase::Data { train: part, held_out: cx.validation };
            phase::train(cx, &format!("mix, {name}"), &self.train, &mut copy, data, &mut [])?;
            all.push(row(name, part.len(), &copy, cx)?);
            mixer.add(&copy, part)?;
        }
        let mixed = mixer.mix()?;
        let mix = row("mix".into(), cx.train.len(), &mixed, cx)?;
        *model = mixed;
        let mean = Metrics::mean(&all);
        Ok(StrategyReport {
            summary: format!(
                "{} models with {mean} on average mix to one with {mix} (started with {start})",
                self.models
            ),
            detail: json!({ "models": all.iter().map(|m| m.accuracy).collect::<Vec<_>>(), "mix": mix.accuracy }),
            tables: vec![table],
        })
    }
}

register_strategy!(Mix, "mix", "trains copies of the model apart and mixes their parameters");
