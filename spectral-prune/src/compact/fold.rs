//! Multiplication of factors into the layers before them.

use crate::Result;
use crate::weighted::positions_along;
use spectral_core::{Activation, Change, Layer, Model, ParamId, Params, Rewrite, Role, Source, UnitAxis, Users, Word};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// `model` with gates folded into the layers they follow. A gate is folded if nothing else takes that layer's output,
/// neither node shares a parameter, and the gate computes the same in training.
pub(super) fn fold(model: Model) -> Result<Model> {
    let (graph, users) = (model.graph(), model.graph().users());
    let mut folds: BTreeMap<usize, Fold> = BTreeMap::new();
    for gate in 0..graph.nodes().len() {
        if let Some((layer, fold)) = Fold::of(&model, &users, gate)? {
            folds.insert(layer, fold);
        }
    }
    if folds.is_empty() {
        return Ok(model);
    }
    let mut small = Rewrite::of(&model)?;
    let gates: BTreeSet<usize> = folds.values().map(|fold| fold.gate).collect();
    for (i, node) in graph.nodes().iter().enumerate() {
        match folds.get(&i) {
            _ if gates.contains(&i) => small.bypass(i)?,
            None => {
                small.copy(i)?;
            }
            Some(fold) => {
                for &id in &node.params {
                    let new = small.param(id)?;
                    scale(&model, small.params_mut(), new, &fold.factor)?;
                }
                small.copy_with(i, fold.layer.clone())?;
            }
        }
    }
    Ok(small.finish(model.meta.clone())?)
}

/// A gate to fold.
struct Fold {
    gate: usize,
    /// The layer before it, with the gate's activation.
    layer: Arc<dyn Layer>,
    factor: Vec<f64>,
}

impl Fold {
    fn of(model: &Model, users: &Users, gate: usize) -> Result<Option<(usize, Self)>> {
        let nodes = model.graph().nodes();
        let [Source::Node(layer)] = *nodes[gate].inputs else { return Ok(None) };
        let taken = nodes.iter().flat_map(|n| &n.inputs).filter(|s| **s == Source::Node(layer)).count();
        let gate_op = nodes[gate].layer.op();
        if taken != 1 || users.shares(&nodes[layer]) || users.shares(&nodes[gate]) || !gate_op.trains_alike {
            return Ok(None);
        }
        let Word::Scale(scale) = gate_op.word else { return Ok(None) };
        let word = nodes[layer].layer.op().word;
        let linear = word.weights().is_some() && word.activation() == Some(Activation::Identity);
        match nodes[layer].layer.with(Change::Activation(scale.activation)) {
            Some(with) if linear && scale.bias.is_none() => {
                let factor = model.operands(gate)?.host(Some(scale.factor), 0)?;
                Ok(Some((layer, Self { gate, layer: with, factor })))
            }
            _ => Ok(None),
        }
    }
}

/// Multiplies each unit's rows of a parameter that the output is linear in.
fn scale(model: &Model, params: &mut Params, id: ParamId, factor: &[f64]) -> Result<()> {
    let (backend, param) = (&**model.backend(), params.get(id));
    if !(param.role.is_matrix() || param.role == Role::Bias) {
        return Ok(());
    }
    let Some(unit) = positions_along(UnitAxis::Out, param) else { return Ok(()) };
    params.edit(backend, id, |value| {
        let scaled = backend.download(value)?.iter().zip(&unit).map(|(v, &u)| v * factor[u]).collect::<Vec<_>>();
        backend.write(&scaled, value)
    })?;
    Ok(())
}
