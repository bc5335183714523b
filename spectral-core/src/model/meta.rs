//! What a model remembers besides its function: where it comes from and what was done to it.

use crate::base::{Result, Seed};
use crate::model::{ContentHash, Plan};
use crate::samples::Samples;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything a model file carries that does not change what the model computes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Seed the parameters were drawn from.
    pub seed: Option<u64>,
    /// The data it was trained on.
    pub data: Option<DataOrigin>,
    /// How raw values become inputs.
    pub preprocessing: Preprocessing,
    /// What was done to it, oldest first.
    pub history: Vec<HistoryEntry>,
    /// For nodes that lost units: the index each remaining unit had in the original network.
    pub origins: BTreeMap<String, Vec<u32>>,
    /// The training samples that are held out to measure on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Kernels that were measured for its layers; a hint that holds on the machine it was made on.
    pub plan: Option<Plan>,
    /// What the first version of the file format called this model, or one that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
}

/// Two hashes of the same model. Histories and deltas of files of version 1 name it by the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Its content hash.
    pub hash: ContentHash,
    /// Its content hash in files of version 1.
    pub version_1: ContentHash,
}

impl Meta {
    /// The index that unit `unit` of node `node` had in the original network.
    pub fn origin(&self, node: &str, unit: usize) -> usize {
        self.origins.get(node).and_then(|o| o.get(unit)).map_or(unit, |&o| o as usize)
    }
}

/// Which data a model was trained on, precisely enough to load it again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataOrigin {
    /// Registry name or path.
    pub name: String,
    /// Seed of the train/test split, where the set does not come split.
    pub split_seed: Option<u64>,
    /// Share of the samples in the test set, if it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
    /// The column with the labels, if it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// The training samples that are held out to measure on. They are drawn once, and everything that continues the model
/// leaves out the same ones: what a model was trained on tells nothing about how well it generalises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Share of the samples.
    pub share: f64,
    /// Seed of the draw.
    pub seed: u64,
    /// How many samples they were drawn from. A set of another size is other data.
    pub of: usize,
}

impl HeldOut {
    /// Draws a share of `data`; returns the record, what is left to train on, and what is held out.
    ///
    /// # Errors
    /// As [`Samples::split`].
    pub fn draw(share: f64, seed: Seed, data: &Samples) -> Result<(Self, Samples, Samples)> {
        let (rest, held_out) = data.split(share, seed)?;
        Ok((Self { share, seed: seed.0, of: data.len() }, rest, held_out))
    }

    /// The same samples again: what is left to train on, and what is held out. `None` if they were drawn from other
    /// data.
    ///
    /// # Errors
    /// As [`Samples::split`].
    pub fn again(&self, data: &Samples) -> Result<Option<(Samples, Samples)>> {
        (data.len() == self.of).then(|| data.split(self.share, Seed(self.seed))).transpose()
    }
}

/// `x' = (x * scale - mean) / deviation`, on every raw value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// Factor, for example 1/255.
    pub scale: f64,
    /// Subtracted after scaling.
    pub mean: f64,
    /// Divided by at the end.
    pub deviation: f64,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self { scale: 1.0, mean: 0.0, deviation: 1.0 }
    }
}

impl Preprocessing {
    /// One value.
    pub fn apply(&self, x: f32) -> f32 {
        ((f64::from(x) * self.scale - self.mean) / self.deviation) as f32
    }
}

/// One thing done to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// What was done: `train`, `prune`, `finetune`, `compact`, `sparsify`.
    pub action: String,
    /// The model it was done to.
    pub parent: ContentHash,
    /// Everything else, in the words of whoever did it.
    pub detail: serde_json::Value,
}
