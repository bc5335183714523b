//! Recipes: a whole run as a TOML file.

mod keys;
mod overrides;
mod strategies;

pub(crate) use strategies::Planned;

use crate::{Failure, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{DType, DataOrigin, Density};
use spectral_layers::LayerSpec;
use spectral_prune::PruneConfig;
use spectral_sparse::SparseTraining;
use spectral_train::TrainConfig;
use std::path::Path;

/// The recipes that come with the program, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("digits", include_str!("../../recipes/digits.toml")),
    ("dynamic-sparse", include_str!("../../recipes/dynamic-sparse.toml")),
    ("fashion-mnist", include_str!("../../recipes/fashion-mnist.toml")),
    ("gradual", include_str!("../../recipes/gradual.toml")),
    ("learn-classes", include_str!("../../recipes/learn-classes.toml")),
    ("metric-pruning", include_str!("../../recipes/metric-pruning.toml")),
    ("mnist", include_str!("../../recipes/mnist.toml")),
    ("model-mixing", include_str!("../../recipes/model-mixing.toml")),
    ("prune-convert", include_str!("../../recipes/prune-convert.toml")),
    ("slimming", include_str!("../../recipes/slimming.toml")),
    ("spectral-distil", include_str!("../../recipes/spectral-distil.toml")),
    ("spectral-pretrain", include_str!("../../recipes/spectral-pretrain.toml")),
    ("sub-model", include_str!("../../recipes/sub-model.toml")),
];

/// A run from data to a proven small network.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the run is called; the folder of its results.
    pub name: String,
    /// What all randomness derives from.
    #[serde(default)]
    pub seed: u64,
    /// Where it computes, unless the command line says: a backend's name, or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Whether layers that pruning made thin train on their stored weights alone, in every phase.
    #[serde(default)]
    pub sparse_training: SparseTraining,
    /// What it learns from.
    pub data: DataSection,
    /// What it builds.
    pub network: NetworkSection,
    /// How it trains.
    pub train: TrainConfig,
    /// Whole procedures between training and pruning, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub strategy: Vec<ByName>,
    /// What it prunes, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub prune: Vec<PruneConfig>,
    /// How it trains after every pruning step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finetune: Option<TrainConfig>,
    /// How equality is proven.
    #[serde(default)]
    pub prove: ProveSection,
    /// What counts as good enough.
    #[serde(default)]
    pub verdict: VerdictSection,
    /// What the report looks into besides.
    #[serde(default)]
    pub report: ReportSection,
}

/// `[data]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// A set's name, or the path of a .csv, .npy or .npz file.
    pub set: String,
    /// Seed of the train/test split of sets that come in one piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// Share of the training data that strategies measure on and nothing trains on. Without strategies it stays with
    /// the training data, unless a training phase asks for `validation`. A run has one held-out set: of all shares that
    /// its parts ask for, the largest.
    #[serde(default = "a_tenth")]
    pub validation: f64,
    /// Share of the samples to judge by, of sets that come in one piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
    /// The column with the label of a .csv file, by name or by number from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl DataSection {
    /// Where the data comes from, as models remember it.
    pub(crate) fn origin(&self) -> DataOrigin {
        let Self { set, split_seed, test_share, label, .. } = self.clone();
        DataOrigin { name: set, split_seed, test_share, label }
    }
}

/// `[network]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Element type of the parameters.
    #[serde(default = "f32_by_default")]
    pub dtype: DType,
    /// What share of their weights sparse and masked layers have, instead of what each says itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<Density>,
    /// The layers, in order.
    pub layers: Vec<LayerSpec>,
}

/// `[prove]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProveSection {
    /// Largest relative difference that counts as equal (1e-5 for f32 and 1e-12 for f64, if absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

/// `[verdict]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerdictSection {
    /// How much worse than the dense network the fine-tuned one may be on the test set: accuracy as a difference of
    /// shares (0.02, two points, if absent), another metric as a share of its value (0.05, if absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drop: Option<f64>,
}

