//! What was done to a model, in terms of the network it once was.
//!
//! Every entry of [`Meta::history`](spectral_core::Meta) names the content hash of the model it started from; a file
//! with that hash is what `undo` restores.

use crate::report::{PRUNE, PruneDetail};
use crate::{Error, Granularity, Result, Scope};
use serde::{Deserialize, Serialize};
use spectral_core::{ContentHash, Model, Source, registry};

/// One pruning step, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainRow {
    /// Number of the step, from 1.
    pub step: usize,
    /// The criterion.
    pub criterion: String,
    /// What was cut.
    pub granularity: Granularity,
    /// What competed with what.
    pub scope: Scope,
    /// Entries pruned.
    pub removed: usize,
    /// Entries left in the pool.
    pub kept: usize,
    /// The model it was done to.
    pub parent: ContentHash,
    /// The layers that lost something, by name.
    pub layers: Vec<ExplainLayer>,
}

/// What one layer lost in a pruning step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainLayer {
    /// Name of the node.
    pub name: String,
    /// Units that were left without weights, by their index in the original network.
    pub units: Vec<u32>,
    /// Weights pruned.
    pub weights: usize,
}

/// Every pruning step of a model, oldest first.
///
/// # Errors
/// A history entry cannot be read.
pub fn explain(model: &Model) -> Result<Vec<ExplainRow>> {
    let entries = model.meta.history.iter().enumerate().filter(|(_, e)| e.action == PRUNE);
    entries
        .map(|(i, entry)| {
            let PruneDetail { report, removed_units, removed_weights } = PruneDetail::read(i + 1, entry)?;
            let layers = removed_weights.into_iter().map(|(name, weights)| ExplainLayer {
                units: removed_units.get(&name).cloned().unwrap_or_default(),
                weights,
                name,
            });
            Ok(ExplainRow {
                step: report.step,
                criterion: report.criterion,
                granularity: report.granularity,
                scope: report.scope,
                removed: report.removed,
                kept: report.kept,
                parent: entry.parent,
                layers: layers.collect(),
            })
        })
        .collect()
}

/// The index that every unit of node `node` had in the original network.
///
/// # Errors
/// There is no such node.
pub fn original_indices(model: &Model, node: &str) -> Result<Vec<usize>> {
    let graph = model.graph();
    let Some(index) = graph.find(node) else {
        let known: Vec<String> = graph.nodes().iter().map(|n| n.name.clone()).collect();
        let nearest = registry::nearest(node, known.iter().map(String::as_str)).map(Into::into);
        return Err(Error::UnknownLayer { name: node.into(), nearest, known });
    };
    Ok((0..graph.shape(Source::Node(index)).rows()).map(|u| model.meta.origin(node, u)).collect())
}
