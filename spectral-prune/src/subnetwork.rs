//! Random search for a good sub-network.

use crate::pick::Pick;
use crate::select::{Selected, Selection};
use crate::weighted::{Weighted, weighted_layers};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::{Loader, Model, Samples, Seed};
use spectral_train::{Evaluator, Loss};

/// How sub-networks are drawn and judged, in the form that recipes use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubnetworkConfig {
    /// Number of sub-networks to draw.
    pub draws: usize,
    /// Probability that a weight is in a sub-network, between 0 and 1 (both excluded).
    pub keep: f64,
    /// Number of samples that each is judged on.
    pub batch: usize,
    /// How it is judged.
    pub judge: Judge,
    /// The loss, if it is judged by one; default: [`Loss::for_targets`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

/// How a sub-network is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// Its weights gain `mean - loss`, with the mean loss so far; the gain may be negative.
    #[default]
    Loss,
    /// Its weights gain `accuracy - mean`, with the mean accuracy so far, but never less than 0.
    Accuracy,
}

impl Default for SubnetworkConfig {
    fn default() -> Self {
        Self { draws: 200, keep: 0.5, batch: 250, judge: Judge::Loss, loss: None }
    }
}

/// The gains of all weights over all draws.
#[derive(Debug)]
pub struct SubnetworkScores {
    layers: Vec<(Weighted, Vec<f64>)>,
    /// Mean loss or accuracy of the sub-networks.
    pub mean: f64,
}

impl SubnetworkConfig {
    /// Checks the parameters.
    ///
    /// # Errors
    /// One is out of its range.
    pub fn check(&self) -> Result<()> {
        if !(self.keep > 0.0 && self.keep < 1.0) {
            return Err(Error::Config(format!("`keep` is {}; it must be between 0 and 1", self.keep)));
        }
        if self.draws < 2 || self.batch == 0 {
            let problem = "a search needs `draws` of at least 2, to compare, and a `batch` of at least 1";
            return Err(Error::Config(problem.into()));
        }
        Ok(())
    }

    /// Draws sub-networks of `model`, judges each on a batch of `data`, and adds up the gains of their weights.
    ///
    /// Pruned weights take no part. Biases are in every sub-network. Source: Sparana, where lower errors lowered
    /// scores. Determinism: by `seed`, for any number of threads.
    ///
    /// # Errors
    /// As [`check`](Self::check), the data does not fit, or a device failed.
    pub fn search(&self, model: &Model, data: &Samples, seed: Seed) -> Result<SubnetworkScores> {
        self.check()?;
        let layers = weighted_layers(model);
        let weights = layers.iter().map(|l| model.backend().download(l.matrix(model).value()));
        let weights = weights.collect::<spectral_core::Result<Vec<_>>>()?;
        let mut scores: Vec<Vec<f64>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
        let mut trial = model.duplicate()?;
        let mut loader = Loader::new(data, seed);
        let evaluator = Evaluator::new(self.loss);
        let mut mean = 0.0;
        for draw in 0..self.draws {
            let mut kept = Vec::with_capacity(layers.len());
            for (l, (layer, weights)) in layers.iter().zip(&weights).enumerate() {
                let mut stream = seed.stream("subnetwork", (draw * layers.len() + l) as u64);
                let present: Vec<bool> = weights.iter().map(|_| stream.unit() < self.keep).collect();
                let values: Vec<f64> = weights.iter().zip(&present).map(|(w, p)| if *p { *w } else { 0.0 }).collect();
                let (params, backend) = trial.params_mut();
                params.edit(backend, layer.matrix, |t| backend.write(&values, t))?;
                kept.push(present);
            }
            let batch = loader.minibatch(self.batch.min(data.len()))?;
            let metrics = evaluator.run(&trial, &batch).map_err(spectral_core::Error::from)?;
            let result = match self.judge {
                Judge::Loss => metrics.loss,
                Judge::Accuracy => metrics.accuracy.ok_or_else(|| {
                    let problem = "the targets are values, which have no accuracy; set `judge = \"loss\"`";
                    Error::Config(format!("{}: {problem}", data.name))
                })?,
            };
            let gain = if draw == 0 { 0.0 } else { self.judge.gain(result, mean) };
            mean += (result - mean) / (draw + 1) as f64;
            for (scores, kept) in scores.iter_mut().zip(kept) {
                scores.iter_mut().zip(kept).filter(|(_, kept)| *kept).for_each(|(s, _)| *s += gain);
            }
        }
        Ok(SubnetworkScores { layers: layers.into_iter().zip(scores).collect(), mean })
    }
}

impl Judge {
    /// The gain of the weights in a sub-network.
    fn gain(self, result: f64, mean: f64) -> f64 {
        match self {
            Self::Loss => mean - result,
            Self::Accuracy => (result - mean).max(0.0),
        }
    }
}

impl SubnetworkScores {
    /// The weights of `model` that gained most: this share of the weights of every layer that are not pruned, rounded
    /// to whole weights, ties by index. `model` is the one that was searched.
    ///
    /// # Errors
    /// The share is not between 0 and 1.
    pub fn best(&self, model: &Model, share: f64) -> Result<Selection> {
        self.best_by_layer(model, |_| Some(share))
    }

    /// As [`best`](Self::best), where `share` gives the share for the name of each layer. Layers without one are left
    /// out of the selection.
    ///
    /// # Errors
    /// A share is not between 0 and 1.
    pub fn best_by_layer(&self, model: &Model, share: impl Fn(&str) -> Option<f64>) -> Result<Selection> {
        let mut layers = Vec::new();
        for (layer, scores) in &self.layers {
            let Some(share) = share(&layer.name) else { continue };
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::Config(format!("a share of {share} of the weights is not between 0 and 1")));
            }
            let param = layer.matrix(model);
            let entries: Vec<usize> = layer.kept(param).map(|(_, stored)| stored).collect();
            let own: Vec<f64> = entries.iter().map(|&stored| scores[stored]).collect();
            let count = (share * entries.len() as f64).round_ties_even() as usize;
            // [`Pick::Top`] does not draw, so the stream is not used.
            let taken = Pick::Top.walk(&own, |i| i, count, &mut Seed(0).stream("subnetwork", 0));
            let mut mask = spectral_core::Mask::none(param.value().len());
            taken.into_iter().for_each(|i| mask.insert(entries[i]));
            layers.push(Selected { node: layer.name.clone(), param: layer.matrix, mask, biases: None });
        }
        Ok(Selection { layers })
    }

    /// The gains of all stored weights, by layer.
    pub fn gains(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.layers.iter().map(|(layer, scores)| (layer.name.as_str(), scores.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In Sparana, the quadratic scores rewarded the higher error.
    #[test]
    fn a_lower_loss_and_a_higher_accuracy_gain() {
        assert_eq!(Judge::Loss.gain(0.5, 2.0), 1.5);
        assert_eq!(Judge::Loss.gain(2.0, 0.5), -1.5);
        assert_eq!(Judge::Accuracy.gain(0.75, 0.5), 0.25);
        assert_eq!(Judge::Accuracy.gain(0.25, 0.5), 0.0);
    }
}