/// `[report]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSection {
    /// Shares to prune the dense model by, without training, for the plot of accuracy against share pruned.
    pub sweep: Vec<f64>,
    /// Whether every training phase is followed by how far apart samples of different classes are in every layer.
    pub tracker: bool,
}

impl Default for ReportSection {
    fn default() -> Self {
        Self { sweep: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], tracker: false }
    }
}

fn f32_by_default() -> DType {
    DType::F32
}

fn a_tenth() -> f64 {
    0.1
}

/// `[prune]` once, or `[[prune]]` several times.
fn one_or_many<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    use serde::de::Error;
    match toml::Value::deserialize(from)? {
        toml::Value::Array(steps) => steps.into_iter().map(|s| s.try_into().map_err(D::Error::custom)).collect(),
        step => Ok(vec![step.try_into().map_err(D::Error::custom)?]),
    }
}

impl Recipe {
    /// Reads the recipe that `source` names (a file, or a built-in one; `digits` if there is none) and applies
    /// `key=value` overrides.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has unknown keys or values out of range, or an override is malformed.
    pub fn load(source: Option<&str>, overrides: &[String]) -> Result<Self> {
        let source = source.unwrap_or("digits");
        match BUILT_IN.iter().find(|(name, _)| *name == source) {
            Some((name, text)) => Self::parse(text, name, overrides),
            None => {
                let path = Path::new(source);
                if !path.exists() && !source.contains(['/', '\\', '.']) {
                    let names: Vec<&str> = BUILT_IN.iter().map(|(n, _)| *n).collect();
                    let near = spectral_core::registry::nearest(source, names.iter().copied());
                    let near = near.map_or_else(String::new, |n| format!("did you mean `{n}`? "));
                    let names = names.join(", ");
                    return Err(Failure::input(format!(
                        "no recipe `{source}`: {near}built in are {names}; or give a file"
                    )));
                }
                let text = std::fs::read_to_string(path).map_err(|e| Failure::reading(path, e))?;
                Self::parse(&text, source, overrides)
            }
        }
    }

