//! One model from several of the same shape.

use crate::config::criterion;
use crate::weighted::{Weighted, weighted_layers};
use crate::worth::weigh;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{Mask, Model, Param, ParamId, Role, Samples, Seed};

/// How models are mixed, in the form that recipes use.
///
/// ```toml
/// mix = { rule = "weighted", criterion = "activation_weight", rank_and_zero = 0.5 }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixConfig {
    /// How the weights are combined.
    pub rule: MixRule,
    /// How weights are scored, if the rule needs it: any registered criterion whose scores are 0 or more.
    pub criterion: ByName,
    /// Turns scores into ranks, and the lowest ranks into 0. In each layer the scores become `1..=n`, ascending, ties
    /// by index. In every model except the first, ranks strictly below this share of `n` become 0. So 0.5 of 6 weights
    /// zeroes ranks 1 and 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank_and_zero: Option<f64>,
    /// Whether biases are averaged too; if not, those of the first model stay.
    pub biases: bool,
}

/// How the weights `w[m]` of several models with scores `s[m]` are combined. Source: Sparana.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixRule {
    /// `mean w[m]`; with `rank_and_zero`, over the models whose rank is not 0.
    #[default]
    Average,
    /// `sum s[m] w[m] / sum s[m]`, and the plain mean if all scores are 0.
    Weighted,
    /// The weight of the last model whose score is not 0, else that of the first; useful with `rank_and_zero`. Biases
    /// and all other parameters that are not weight matrices stay those of the first model.
    Replace,
}

impl Default for MixConfig {
    fn default() -> Self {
        let criterion = ByName::new("magnitude");
        Self { rule: MixRule::Average, criterion, rank_and_zero: None, biases: true }
    }
}

impl MixConfig {
    /// Checks what can be checked without models.
    ///
    /// # Errors
    /// The criterion is wrong, or the share is not between 0 and 1.
    pub fn check(&self) -> Result<()> {
        criterion(&self.criterion)?;
        match self.rank_and_zero {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::Config(format!("`rank_and_zero` is {share}; the share must be between 0 and 1")))
            }
            _ => Ok(()),
        }
    }

    fn needs_scores(&self) -> bool {
        self.rule != MixRule::Average || self.rank_and_zero.is_some()
    }
}

/// Collects models, as copies, and mixes them.
///
/// Weights are the entries of weight matrices (the basis, in a spectral layer). All other parameters, for example
/// eigenvalues, get the plain mean. In an average, a pruned entry counts as 0 with score 0, and the result is pruned if
/// the entry is pruned in all models. A replaced entry is pruned if it was pruned in its source.
#[derive(Debug)]
pub struct Mixer {
    config: MixConfig,
    seed: Seed,
    models: Vec<Stored>,
}

/// A copy of a model, so that further training of the original does not change it.
#[derive(Debug)]
struct Stored {
    model: Model,
    /// Scores of the stored entries of every weight matrix; empty, if the rule needs none.
    scores: Vec<(ParamId, Vec<f64>)>,
}

impl Mixer {
    /// A mixer without models. `seed` is for criteria that draw numbers.
    ///
    /// # Errors
    /// As [`MixConfig::check`].
    pub fn new(config: MixConfig, seed: Seed) -> Result<Self> {
        config.check()?;
        Ok(Self { config, seed, models: Vec::new() })
    }

