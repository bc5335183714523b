//! Whole networks from one way of keeping weights to another, computing the same function.

pub(crate) mod node;

use crate::{Error, Result};
pub(crate) use node::{Entries, stored_entries};
use spectral_core::{Affine, Graph, HistoryEntry, Layer, Lowered, Matrix, Meta, Model, Node, ParamId, Params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The same network with every sparse layer dense again.
///
/// Entries that were not stored become pruned zeros, so training goes on as masked training and a later
/// [`sparsify`](crate::sparsify) finds the same pattern, kept zeros included. Biases, penalties, frozen entries
/// and all other nodes (dropout, softmax, merges) stay. The plan, which was about sparse kernels, goes. A network
/// without sparse layers is copied, with no new entry in its history.
///
/// # Errors
/// No linked crate registered the layer `dense`, or the device failed.
pub fn densify(model: &Model) -> Result<Model> {
    let mut nodes = BTreeMap::new();
    for i in 0..model.graph().nodes().len() {
        if let Lowered::Affine(affine) = model.lower(i)?
            && matches!(affine.weight, Matrix::Sparse { .. })
        {
            nodes.insert(i, affine);
        }
    }
    let names: Vec<&str> = nodes.keys().map(|&i| model.graph().nodes()[i].name.as_str()).collect();
    let mut meta = model.meta.clone();
    meta.plan = None;
    if !names.is_empty() {
        let detail = serde_json::json!({ "layers": names });
        meta.history.push(HistoryEntry { action: "densify".into(), parent: model.content_hash()?, detail });
    }
    rebuild(model, nodes, node::dense, meta)
}

/// `model` with the nodes in `nodes` replaced by layers of kind `sparse`.
pub(crate) fn with_sparse(model: &Model, nodes: &BTreeSet<usize>, meta: Meta) -> Result<Model> {
    let mut lowered = BTreeMap::new();
    for &i in nodes {
        if let Lowered::Affine(affine) = model.lower(i)? {
            lowered.insert(i, affine);
        }
    }
    rebuild(model, lowered, node::sparse, meta)
}

/// Whether a node can become a sparse layer without losing anything.
pub(crate) fn convertible(model: &Model, index: usize) -> Result<bool> {
    let own = &model.graph().nodes()[index];
    let shared = |other: &Node| other.params.iter().any(|id| own.params.contains(id));
    let mut others = model.graph().nodes().iter().enumerate().filter(|(i, _)| *i != index);
    if others.any(|(_, n)| shared(n)) {
        return Ok(false);
    }
    node::trains_as_it_runs(model, index)
}

/// Makes one layer and its parameters, in the new arena, of what another lowers to.
type Convert = fn(&Model, usize, &Affine, &mut Params) -> Result<(Arc<dyn Layer>, Vec<ParamId>)>;

/// Converts some nodes and copies all others; those that share a parameter go on sharing it.
fn rebuild(model: &Model, nodes: BTreeMap<usize, Affine>, convert: Convert, meta: Meta) -> Result<Model> {
    let mut graph = Graph::new(model.graph().input())?;
    let (mut params, mut moved) = (Params::default(), BTreeMap::new());
    for (i, node) in model.graph().nodes().iter().enumerate() {
        let (layer, ids) = match nodes.get(&i) {
            Some(affine) => convert(model, i, affine, &mut params)?,
            None => {
                let mut ids = Vec::with_capacity(node.params.len());
                for id in &node.params {
                    if !moved.contains_key(id) {
                        moved.insert(*id, params.push(model.params().get(*id).duplicate()?));
                    }
                    ids.push(moved[id]);
                }
                (node.layer.clone(), ids)
            }
        };
        graph.add(Node { name: node.name.clone(), layer, inputs: node.inputs.clone(), params: ids })?;
    }
    Model::from_parts(graph, params, model.backend().clone(), model.dtype(), meta).map_err(Error::from)
}
