//! Conversion of whole networks between ways to store weights. The function stays the same.

pub(crate) mod node;

use crate::{Error, Result};
pub(crate) use node::{Entries, stored_entries};
use spectral_core::{Affine, HistoryEntry, Meta, Model, Operand, ParamId, Rewrite, Word};
use std::collections::BTreeSet;

/// The same network with every weight stored as a whole matrix again.
///
/// Entries that were not stored become pruned zeros. So training continues as masked training, and a later
/// [`sparsify`](crate::sparsify) finds the same pattern, kept zeros included. Layers, biases, penalties and frozen
/// entries stay. The plan, which is about sparse kernels, is removed. A network without patterns is copied, with no new
/// entry in its history.
///
/// # Errors
/// The device failed.
pub fn densify(model: &Model) -> Result<Model> {
    let stored: Vec<ParamId> = model.params().iter().filter(|(_, p)| p.pattern.is_some()).map(|(id, _)| id).collect();
    let mut whole = model.duplicate()?;
    whole.meta.plan = None;
    if stored.is_empty() {
        return Ok(whole);
    }
    let has = |ids: &[ParamId]| ids.iter().any(|id| stored.contains(id));
    let names: Vec<&str> = model.graph().nodes().iter().filter(|n| has(&n.params)).map(|n| n.name.as_str()).collect();
    let detail = serde_json::json!({ "layers": names });
    whole.meta.history.push(HistoryEntry { action: "densify".into(), parent: model.content_hash()?, detail });
    let (params, backend) = whole.params_mut();
    stored.into_iter().try_for_each(|id| params.store(backend, id, None))?;
    Ok(whole)
}

/// `model` with the weights of `nodes` stored on patterns.
pub(crate) fn with_stored(model: &Model, nodes: &BTreeSet<usize>, meta: Meta) -> Result<Model> {
    let mut rewrite = Rewrite::of(model)?;
    for (i, node) in model.graph().nodes().iter().enumerate() {
        match node.layer.op().word {
            Word::Affine(affine) if nodes.contains(&i) && weight_of(model, i).is_none() => {
                node::put_stored(&mut rewrite, model, i, affine)?;
            }
            _ => {
                rewrite.copy(i)?;
            }
        }
    }
    let mut converted = rewrite.finish(meta)?;
    for &i in nodes {
        let Some(Affine { weight, .. }) = affine(model, i) else { continue };
        // `put_stored` has stored derived weights already.
        if weight_of(model, i).is_some() {
            let pattern = stored_entries(model, i, weight)?.pattern;
            let id = weight_of(&converted, i);
            let (params, backend) = converted.params_mut();
            id.map_or(Ok(()), |id| params.store(backend, id, Some(pattern)))?;
        }
    }
    Ok(converted)
}

/// Whether the weight of a node can be stored on a pattern without losing anything.
pub(crate) fn convertible(model: &Model, index: usize) -> bool {
    let node = &model.graph().nodes()[index];
    let op = node.layer.op();
    matches!(op.word, Word::Affine(_)) && op.trains_alike && !model.graph().users().shares(node)
}

/// The op of a node, if it is a product with a matrix.
pub(crate) fn affine(model: &Model, index: usize) -> Option<Affine> {
    match model.graph().nodes()[index].layer.op().word {
        Word::Affine(affine) => Some(affine),
        _ => None,
    }
}

/// The parameter that is the weight of a node, if its layer can also compute with a pattern.
pub(crate) fn weight_of(model: &Model, index: usize) -> Option<ParamId> {
    let Affine { weight: Operand::Slot(slot), .. } = affine(model, index)? else { return None };
    let id = *model.graph().nodes()[index].params.get(slot)?;
    model.params().get(id).may_be_stored().then_some(id)
}

/// Stores the weight of a node on the entries that are not pruned.
pub(crate) fn store_kept(model: &mut Model, index: usize, weight: ParamId) -> Result<()> {
    let Some(Affine { weight: operand, .. }) = affine(model, index) else { return Ok(()) };
    let pattern = stored_entries(model, index, operand)?.pattern;
    let (params, backend) = model.params_mut();
    params.store(backend, weight, Some(pattern)).map_err(Error::from)
}
