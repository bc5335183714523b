//! Carrying a cut out: masks, report and history change together or not at all.

use crate::pool::Cut;
use crate::report::{LayerReport, PRUNE, PruneDetail, PruneReport};
use crate::weighted::{entries_along, weighted_layers};
use crate::{Granularity, Prune, Result};
use serde::{Deserialize, Serialize};
use spectral_core::{ContentHash, Mask, Model, Param, ParamId, Params, Role, UnitAxis};
use std::collections::BTreeMap;

/// How many entries every unit of every weighted layer has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    layers: Vec<(String, Vec<usize>)>,
}

impl Snapshot {
    pub(crate) fn of(model: &Model) -> Self {
        Self::with(model, |id| model.params().get(id))
    }

    fn with<'m>(model: &Model, param: impl Fn(ParamId) -> &'m Param) -> Self {
        let layers = weighted_layers(model).into_iter();
        Self {
            layers: layers
                .map(|l| {
                    let rows = l.kept_per_row(param(l.matrix));
                    (l.name, rows)
                })
                .collect(),
        }
    }
}

/// The weighted layers that both models have, by name, with what each has left in `before` and in `after`.
pub fn layers_between(before: &Model, after: &Model) -> Vec<LayerReport> {
    let after: BTreeMap<String, Vec<usize>> = Snapshot::of(after).layers.into_iter().collect();
    let both = Snapshot::of(before).layers.into_iter();
    both.filter_map(|(name, rows)| after.get(&name).map(|left| layer_report(name, &rows, left))).collect()
}

/// What a layer had and has, by the number of entries of each of its units.
fn layer_report(name: String, before: &[usize], after: &[usize]) -> LayerReport {
    let units = |rows: &[usize]| rows.iter().filter(|n| **n > 0).count();
    LayerReport {
        name,
        units_before: units(before),
        units_after: units(after),
        weights_before: before.iter().sum(),
        weights_after: after.iter().sum(),
    }
}

/// What a cut is part of.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// Entries pruned since `before`, those of the cut included.
    pub(crate) removed: usize,
    /// The model before.
    pub(crate) parent: ContentHash,
    /// Its units.
    pub(crate) before: &'a Snapshot,
    /// The history entry that this one takes the place of.
    pub(crate) replaces: Option<usize>,
}

impl Prune {
    /// Masks what `cut` says. Returns the report and the position of the history entry (one past the end if nothing
    /// was pruned and none was written).
    pub(crate) fn carry_out(&self, model: &mut Model, cut: &Cut, change: Change<'_>) -> Result<(PruneReport, usize)> {
        let updated = self.masked(model, cut)?;
        let after = Snapshot::with(model, |id| updated.get(&id).unwrap_or_else(|| model.params().get(id)));
        let position = change.replaces.unwrap_or(model.meta.history.len());
        let earlier = model.meta.history.iter().take(position).filter(|e| e.action == PRUNE).count();
        let config = self.config();
        let pairs = change.before.layers.iter().zip(&after.layers);
        let mut detail = PruneDetail {
            report: PruneReport {
                step: earlier + 1,
                criterion: config.criterion.name.clone(),
                granularity: config.granularity,
                scope: config.scope,
                removed: change.removed,
                kept: cut.kept,
                total: cut.total,
                parent: change.parent,
                layers: Vec::new(),
            },
            removed_units: BTreeMap::new(),
            removed_weights: BTreeMap::new(),
        };
        for ((name, before), (_, after)) in pairs {
            let layer = layer_report(name.clone(), before, after);
            let gone = (0..before.len()).filter(|&u| before[u] > 0 && after[u] == 0);
            let gone: Vec<u32> = gone.map(|u| model.meta.origin(name, u) as u32).collect();
            if !gone.is_empty() {
                detail.removed_units.insert(name.clone(), gone);
            }
            if layer.weights_before > layer.weights_after {
                detail.removed_weights.insert(name.clone(), layer.weights_before - layer.weights_after);
            }
            detail.report.layers.push(layer);
        }
        if cut.removed == 0 {
            return Ok((detail.report, position));
        }
        let entry = detail.entry()?;
        // Nothing below can fail.
        let (params, _) = model.params_mut();
        updated.into_iter().for_each(|(id, param)| params.replace(id, param));
        match model.meta.history.get_mut(position) {
            Some(old) => *old = entry,
            None => model.meta.history.push(entry),
        }
        Ok((detail.report, position))
    }

    /// The parameters that change, with their new masks.
    fn masked(&self, model: &Model, cut: &Cut) -> Result<BTreeMap<ParamId, Param>> {
        let mut masks: BTreeMap<ParamId, Mask> = BTreeMap::new();
        let mut add = |id, more: Mask| {
            masks.entry(id).and_modify(|m| m.union(&more)).or_insert(more);
        };
        for (layer, mask) in cut.masks.iter().filter(|(_, m)| m.count() > 0) {
            let own = model.graph().nodes()[layer.node].params.iter();
            match self.config().granularity {
                Granularity::Weight | Granularity::Block { .. } | Granularity::NOfM { .. } => {
                    add(layer.matrix, mask.clone());
                    continue;
                }
                Granularity::Input => {
                    let along = |&id| Some((id, entries_along(UnitAxis::In, model.params().get(id), mask)?));
                    own.filter_map(along).for_each(|(id, entries)| add(id, entries));
                    continue;
                }
                Granularity::Unit => {}
            }
            let gate = layer.gate.iter().flat_map(|(gate, _)| &model.graph().nodes()[*gate].params);
            let gate = gate.filter(|id| matches!(model.params().get(**id).role, Role::Gain | Role::Bias));
            // With its bias a unit keeps the factor behind it, and what comes out of both.
            let gate = gate.filter(|_| !self.config().keep_bias);
            for &id in own.chain(gate) {
                let param = model.params().get(id);
                if !(self.config().keep_bias && param.role == Role::Bias)
                    && let Some(entries) = entries_along(UnitAxis::Out, param, mask)
                {
                    add(id, entries);
                }
            }
        }
        let mut updated = BTreeMap::new();
        for (id, mask) in masks {
            let mut arena = Params::default();
            let copy = arena.push(model.params().get(id).duplicate()?);
            arena.prune(&**model.backend(), copy, &mask)?;
            updated.insert(id, arena.get(copy).duplicate()?);
        }
        Ok(updated)
    }
}
