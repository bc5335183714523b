//! A copy of a model in which nothing is drawn, so that gradients can be measured.

use crate::Result;
use spectral_core::{Accum, Activation, Forward, Graph, Layer, LowerCx, Lowered, Model, Node, Shape, Units, Vjp};
use std::sync::Arc;

/// `model` with every node that does nothing at inference, such as dropout, doing nothing in training either.
pub(super) fn without_dropout(model: &Model) -> Result<Model> {
    let mut graph = Graph::new(model.graph().input())?;
    for (i, node) in model.graph().nodes().iter().enumerate() {
        let layer: Arc<dyn Layer> = match node.layer.units() {
            Units::Same if node.params.is_empty() && is_identity(model, i)? => Arc::new(Inert),
            _ => node.layer.clone(),
        };
        graph.add(Node { layer, ..node.clone() })?;
    }
    let params = model.params().duplicate()?;
    Ok(Model::from_parts(graph, params, model.backend().clone(), model.dtype(), model.meta.clone())?)
}

fn is_identity(model: &Model, node: usize) -> Result<bool> {
    Ok(matches!(model.lower(node)?, Lowered::Map(Activation::Identity)))
}

/// `y = x`. Never saved: it only lives in the copy.
#[derive(Debug)]
struct Inert;

impl Layer for Inert {
    fn kind(&self) -> &'static str {
        "inert"
    }

    fn config(&self) -> spectral_core::Result<serde_json::Value> {
        Ok(serde_json::Value::Null)
    }

    fn output_shape(&self, inputs: &[Shape]) -> spectral_core::Result<Shape> {
        match inputs {
            [shape] => Ok(*shape),
            _ => Err(spectral_core::Error::shape("inert", "one input", inputs.len())),
        }
    }

    fn forward(&self, cx: &mut Forward<'_>) -> spectral_core::Result<()> {
        cx.backend.scale(1.0, cx.inputs.get(0), cx.output, Accum::Replace)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> spectral_core::Result<()> {
        match cx.input_grads.slot(0) {
            Some(slot) => cx.backend.scale(1.0, cx.dy, slot.tensor, slot.accum),
            None => Ok(()),
        }
    }

    fn units(&self) -> Units {
        Units::Same
    }

    fn lower(&self, _: &LowerCx<'_>) -> spectral_core::Result<Lowered> {
        Ok(Lowered::Map(Activation::Identity))
    }
}
