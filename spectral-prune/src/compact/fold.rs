//! Multiplying factors into the layers before them.

use crate::Result;
use crate::weighted::positions_along;
use spectral_core::{Activation, Graph, Layer, Lowered, Model, Node, ParamId, Params, Role, Source, UnitAxis};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `model` with every gate folded into the layer it follows, where nothing else takes that layer's output, both
/// parameters are theirs alone, and training computes what inference does.
pub(super) fn fold(model: Model) -> Result<Model> {
    let graph = model.graph();
    let mut folds: BTreeMap<usize, Fold> = BTreeMap::new();
    for gate in 0..graph.nodes().len() {
        if let Some((layer, fold)) = Fold::of(&model, gate)? {
            folds.insert(layer, fold);
        }
    }
    if folds.is_empty() {
        return Ok(model);
    }
    let mut small = Graph::new(graph.input())?;
    let (mut params, mut moved) = (Params::default(), Vec::with_capacity(graph.nodes().len()));
    let mut copied: BTreeMap<ParamId, ParamId> = BTreeMap::new();
    let gates: BTreeMap<usize, usize> = folds.iter().map(|(layer, fold)| (fold.gate, *layer)).collect();
    for (i, node) in graph.nodes().iter().enumerate() {
        if let Some(layer) = gates.get(&i) {
            moved.push(moved[*layer]);
            continue;
        }
        let fold = folds.get(&i);
        let mut ids = Vec::with_capacity(node.params.len());
        for id in &node.params {
            let new = match copied.get(id) {
                Some(new) => *new,
                None => params.push(model.params().get(*id).duplicate()?),
            };
            copied.insert(*id, new);
            if let Some(fold) = fold {
                scale(&model, &mut params, new, &fold.factor)?;
            }
            ids.push(new);
        }
        let inputs = node.inputs.iter().map(|&s| match s {
            Source::Input => s,
            Source::Node(n) => Source::Node(moved[n]),
        });
        let layer = fold.map_or_else(|| node.layer.clone(), |f| f.layer.clone());
        moved.push(small.add(Node { name: node.name.clone(), layer, inputs: inputs.collect(), params: ids })?);
    }
    Ok(Model::from_parts(small, params, model.backend().clone(), model.dtype(), model.meta.clone())?)
}

/// One gate that goes.
struct Fold {
    gate: usize,
    /// The layer before it, with the gate's activation.
    layer: Arc<dyn Layer>,
    factor: Vec<f64>,
}

impl Fold {
    fn of(model: &Model, gate: usize) -> Result<Option<(usize, Self)>> {
        let nodes = model.graph().nodes();
        let [Source::Node(layer)] = *nodes[gate].inputs else { return Ok(None) };
        let alone = |node: usize| {
            let shared = |n: &Node| n.params.iter().any(|id| nodes[node].params.contains(id));
            !nodes.iter().enumerate().any(|(i, n)| i != node && shared(n))
        };
        let taken = nodes.iter().flat_map(|n| &n.inputs).filter(|s| **s == Source::Node(layer)).count();
        if taken != 1 || !alone(layer) || !alone(gate) || !nodes[gate].layer.trains_as_lowered() {
            return Ok(None);
        }
        let Lowered::Scale(scale) = model.lower(gate)? else { return Ok(None) };
        let linear = match model.lower(layer)? {
            Lowered::Affine(affine) => affine.activation == Activation::Identity,
            Lowered::Convolution(convolution) => convolution.activation == Activation::Identity,
            _ => false,
        };
        match nodes[layer].layer.with_activation(scale.activation) {
            Some(with) if linear && scale.bias.is_none() => {
                Ok(Some((layer, Self { gate, layer: with, factor: model.backend().download(&scale.factor)? })))
            }
            _ => Ok(None),
        }
    }
}

/// Multiplies the rows of each unit, if the parameter is one that the output is linear in.
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
