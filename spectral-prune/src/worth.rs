//! What the entries of layers are worth to a criterion, found out on a model.

use crate::config::criterion;
use crate::pool::{Scored, Scores};
use crate::weighted::{Weighted, weighted_layers};
use crate::{Error, Granularity, Result, eigenvalues, statistics};
use spectral_core::registry::ByName;
use spectral_core::{LayersWith, Model, Pruner, Samples, Seed, Statistics};
use std::collections::BTreeMap;

/// A criterion, and what it is asked about.
#[derive(Debug)]
pub(crate) struct Worth<'a> {
    pub(crate) name: &'a str,
    pub(crate) pruner: &'a dyn Pruner,
    pub(crate) granularity: Granularity,
    /// What criteria that draw numbers derive from.
    pub(crate) seed: Seed,
    /// Whether percentiles are asked for, so that what they are taken over must be known.
    pub(crate) percentiles: bool,
}

impl Worth<'_> {
    /// The score of every entry of `layers`, measured on `calibration` where the criterion needs data.
    ///
    /// # Errors
    /// Data is needed and missing or does not fit, or a score is NaN.
    pub(crate) fn score(&self, model: &Model, layers: Vec<Weighted>, calibration: Option<&Samples>) -> Result<Scores> {
        let (name, pruner, needs) = (self.name, self.pruner, self.pruner.needs());
        let statistics = match (needs.any(), calibration) {
            (false, _) => vec![Statistics::default(); layers.len()],
            (true, None) => return Err(Error::NeedsCalibration { criterion: name.into() }),
            (true, Some(data)) => statistics::measure(model, &layers, data, &needs.statistics)?,
        };
        let pools = self.percentiles && matches!(self.granularity, Granularity::Unit | Granularity::Input);
        let mut next = match self.granularity == Granularity::Unit && needs.layers == LayersWith::Eigenvalues {
            true => eigenvalues::next(model)?,
            false => BTreeMap::new(),
        };
        let elsewhere = match pools {
            true => self.elsewhere(model, &layers)?,
            false => Vec::new(),
        };
        let mut scored = Vec::with_capacity(layers.len());
        for (layer, statistics) in layers.into_iter().zip(&statistics) {
            let loaded = layer.load(model)?.with_next(next.remove(&layer.node));
            let target = layer.target(&loaded, statistics, self.key(&layer));
            let param = layer.matrix(model);
            let of_whole =
                |kept: Vec<usize>, scores: &[f64]| (0..kept.len()).find(|&u| kept[u] > 0 && scores[u].is_nan());
            let mut scores;
            let nan = match self.granularity {
                Granularity::Unit => {
                    scores = vec![0.0; layer.rows];
                    pruner.score_units(&target, &mut scores)?;
                    of_whole(layer.kept_per_row(param), &scores).map(|u| format!("unit {u}"))
                }
                Granularity::Input => {
                    scores = vec![0.0; layer.inputs];
                    pruner.score_inputs(&target, &mut scores)?;
                    of_whole(layer.kept_per_input(param), &scores).map(|i| format!("input {i}"))
                }
                Granularity::Weight | Granularity::Block { .. } | Granularity::NOfM { .. } => {
                    scores = vec![0.0; layer.rows * layer.columns];
                    pruner.score(&target, &mut scores)?;
                    let bad = layer.kept(param).map(|(p, _)| p).find(|&p| scores[p].is_nan());
                    bad.map(|p| format!("weight [{}, {}]", p / layer.columns, p % layer.columns))
                }
            };
            if let Some(entry) = nan {
                return Err(Error::Score { criterion: name.into(), layer: layer.name.clone(), entry });
            }
            let pool = if pools { pruner.pool(&target)? } else { None };
            scored.push(Scored { layer, scores, pool });
        }
        Ok(Scores { layers: scored, elsewhere })
    }

    /// What layers other than `chosen` add to the pool of percentiles.
    fn elsewhere(&self, model: &Model, chosen: &[Weighted]) -> Result<Vec<f64>> {
        let needed = self.pruner.needs().layers;
        let mut pool = Vec::new();
        for layer in weighted_layers(model) {
            if layer.has(needed) && !chosen.iter().any(|c| c.node == layer.node) {
                let loaded = layer.load(model)?;
                let statistics = Statistics::default();
                pool.extend(
                    self.pruner.pool(&layer.target(&loaded, &statistics, self.key(&layer)))?.unwrap_or_default(),
                );
            }
        }
        Ok(pool)
    }

    fn key(&self, layer: &Weighted) -> u64 {
        self.seed.key("prune", layer.node as u64)
    }
}

/// The score of every weight of `layers` by the criterion that `config` names.
///
/// # Errors
/// The criterion is unknown or scores other layers, data is needed and missing, or a score is NaN.
pub(crate) fn weigh(
    model: &Model,
    config: &ByName,
    layers: Vec<Weighted>,
    calibration: Option<&Samples>,
    seed: Seed,
) -> Result<Vec<Scored>> {
    let pruner = criterion(config)?;
    let needed = pruner.needs().layers;
    let lacking: Vec<&str> = layers.iter().filter(|l| !l.has(needed)).map(|l| &*l.name).collect();
    if !lacking.is_empty() {
        return Err(Error::lacks(needed, config.name.clone(), lacking.join(", ")));
    }
    let (granularity, percentiles) = (Granularity::Weight, false);
    let worth = Worth { name: &config.name, pruner: &*pruner, granularity, seed, percentiles };
    Ok(worth.score(model, layers, calibration)?.layers)
}
