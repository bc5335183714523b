//! Gates behind the layers of a model that is there already.
//!
//! A gate multiplies each unit by a trainable factor that starts at one; pruning by `gain` then removes the units
//! whose factor became small. spectraltools D2 to D4: `spectral_linear`, `spectral_conv2d` and `spectral_all`.

use crate::{Gate, Result};
use spectral_core::{Activation, Error, Graph, Layer, Lowered, Model, Node, Param, Role, Shape, Source, UnitAxis};
use std::sync::Arc;

/// `model` with a gate between the product and the activation of every layer with a weight matrix
/// (`spectral_linear`).
///
/// `act(W x + b)` becomes `act(gain * (W x + b))` in two nodes, `NAME` and `NAME_gate`, with `gain` at one: the
/// outputs are the same but for rounding what goes into the activation, and weights, masks and history stay. Layers
/// that have a gate already are left as they are, so calling it twice changes nothing more (the original wraps again,
/// D2). Networks of a single layer are no special case.
///
/// # Errors
/// No layer has a weight matrix, or the device failed.
pub fn dense(model: &Model) -> Result<Model> {
    insert(model, "layer with a weight matrix", |lowered| matches!(lowered, Lowered::Affine(_)))
}

/// As [`dense`], for every convolution (`spectral_conv2d`): one gain for each output channel (in the original it meets
/// the last axis of the image and fails, D3).
///
/// # Errors
/// No layer is a convolution, or the device failed.
pub fn conv2d(model: &Model) -> Result<Model> {
    insert(model, "convolution", |lowered| matches!(lowered, Lowered::Convolution(_)))
}

/// As [`dense`] and [`conv2d`] together (`spectral_all`).
///
/// # Errors
/// No layer has weights, or the device failed.
pub fn all(model: &Model) -> Result<Model> {
    insert(model, "layer with weights", |lowered| matches!(lowered, Lowered::Affine(_) | Lowered::Convolution(_)))
}

/// What a layer applies behind its product.
fn activation(lowered: &Lowered) -> Option<Activation> {
    match lowered {
        Lowered::Affine(affine) => Some(affine.activation),
        Lowered::Convolution(convolution) => Some(convolution.activation),
        _ => None,
    }
}

fn insert(model: &Model, what: &str, takes: impl Fn(&Lowered) -> bool) -> Result<Model> {
    let (old, consumers) = (model.graph(), model.graph().consumers());
    let mut graph = Graph::new(old.input())?;
    let mut params = model.params().duplicate()?;
    let mut moved: Vec<usize> = Vec::with_capacity(old.nodes().len());
    let mut found = false;
    for (i, node) in old.nodes().iter().enumerate() {
        let inputs = node.inputs.iter().map(|&s| match s {
            Source::Input => s,
            Source::Node(n) => Source::Node(moved[n]),
        });
        let node = Node { inputs: inputs.collect(), ..node.clone() };
        let lowered = model.lower(i)?;
        // Spectral layers have eigenvalues of their own for this.
        let weighted = node.params.iter().any(|&id| params.get(id).role == Role::Weight) && takes(&lowered);
        let bare = weighted.then(|| node.layer.with_activation(Activation::Identity)).flatten();
        found |= bare.is_some();
        let gated = consumers[i].iter().any(|&c| old.nodes()[c].layer.kind() == Gate::new(Activation::Identity).kind());
        match (bare, activation(&lowered)) {
            (Some(layer), Some(activation)) if !gated => {
                let name = free_name(old, &graph, &node.name);
                let layer_node = graph.add(Node { layer, ..node })?;
                let mut gain = model
                    .backend()
                    .zeros(Shape::vector(graph.shape(Source::Node(layer_node)).rows()), model.dtype())?;
                model.backend().fill(1.0, &mut gain)?;
                let id = params.push(Param::new(format!("{name}.gain"), Role::Gain, &[UnitAxis::Out], gain));
                let gate = Gate::new(activation);
                let inputs = vec![Source::Node(layer_node)];
                moved.push(graph.add(Node { name, layer: Arc::new(gate), inputs, params: vec![id] })?);
            }
            _ => moved.push(graph.add(node)?),
        }
    }
    if !found {
        let problem = format!("has no {what} that a gate could follow");
        return Err(Error::Graph { node: "network".into(), problem }.into());
    }
    let meta = model.meta.clone();
    Ok(Model::from_parts(graph, params, model.backend().clone(), model.dtype(), meta)?)
}

fn free_name(old: &Graph, new: &Graph, node: &str) -> String {
    let taken = |name: &str| old.find(name).is_some() || new.find(name).is_some();
    let plain = format!("{node}_gate");
    let numbered = (2..).map(|k| format!("{plain}{k}"));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(plain)
}
