//! What a pruning step did, for reports and for the history of a model.

use crate::{Error, Granularity, Result, Scope};
use serde::{Deserialize, Serialize};
use spectral_core::{ContentHash, HistoryEntry};
use std::collections::BTreeMap;

/// The action of a history entry that a pruning step leaves.
pub const PRUNE: &str = "prune";

/// What one pruning step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PruneReport {
    /// Number of the step in the life of the model, from 1.
    pub step: usize,
    /// The criterion.
    pub criterion: String,
    /// What was cut.
    pub granularity: Granularity,
    /// What competed with what.
    pub scope: Scope,
    /// Entries (units or weights) that this step pruned.
    pub removed: usize,
    /// Entries in the pool that are left.
    pub kept: usize,
    /// Entries the pool ever had; `total - kept` are pruned by now.
    pub total: usize,
    /// The model it was done to.
    pub parent: ContentHash,
    /// Every weighted layer, in execution order.
    pub layers: Vec<LayerReport>,
}

/// One weighted layer in a [`PruneReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    /// Name of the node.
    pub name: String,
    /// Units with at least one weight, before.
    pub units_before: usize,
    /// Units with at least one weight, after.
    pub units_after: usize,
    /// Weights that are not pruned, before.
    pub weights_before: usize,
    /// Weights that are not pruned, after.
    pub weights_after: usize,
}

impl PruneReport {
    /// The layers that this step all but cut through; see [`collapsed`].
    pub fn collapsed(&self) -> Vec<&LayerReport> {
        collapsed(&self.layers)
    }
}

/// A layer this much thinner than the network as a whole is nearly cut through.
const THIN: f64 = 0.1;

/// The layers that pruning all but cut through: a single unit of several is left, or less than a tenth of the share of
/// weights that all layers together keep. What passes through a network passes through every layer, so a global
/// ranking that empties one of them ruins all; `scope = "layer"` or a higher `min_keep` prevents it.
pub fn collapsed(layers: &[LayerReport]) -> Vec<&LayerReport> {
    let sum = |of: fn(&LayerReport) -> usize| layers.iter().map(of).sum::<usize>() as f64;
    let kept = sum(|l| l.weights_after) / sum(|l| l.weights_before).max(1.0);
    let thin = |l: &&LayerReport| {
        let single = l.units_before > 1 && l.units_after <= 1;
        single || (l.weights_after as f64) < THIN * kept * l.weights_before as f64
    };
    layers.iter().filter(thin).collect()
}

/// What the history of a model keeps of a pruning step: [`HistoryEntry::detail`] of action [`PRUNE`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PruneDetail {
    /// What was done.
    pub report: PruneReport,
    /// By layer: the units that this step left without weights, by their index in the original network.
    pub removed_units: BTreeMap<String, Vec<u32>>,
    /// By layer: how many weights this step pruned.
    pub removed_weights: BTreeMap<String, usize>,
}

impl PruneDetail {
    /// The history entry. It names the parent once, in a field of its own.
    pub(crate) fn entry(&self) -> Result<HistoryEntry> {
        let mut detail = serde_json::to_value(self).map_err(|e| Error::Config(e.to_string()))?;
        if let Some(report) = detail.get_mut("report").and_then(|r| r.as_object_mut()) {
            report.remove("parent");
        }
        Ok(HistoryEntry { action: PRUNE.into(), parent: self.report.parent, detail })
    }

    /// Reads the detail of history entry number `entry` (from 1).
    ///
    /// # Errors
    /// The entry holds something else.
    pub fn read(entry: usize, from: &HistoryEntry) -> Result<Self> {
        let mut detail = from.detail.clone();
        if let Some(report) = detail.get_mut("report").and_then(|r| r.as_object_mut()) {
            report.insert("parent".into(), from.parent.to_string().into());
        }
        serde_json::from_value(detail).map_err(|e| Error::History {
            entry,
            action: from.action.clone(),
            problem: e.to_string(),
        })
    }
}
