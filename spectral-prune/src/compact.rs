//! Removal of pruned units from the network.
//!
//! Three passes over the layers' ops ([`Op`](spectral_core::Op)). Forward: which units emit a constant for every input.
//! Backward: which units something still depends on. Then every layer is cut along its unit axes, and the constants of
//! removed units are added to the biases after them.

mod constants;
mod cut;
mod fold;
mod live;

use crate::Result;
use crate::groups::Coupling;
use constants::Constants;
use live::Live;
use serde::{Deserialize, Serialize};
use spectral_core::{Change, HistoryEntry, Known, Model, Node, Source, Units};

/// The action of the history entry that compaction adds.
pub const COMPACT: &str = "compact";

/// A model without its dead units.
#[derive(Debug)]
pub struct Compacted {
    /// The smaller model: same function, same node names, same order. Gates right behind a layer with weights are
    /// merged into that layer.
    pub model: Model,
    /// What was removed.
    pub report: CompactReport,
}

/// What compaction removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactReport {
    /// Units removed.
    pub removed: usize,
    /// Units left.
    pub kept: usize,
    /// Parameter entries before, pruned ones included.
    pub parameters_before: usize,
    /// Parameter entries after, pruned ones included.
    pub parameters_after: usize,
    /// Biases that constants of removed units were added to.
    pub folded: usize,
    /// Every layer that makes its own units, in execution order.
    pub layers: Vec<CompactLayer>,
}

/// One layer in a [`CompactReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactLayer {
    /// Name of the node.
    pub name: String,
    /// Units before.
    pub units_before: usize,
    /// Units after.
    pub units_after: usize,
}

/// The same function in a smaller network.
///
/// A unit is removed if nothing depends on it (its outgoing weights are all zero, or lead to removed units), or if it
/// emits a constant (its incoming weights are all zero, or come from constants). Its constant, for example `act(bias)`,
/// times the outgoing weights is added to the biases of the next layer in f64; a layer without bias gets one if that is
/// not zero. A gate right behind a layer whose output nothing else takes is multiplied into that layer. A layer that
/// computes something else in training, such as batch normalisation, stays. Units that merges tie together are removed
/// together or stay. Units that stay keep their parameters bit for bit. Every layer keeps at least one unit. The
/// network's inputs and outputs stay, and so do all units that a softmax or a layer of unknown structure reads. Source:
/// Sparana.
///
/// # Errors
/// A layer does not accept its smaller inputs, or a device failed.
pub fn compact(model: &Model) -> Result<Compacted> {
    let graph = model.graph();
    let mut known = constants::read(model)?;
    let mut coupling = Coupling::of(graph);
    let users = graph.users();
    for (i, node) in graph.nodes().iter().enumerate() {
        let units = node.inputs.first().map_or(0, |&input| graph.shape(input).rows());
        let misses = known[i].rows().is_some_and(|rows| rows.inputs != units);
        if misses || !can_shrink(node) || users.shares(node) {
            known[i] = Known::nothing();
            coupling.fix(Source::Node(i));
            node.inputs.iter().for_each(|&source| coupling.fix(source));
        }
    }
    let constants = Constants::propagate(graph, &known);
    let live = Live::find(model, &known, &coupling, &constants);
    let (small, folded) = cut::cut(model, &known, &constants, &live)?;
    let owners = graph.nodes().iter().enumerate().filter(|(_, n)| n.units() == Units::Own);
    let layers: Vec<CompactLayer> = owners
        .map(|(i, node)| CompactLayer {
            name: node.name.clone(),
            units_before: graph.shape(Source::Node(i)).rows(),
            units_after: live.kept(Source::Node(i)).len(),
        })
        .collect();
    let mut small = fold::fold(small)?;
    let report = CompactReport {
        removed: layers.iter().map(|l| l.units_before - l.units_after).sum(),
        kept: layers.iter().map(|l| l.units_after).sum(),
        parameters_before: model.params().total(),
        parameters_after: small.params().total(),
        folded,
        layers,
    };
    for layer in report.layers.iter().filter(|l| l.units_after < l.units_before) {
        let Some(node) = graph.find(&layer.name) else { continue };
        let kept = live.kept(Source::Node(node)).iter();
        let origins = kept.map(|&u| model.meta.origin(&layer.name, u) as u32).collect();
        small.meta.origins.insert(layer.name.clone(), origins);
    }
    // The plan was measured for the old widths.
    small.meta.plan = None;
    let detail = serde_json::to_value(&report).map_err(|e| crate::Error::Config(e.to_string()))?;
    small.meta.history.push(HistoryEntry { action: COMPACT.into(), parent: model.content_hash()?, detail });
    Ok(Compacted { model: small, report })
}

/// Whether a node can be cut: its op relates its units to those of its inputs, and it can be built smaller.
fn can_shrink(node: &Node) -> bool {
    match node.units() {
        Units::Own => node.inputs.len() == 1 && node.layer.with(Change::Units(1)).is_some(),
        Units::Same | Units::Concat => true,
        Units::Flatten => node.inputs.len() == 1,
        Units::Fixed => false,
    }
}