    /// Reads a recipe from its text; `origin` is what errors call it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<Self> {
        let bad = |problem: String| Failure::input(format!("recipe {origin}: {problem}"));
        let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| bad(keys::one_line(&e)))?;
        for text in overrides {
            overrides::apply(&mut table, text)?;
        }
        if let Some((key, value)) = keys::not_finite(&table) {
            return Err(bad(format!("`{key}` is {value}; it must be a finite number")));
        }
        let text = toml::to_string(&table).map_err(|e| bad(e.to_string()))?;
        let recipe: Self = toml::from_str(&text).map_err(|e| bad(keys::explain(&e, &text)))?;
        recipe.check().map_err(bad)?;
        Ok(recipe)
    }

    /// What types cannot say.
    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return Err(format!("name `{}` must be letters, digits, `-`, `_` or `.`: it names a folder", self.name));
        }
        if self.network.layers.is_empty() {
            return Err("network.layers is empty; add at least one layer".into());
        }
        let held_out = self.data.validation;
        if !(held_out > 0.0 && held_out < 1.0) {
            return Err(format!("data.validation: {held_out} is not between 0 and 1"));
        }
        if let Some(share) = self.report.sweep.iter().find(|s| !(0.0..1.0).contains(*s)) {
            return Err(format!("report.sweep: {share} is not between 0 and 1"));
        }
        if let Some(drop) = self.verdict.max_drop.filter(|d| !(0.0..=1.0).contains(d)) {
            return Err(format!("verdict.max_drop: {drop} is not between 0 and 1; 2 points of accuracy are 0.02"));
        }
        if let Some(t) = self.prove.tolerance.filter(|t| !(*t > 0.0 && t.is_finite())) {
            return Err(format!("prove.tolerance: {t} is not above 0"));
        }
        Ok(())
    }

    /// The phase in which a gradual schedule prunes.
    pub(crate) fn gradual_phase(&self) -> &TrainConfig {
        self.finetune.as_ref().unwrap_or(&self.train)
    }

    /// The share of the training data that the whole run holds out, if any part of it measures on some.
    pub(crate) fn held_out(&self) -> Option<f64> {
        let phases = [Some(&self.train), self.finetune.as_ref()].into_iter().flatten().map(|phase| phase.validation);
        let strategies = (!self.strategy.is_empty()).then_some(self.data.validation);
        phases.chain(strategies).filter(|share| *share > 0.0).reduce(f64::max)
    }

    /// The recipe with everything that was left out filled in, as TOML.
    ///
    /// # Errors
    /// A value cannot be written as TOML.
    pub fn resolved(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Failure::input(format!("recipe {}: {e}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_recipes_are_valid_and_stay_so_when_resolved() {
        for &(name, _) in BUILT_IN {
            let recipe = Recipe::load(Some(name), &[]).unwrap();
            let again = Recipe::parse(&recipe.resolved().unwrap(), "resolved", &[]).unwrap();
            assert_eq!(again.resolved().unwrap(), recipe.resolved().unwrap(), "{name}");
        }
    }

    #[test]
    fn the_strategies_of_built_in_recipes_are_there_and_accept_their_parameters() {
        for &(name, _) in BUILT_IN {
            let recipe = Recipe::load(Some(name), &[]).unwrap();
            assert_eq!(recipe.strategies().unwrap().len(), recipe.strategy.len(), "{name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let (_, digits) = BUILT_IN[0];
        for (from, to, words) in [
            ("epochs = 40\nbatch", "epoch = 40\nbatch", vec!["epoch", "did you mean `epochs`"]),
            ("seed = 7", "seed = -7", vec!["seed"]),
            ("seed = 7", "sed = 7", vec!["sed", "did you mean `seed`"]),
            ("name = \"digits\"", "name = \"../x\"", vec!["names a folder"]),
            ("set = \"digits\"", "set = 3", vec!["set"]),
            ("amount = 0.8", "amout = 0.8", vec!["amout", "did you mean `amount`"]),
            (
                "seed = 7",
                "sparse_training = \"sometimes\"",
                vec!["`sparse_training`", "unknown variant `sometimes`", "`auto`, `never`, `always`"],
            ),
            ("[prune]", "[prune", vec!["line"]),
            ("rate = 2e-3", "rate = nan", vec!["`train.optimizer.rate` is NaN", "finite"]),
            ("amount = 0.8", "amount = inf", vec!["`prune.amount` is inf"]),
            (
                "seed = 7",
                "seed = 7\nverdict = { max_drop = 2.0 }",
                vec!["verdict.max_drop: 2", "points of accuracy are 0.02"],
            ),
        ] {
            let text = digits.replacen(from, to, 1);
            assert_ne!(text, digits, "{from} is not in the recipe");
            let error = Recipe::parse(&text, "test", &[]).map(|_| ()).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word) && !error.contains('\n'), "{to}: {error}");
            }
        }
    }

    #[test]
    fn overrides_reach_into_tables_and_lists() {
        let set = |s: &str| Recipe::load(None, &[s.to_string()]);
        assert_eq!(set("seed=11").unwrap().seed, 11);
        assert_eq!(set("data.split_seed=3").unwrap().data.split_seed, Some(3));
        assert!(set("network.layers.0.units=17").unwrap().resolved().unwrap().contains("units = 17"));
        let deep = format!("{}=1", "a.".repeat(20_000) + "a");
        let nested = format!("seed={}", "[".repeat(20_000));
        for bad in ["seed", "=3", "seed=", "sede=3", "network.layers.9.units=1", "seed.x=1", &deep, &nested] {
            let error = set(bad).map(drop).unwrap_err().to_string();
            assert!(error.len() < 400 && !error.contains('\n'), "{error}");
        }
    }
}
