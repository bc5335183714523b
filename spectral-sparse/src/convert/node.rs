//! The entries that a layer stores, and the layer that replaces a derived weight by stored entries.

use crate::Result;
use spectral_core::layer::to_config;
use spectral_core::registry::find;
use spectral_core::{
    Affine, Layer, LayerEntry, Mask, Matrix, Model, Operand, Param, ParamId, Pattern, Rewrite, Role, Shape, Trainable,
    UnitAxis,
};
use std::sync::Arc;

/// The entries of a weight matrix that are worth storing.
pub(crate) struct Entries {
    pub(crate) pattern: Arc<Pattern>,
    /// Their values.
    pub(crate) values: Vec<f64>,
    /// For each, its index in the parameter it belongs to.
    from: Vec<usize>,
}

/// The entries that the mask keeps, zeros included; without a mask, all entries of a pattern, or the non-zero entries
/// of a whole matrix. Non-zero entries are always stored.
pub(crate) fn stored_entries(model: &Model, node: usize, weight: Operand) -> Result<Entries> {
    let operands = model.operands(node)?;
    let matrix = operands.matrix(weight)?;
    let all = model.backend().download(matrix.values())?;
    let owner = model.entries_of(node, weight).map(|id| model.params().get(id));
    let pruned = owner.and_then(Param::pruned).filter(|m| m.len() == all.len());
    let (pattern, from) = match matrix {
        Matrix::Stored { pattern, .. } => {
            let stored = |i: usize| all[i] != 0.0 || pruned.is_none_or(|m| !m.contains(i));
            let from: Vec<usize> = (0..all.len()).filter(|&i| stored(i)).collect();
            if from.len() == all.len() {
                return Ok(Entries { pattern: pattern.clone(), values: all, from });
            }
            let (mut starts, mut indices) = (vec![0], Vec::with_capacity(from.len()));
            for row in pattern.starts().windows(2) {
                let row = row[0] as usize..row[1] as usize;
                indices.extend(row.filter(|&i| stored(i)).map(|i| pattern.indices()[i]));
                starts.push(indices.len() as u32);
            }
            (Pattern::new(pattern.rows(), pattern.columns(), starts, indices)?, from)
        }
        Matrix::Whole(_) => {
            let (rows, columns) = (matrix.rows(), matrix.columns());
            let stored = |i: usize| all[i] != 0.0 || pruned.is_some_and(|m| !m.contains(i));
            let pattern = Pattern::from_fn(rows, columns, |r, c| stored(r * columns + c))?;
            let from = pattern.iter().map(|(r, c)| r * columns + c).collect();
            (pattern, from)
        }
    };
    Ok(Entries { pattern: Arc::new(pattern), values: from.iter().map(|&i| all[i]).collect(), from })
}

/// Replaces node `index`, whose layer cannot store its weight, by a `dense` layer with a stored weight.
///
/// The bias keeps all its settings, and the penalty on the outputs stays. A weight that is a parameter keeps its
/// penalty and constraint. A derived weight gets none, because those of its factors mean something else, and it trains
/// if any of its factors does.
pub(super) fn put_stored(rewrite: &mut Rewrite<'_>, model: &Model, index: usize, affine: Affine) -> Result<()> {
    let node = &model.graph().nodes()[index];
    let backend = &**model.backend();
    let Entries { pattern, values, from } = stored_entries(model, index, affine.weight)?;
    let mut tensor = backend.zeros(Shape::vector(values.len()), model.dtype())?;
    backend.write(&values, &mut tensor)?;
    let axes = [UnitAxis::Out, UnitAxis::In];
    let mut weight = Param::new(format!("{}.{}", node.name, Role::Weight.name()), Role::Weight, &axes, tensor);
    weight.trainable = trainable(model, index, affine.weight, &from);
    let owner = match affine.weight {
        Operand::Slot(_) => model.entries_of(index, affine.weight).map(|id| model.params().get(id)),
        Operand::Derived { .. } => None,
    };
    weight.penalty = owner.map(|p| p.penalty).unwrap_or_default();
    let units = pattern.rows();
    weight.pattern = Some(pattern);
    let mut ids = vec![rewrite.params_mut().push(weight)];
    let bias = affine.bias.map(|bias| push_bias(rewrite, model, index, bias)).transpose()?;
    ids.extend(bias);
    let source = affine.bias.and_then(|bias| model.entries_of(index, bias)).map(|id| model.params().get(id));
    let constraint = |p: Option<&Param>| p.map(Param::constraint).unwrap_or_default();
    let config = serde_json::json!({
        "units": units,
        "activation": to_config("dense", &affine.activation)?,
        "bias": affine.bias.is_some(),
        "constraints": {
            "weight": to_config("dense", &constraint(owner))?,
            "bias": to_config("dense", &constraint(source))?,
        },
        "output_penalty": to_config("dense", &node.layer.output_penalty())?,
    });
    let layer: Arc<dyn Layer> = (find::<LayerEntry>("dense")?.build)(config)?;
    rewrite.replace(index, layer, ids)?;
    Ok(())
}

/// Which of the entries `from` train: all those that some factor moves.
fn trainable(model: &Model, index: usize, weight: Operand, from: &[usize]) -> Trainable {
    let Some(owner) = model.entries_of(index, weight) else { return Trainable::All };
    if matches!(weight, Operand::Slot(_)) {
        return kept(&model.params().get(owner).trainable, from);
    }
    let others = model.graph().nodes()[index].params.iter().filter(|id| **id != owner);
    let mut factors = others.map(|id| model.params().get(*id)).filter(|p| p.role != Role::Bias);
    if factors.any(Param::is_trainable) {
        return Trainable::All;
    }
    kept(&model.params().get(owner).trainable, from)
}

/// Which of the entries `from` train, given `all` for the whole matrix.
fn kept(all: &Trainable, from: &[usize]) -> Trainable {
    match all {
        Trainable::Only(members) => Trainable::Only(Mask::from_fn(from.len(), |i| members.contains(from[i]))),
        other => other.clone(),
    }
}

/// Appends the bias of a layer with all its settings.
fn push_bias(rewrite: &mut Rewrite<'_>, model: &Model, index: usize, bias: Operand) -> Result<ParamId> {
    if let Operand::Slot(slot) = bias {
        let id = model.graph().nodes()[index].params[slot];
        let mut copy = model.params().get(id).duplicate()?;
        copy.name = format!("{}.{}", model.graph().nodes()[index].name, Role::Bias.name());
        return Ok(rewrite.params_mut().push(copy));
    }
    let value = model.operands(index)?.tensor(bias)?.duplicate()?;
    let name = format!("{}.{}", model.graph().nodes()[index].name, Role::Bias.name());
    Ok(rewrite.params_mut().push(Param::new(name, Role::Bias, &[UnitAxis::Out], value)))
}
