//! Gates behind the layers of an existing model.
//!
//! A gate multiplies each unit by a trainable factor that starts at one. Pruning by `gain` then removes units whose
//! factor became small. Source: spectraltools, `spectral_linear`, `spectral_conv2d` and `spectral_all`.

use crate::{Gate, Result};
use spectral_core::{Activation, Change, Error, Model, Node, Param, Rewrite, Role, Shape, Source, UnitAxis, Word};
use std::sync::Arc;

/// `model` with a gate between the product and the activation of every layer with a weight matrix (`spectral_linear` in
/// spectraltools).
///
/// `act(W x + b)` becomes `act(gain * (W x + b))` in two nodes, `NAME` and `NAME_gate`, with `gain` at one. Outputs are
/// the same up to rounding of the pre-activation; weights, masks and history stay. Layers that already have a gate are
/// left as they are, so a second call changes nothing.
///
/// # Errors
/// No layer has a weight matrix, or the device failed.
pub fn dense(model: &Model) -> Result<Model> {
    insert(model, "layer with a weight matrix", |word| matches!(word, Word::Affine(_)))
}

/// As [`dense`], for every convolution (`spectral_conv2d`): one gain for each output channel.
///
/// # Errors
/// No layer is a convolution, or the device failed.
pub fn conv2d(model: &Model) -> Result<Model> {
    insert(model, "convolution", |word| matches!(word, Word::Convolution(_)))
}

/// As [`dense`] and [`conv2d`] together (`spectral_all`).
///
/// # Errors
/// No layer has weights, or the device failed.
pub fn all(model: &Model) -> Result<Model> {
    insert(model, "layer with weights", |word| matches!(word, Word::Affine(_) | Word::Convolution(_)))
}

fn insert(model: &Model, what: &str, takes: impl Fn(&Word) -> bool) -> Result<Model> {
    let (old, consumers) = (model.graph(), model.graph().consumers());
    let mut gated = Rewrite::of(model)?;
    let mut found = false;
    for (i, node) in old.nodes().iter().enumerate() {
        let word = node.layer.op().word;
        // Spectral layers do not need gates: they have eigenvalues.
        let weighted = node.params.iter().any(|&id| model.params().get(id).role == Role::Weight) && takes(&word);
        let bare = weighted.then(|| node.layer.with(Change::Activation(Activation::Identity))).flatten();
        found |= bare.is_some();
        let has_gate = consumers[i].iter().any(|&c| old.nodes()[c].layer.kind() == Gate::KIND);
        match (bare, word.activation()) {
            (Some(layer), Some(activation)) if !has_gate => {
                let before = gated.copy_with(i, layer)?;
                let name = gated.free_name(&format!("{}_gate", node.name));
                let units = Shape::vector(gated.graph().shape(Source::Node(before)).rows());
                let mut gain = model.backend().zeros(units, model.dtype())?;
                model.backend().fill(1.0, &mut gain)?;
                let gain = Param::new(format!("{name}.gain"), Role::Gain, &[UnitAxis::Out], gain);
                let params = vec![gated.params_mut().push(gain)];
                let (layer, inputs) = (Arc::new(Gate::new(activation)), vec![Source::Node(before)]);
                let gate = gated.insert(Node { name, layer, inputs, params })?;
                gated.redirect(i, Source::Node(gate));
            }
            _ => {
                gated.copy(i)?;
            }
        }
    }
    if !found {
        let problem = format!("has no {what} that a gate could follow");
        return Err(Error::Graph { node: "network".into(), problem }.into());
    }
    Ok(gated.finish(model.meta.clone())?)
}