    /// Adds a copy of `model`, scored on `data` if the criterion measures.
    ///
    /// # Errors
    /// It has another shape than the first model, data is needed and missing, a score is negative, or a device failed.
    pub fn add<'a>(&mut self, model: &Model, data: impl Into<Option<&'a Samples>>) -> Result<()> {
        let stored = self.store(model, self.models.len(), data.into())?;
        self.models.push(stored);
        Ok(())
    }

    /// Replaces model `index` (from 0) by a copy of `model`.
    ///
    /// # Errors
    /// There is no such model, or as [`add`](Self::add).
    pub fn replace<'a>(&mut self, index: usize, model: &Model, data: impl Into<Option<&'a Samples>>) -> Result<()> {
        let stored = self.store(model, index, data.into())?;
        let count = self.models.len();
        let missing = || Error::Config(format!("there is no model {index} to replace: {count} are numbered from 0"));
        *self.models.get_mut(index).ok_or_else(missing)? = stored;
        Ok(())
    }

    /// The mix. Everything except parameters comes from the first model.
    ///
    /// # Errors
    /// There is no model, or a device failed.
    pub fn mix(&self) -> Result<Model> {
        let Some(first) = self.models.first() else {
            return Err(Error::Config("there is nothing to mix: add models first".into()));
        };
        let mut mixed = first.model.duplicate()?;
        let ids: Vec<ParamId> = first.model.params().iter().map(|(id, _)| id).collect();
        for id in ids {
            if let Some((values, pruned)) = self.parameter(id)? {
                let (params, backend) = mixed.params_mut();
                params.set_pruned(backend, id, None)?;
                params.edit(backend, id, |t| backend.write(&values, t))?;
                params.set_pruned(backend, id, Some(pruned))?;
            }
        }
        Ok(mixed)
    }

    /// The mixed values of a parameter and its pruned entries; `None` if it stays that of the first model.
    fn parameter(&self, id: ParamId) -> Result<Option<(Vec<f64>, Mask)>> {
        let params: Vec<&Param> = self.models.iter().map(|m| m.model.params().get(id)).collect();
        let scores: Option<Vec<&[f64]>> = self
            .models
            .iter()
            .map(|m| m.scores.iter().find(|(scored, _)| *scored == id).map(|(_, s)| s.as_slice()))
            .collect();
        let stays = scores.is_none() && self.config.rule == MixRule::Replace;
        if stays || (params[0].role == Role::Bias && !self.config.biases) {
            return Ok(None);
        }
        let values = self.models.iter().zip(&params).map(|(m, p)| m.model.backend().download(p.value()));
        let values = values.collect::<spectral_core::Result<Vec<_>>>()?;
        let is_pruned = |m: usize, k: usize| params[m].pruned().is_some_and(|mask| mask.contains(k));
        let count = params.len();
        let mean = |k: usize, of: &dyn Fn(usize) -> f64| {
            let total: f64 = (0..count).map(of).sum();
            let sum: f64 = (0..count).map(|m| of(m) * values[m][k]).sum();
            if total > 0.0 { sum / total } else { values.iter().map(|v| v[k]).sum::<f64>() / count as f64 }
        };
        let mut mixed = Vec::with_capacity(values[0].len());
        let mut pruned = Mask::none(values[0].len());
        for k in 0..values[0].len() {
            let score = |m: usize| scores.as_ref().map_or(1.0, |s| s[m][k]);
            let (value, gone) = match self.config.rule {
                MixRule::Replace => {
                    let from = (1..count).rev().find(|&m| score(m) > 0.0).unwrap_or(0);
                    (values[from][k], is_pruned(from, k))
                }
                rule => {
                    let present = |m: usize| if score(m) > 0.0 { 1.0 } else { 0.0 };
                    let value = if rule == MixRule::Average { mean(k, &present) } else { mean(k, &score) };
                    (value, (0..count).all(|m| is_pruned(m, k)))
                }
            };
            mixed.push(value);
            if gone {
                pruned.insert(k);
            }
        }
        Ok(Some((mixed, pruned)))
    }

    fn store(&self, model: &Model, index: usize, data: Option<&Samples>) -> Result<Stored> {
        let first = self.models.first().filter(|_| index > 0 || self.models.len() > 1);
        if let Some(first) = first {
            same_shape(&first.model, model)?;
        }
        let mut scores = Vec::new();
        if self.config.needs_scores() {
            for scored in weigh(model, &self.config.criterion, weighted_layers(model), data, self.seed)? {
                let own = self.scores(model, &scored.layer, &scored.scores, index)?;
                scores.push((scored.layer.matrix, own));
            }
        }
        Ok(Stored { model: model.duplicate()?, scores })
    }

    /// Scores of the stored entries; 0 for pruned ones.
    fn scores(&self, model: &Model, layer: &Weighted, worth: &[f64], index: usize) -> Result<Vec<f64>> {
        let param = layer.matrix(model);
        let mut scores = vec![0.0; param.value().len()];
        for (position, stored) in layer.kept(param) {
            let score = worth[position];
            if !(score >= 0.0 && score.is_finite()) {
                let name = &self.config.criterion.name;
                let problem = format!(
                    "criterion `{name}` gives a weight of layer `{}` the score {score}; models are mixed by finite \
                     scores of 0 or more, for instance those of `magnitude`",
                    layer.name
                );
                return Err(Error::Config(problem));
            }
            scores[stored] = score;
        }
        let Some(zero) = self.config.rank_and_zero else { return Ok(scores) };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
        let mut ranks = vec![0.0; scores.len()];
        for (below, entry) in order.into_iter().enumerate() {
            let rank = (below + 1) as f64;
            let zeroed = index > 0 && rank < zero * scores.len() as f64;
            let pruned = param.pruned().is_some_and(|m| m.contains(entry));
            ranks[entry] = if zeroed || pruned { 0.0 } else { rank };
        }
        Ok(ranks)
    }
}

/// Checks that two models have the same layers, with parameters of the same shapes.
fn same_shape(first: &Model, other: &Model) -> Result<()> {
    let bad = |problem: String| Err(Error::Config(format!("models of different shape cannot be mixed: {problem}")));
    let (a, b) = (first.graph(), other.graph());
    if a.input() != b.input() || a.nodes().len() != b.nodes().len() || first.dtype() != other.dtype() {
        let of = |m: &Model| {
            format!("{} layers of {} over inputs of shape {}", m.graph().nodes().len(), m.dtype(), m.graph().input())
        };
        return bad(format!("the first has {}, another {}", of(first), of(other)));
    }
    for (x, y) in a.nodes().iter().zip(b.nodes()) {
        if x.layer.kind() != y.layer.kind() || x.inputs != y.inputs || x.params != y.params {
            let kinds = format!("`{}` ({}) and `{}` ({})", x.name, x.layer.kind(), y.name, y.layer.kind());
            return bad(format!("layers {kinds} differ in kind, inputs or parameters"));
        }
    }
    for ((_, x), (_, y)) in first.params().iter().zip(other.params().iter()) {
        if x.full_shape() != y.full_shape() {
            return bad(format!("parameter `{}` is {}, another {}", x.name, x.full_shape(), y.full_shape()));
        }
        if x.pattern != y.pattern {
            return bad(format!("parameter `{}` stores other entries; densify the models first", x.name));
        }
    }
    Ok(())
}
