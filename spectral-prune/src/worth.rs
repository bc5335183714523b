//! What the entries of layers are worth to a criterion, found out on a model.

use crate::pool::Scored;
use crate::weighted::Weighted;
use crate::{CriterionConfig, Error, Granularity, Result, eigenvalues, statistics};
use spectral_core::{Model, Pruner, Samples, Seed};
use std::collections::BTreeMap;

/// A criterion, and what it is asked about.
#[derive(Debug)]
pub(crate) struct Worth<'a> {
    pub(crate) name: &'a str,
    pub(crate) pruner: &'a dyn Pruner,
    pub(crate) granularity: Granularity,
    /// What criteria that draw numbers derive from.
    pub(crate) seed: Seed,
}

impl Worth<'_> {
    /// The score of every entry of `layers`, measured on `calibration` where the criterion needs data.
    ///
    /// # Errors
    /// Data is needed and missing or does not fit, or a score is NaN.
    pub(crate) fn score(
        &self,
        model: &Model,
        layers: Vec<Weighted>,
        calibration: Option<&Samples>,
    ) -> Result<Vec<Scored>> {
        let (name, pruner, needs) = (self.name, self.pruner, self.pruner.needs());
        let statistics = match (needs.any(), calibration) {
            (false, _) => vec![Default::default(); layers.len()],
            (true, None) => return Err(Error::NeedsCalibration { criterion: name.into() }),
            (true, Some(data)) => statistics::measure(model, &layers, data, needs)?,
        };
        let by_unit = self.granularity == Granularity::Unit;
        let mut next = match by_unit && needs.spectral {
            true => eigenvalues::next(model)?,
            false => BTreeMap::new(),
        };
        let mut scored = Vec::with_capacity(layers.len());
        for (layer, statistics) in layers.into_iter().zip(&statistics) {
            let loaded = layer.load(model)?.with_next(next.remove(&layer.node));
            let target = layer.target(&loaded, statistics, self.seed.key("prune", layer.node as u64));
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
            let distribution = if by_unit { pruner.distribution(&target)? } else { None };
            scored.push(Scored { layer, scores, distribution });
        }
        Ok(scored)
    }
}

/// The score of every weight of `layers` by the criterion that `config` names.
///
/// # Errors
/// The criterion is unknown or scores other layers, data is needed and missing, or a score is NaN.
pub(crate) fn weigh(
    model: &Model,
    config: &CriterionConfig,
    layers: Vec<Weighted>,
    calibration: Option<&Samples>,
    seed: Seed,
) -> Result<Vec<Scored>> {
    let pruner = config.build()?;
    let (needs, criterion) = (pruner.needs(), config.name.clone());
    let lacking = |needed: bool, has: fn(&Weighted) -> bool| {
        let lacking: Vec<&str> = layers.iter().filter(|l| needed && !has(l)).map(|l| &*l.name).collect();
        (!lacking.is_empty()).then(|| lacking.join(", "))
    };
    if let Some(layers) = lacking(needs.spectral, |l| l.eigenvalues.is_some()) {
        return Err(Error::NotSpectral { criterion, layers });
    }
    if let Some(layers) = lacking(needs.gain, |l| l.gate.is_some()) {
        return Err(Error::NotGated { criterion, layers });
    }
    let worth = Worth { name: &config.name, pruner: &*pruner, granularity: Granularity::Weight, seed };
    worth.score(model, layers, calibration)
}
