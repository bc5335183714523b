//! One layer from one way of keeping weights to another.

use crate::{Result, Sparse, SparseConstraints, SparsePenalties};
use spectral_core::layer::to_config;
use spectral_core::registry::find;
use spectral_core::{
    Affine, Constraint, DType, Gradients, Graph, Layer, LayerEntry, Mask, Matrix, Meta, Mode, Model, Node, Param,
    ParamId, Params, Pattern, Penalty, Role, Seed, Shape, Source, Tensor, Trainable, UnitAxis, Workspace,
};
use std::sync::Arc;

/// A layer and its parameters in the new arena.
type Made = Result<(Arc<dyn Layer>, Vec<ParamId>)>;

/// The entries of a weight matrix that a sparse layer stores.
pub(crate) struct Entries {
    pub(crate) pattern: Arc<Pattern>,
    /// Their values.
    pub(crate) values: Vec<f64>,
    /// For each, its index in the parameter it comes from.
    from: Vec<usize>,
}

/// The parameter that the entries of a lowered `[rows, columns]` matrix correspond to one by one, if there is one.
fn matrix_param(model: &Model, node: usize, weight: &Matrix) -> Option<ParamId> {
    let full = Shape::matrix(weight.rows(), weight.columns());
    let of_node = model.graph().nodes()[node].params.iter().copied();
    let mut found = of_node.filter(|id| {
        let p = model.params().get(*id);
        p.role.is_matrix() && p.full_shape() == full
    });
    match (found.next(), found.next()) {
        (Some(id), None) => Some(id),
        _ => None,
    }
}

/// Kept entries, zeros included, where a mask says what is kept; all entries of a pattern; else those not zero.
/// An entry that is not zero is stored in any case.
pub(crate) fn stored_entries(model: &Model, node: usize, weight: &Matrix) -> Result<Entries> {
    let source = matrix_param(model, node, weight).map(|id| model.params().get(id));
    let pruned = source.and_then(Param::pruned);
    let backend = &**model.backend();
    let (pattern, values, from): (_, Vec<f64>, Vec<usize>) = match weight {
        Matrix::Sparse { pattern, values } => {
            let all = backend.download(values)?;
            let gone = pruned.filter(|m| m.len() == all.len());
            let from: Vec<usize> =
                (0..all.len()).filter(|&i| all[i] != 0.0 || gone.is_none_or(|m| !m.contains(i))).collect();
            if from.len() == all.len() {
                (pattern.clone(), all, from)
            } else {
                let mut stored = vec![false; all.len()];
                from.iter().for_each(|&i| stored[i] = true);
                let (mut starts, mut indices) = (vec![0], Vec::with_capacity(from.len()));
                for row in pattern.starts().windows(2) {
                    let row = row[0] as usize..row[1] as usize;
                    indices.extend(row.filter(|&i| stored[i]).map(|i| pattern.indices()[i]));
                    starts.push(indices.len() as u32);
                }
                let kept = Pattern::new(pattern.rows(), pattern.columns(), starts, indices)?;
                (Arc::new(kept), from.iter().map(|&i| all[i]).collect(), from)
            }
        }
        Matrix::Dense(tensor) => {
            let all = backend.download(tensor)?;
            let (rows, columns) = (weight.rows(), weight.columns());
            let kept = pruned.filter(|m| m.len() == all.len());
            let stored = |i: usize| all[i] != 0.0 || kept.is_some_and(|m| !m.contains(i));
            let pattern = Pattern::from_fn(rows, columns, |r, c| stored(r * columns + c))?;
            let from: Vec<usize> = pattern.iter().map(|(r, c)| r * columns + c).collect();
            (Arc::new(pattern), from.iter().map(|&i| all[i]).collect(), from)
        }
    };
    Ok(Entries { pattern, values, from })
}

/// The sparse layer that computes what node `index` does at inference.
///
/// Penalties, constraints and frozen entries of a weight carry over to the stored entries, that on the outputs to the
/// layer. The matrix of a spectral layer has no penalty or constraint of its own (those of eigenvectors and eigenvalues
/// mean something else) and trains if any of its factors does.
pub(crate) fn sparse(model: &Model, index: usize, affine: &Affine, params: &mut Params) -> Made {
    let node = &model.graph().nodes()[index];
    let Entries { pattern, values, from } = stored_entries(model, index, &affine.weight)?;
    let source = matrix_param(model, index, &affine.weight).map(|id| model.params().get(id));
    let of_node = || node.params.iter().map(|id| model.params().get(*id));
    let eigenvalue = |p: &Param| matches!(p.role, Role::EigenvalueIn | Role::EigenvalueOut) && p.is_trainable();
    let mut weight = param(model, &node.name, Role::Weight, Shape::vector(values.len()), &values)?;
    weight.trainable = match source {
        Some(p) if !of_node().any(eigenvalue) => match &p.trainable {
            Trainable::Only(members) => Trainable::Only(Mask::from_fn(from.len(), |i| members.contains(from[i]))),
            other => other.clone(),
        },
        _ => Trainable::All,
    };
    let mut constraints = SparseConstraints { bias: bias_constraint(model, index), ..SparseConstraints::default() };
    if let Some(p) = source.filter(|p| p.role == Role::Weight) {
        weight.penalty = p.penalty;
        constraints.weight = p.constraint();
    }
    let all = pattern.rows() * pattern.columns();
    let density = pattern.nonzeros() as f64 / all.max(1) as f64;
    weight.pattern = Some(pattern);
    let mut ids = vec![params.push(weight)];
    ids.extend(push_bias(model, index, affine, params)?);
    let penalty = |i: usize| ids.get(i).map_or(Penalty::default(), |id| params.get(*id).penalty);
    let layer = Sparse {
        bias: affine.bias.is_some(),
        penalties: SparsePenalties { weight: penalty(0), bias: penalty(1) },
        constraints,
        output_penalty: node.layer.output_penalty(),
        ..Sparse::new(affine.weight.rows(), affine.activation, density)
    };
    Ok((Arc::new(layer), ids))
}

/// The dense layer that computes what the sparse node `index` does; what was not stored is pruned.
pub(super) fn dense(model: &Model, index: usize, affine: &Affine, params: &mut Params) -> Made {
    let ids = masked(model, index, affine, params)?;
    let source = matrix_param(model, index, &affine.weight).map(|id| model.params().get(id));
    let config = serde_json::json!({
        "units": affine.weight.rows(),
        "activation": to_config("dense", &affine.activation)?,
        "bias": affine.bias.is_some(),
        "constraints": {
            "weight": to_config("dense", &source.map_or(Constraint::None, Param::constraint))?,
            "bias": to_config("dense", &bias_constraint(model, index))?,
        },
        "output_penalty": to_config("dense", &model.graph().nodes()[index].layer.output_penalty())?,
    });
    Ok(((find::<LayerEntry>("dense")?.build)(config)?, ids))
}

/// The parameters of a layer that computes with whole matrices what the sparse node `index` does; what was not stored
/// is pruned.
pub(crate) fn masked(model: &Model, index: usize, affine: &Affine, params: &mut Params) -> Result<Vec<ParamId>> {
    let node = &model.graph().nodes()[index];
    let backend = &**model.backend();
    let (rows, columns) = (affine.weight.rows(), affine.weight.columns());
    let Entries { pattern, from, .. } = stored_entries(model, index, &affine.weight)?;
    let at: Vec<usize> = pattern.iter().map(|(r, c)| r * columns + c).collect();
    let all = affine.weight.to_dense(backend)?;
    let mut weight = param(model, &node.name, Role::Weight, Shape::matrix(rows, columns), &all)?;
    if let Some(p) = matrix_param(model, index, &affine.weight).map(|id| model.params().get(id)) {
        weight.penalty = p.penalty;
        weight.trainable = match &p.trainable {
            Trainable::Only(members) => {
                let mut moved = Mask::none(all.len());
                at.iter().zip(&from).filter(|(_, f)| members.contains(**f)).for_each(|(i, _)| moved.insert(*i));
                Trainable::Only(moved)
            }
            other => other.clone(),
        };
    }
    let mut pruned = Mask::all(all.len());
    at.iter().for_each(|&i| pruned.remove(i));
    let id = params.push(weight);
    params.set_pruned(backend, id, Some(pruned))?;
    let bias = push_bias(model, index, affine, params)?;
    Ok(std::iter::once(id).chain(bias).collect())
}

/// What holds for the bias of a node, if it has one.
fn bias_constraint(model: &Model, index: usize) -> Constraint {
    let mut of_node = model.graph().nodes()[index].params.iter().map(|id| model.params().get(*id));
    of_node.find(|p| p.role == Role::Bias).map_or(Constraint::None, Param::constraint)
}

/// Appends the bias of a lowered layer, if it has one, with all that is known about it.
fn push_bias(model: &Model, index: usize, affine: &Affine, params: &mut Params) -> Result<Option<ParamId>> {
    let Some(values) = &affine.bias else { return Ok(None) };
    let node = &model.graph().nodes()[index];
    let backend = &**model.backend();
    let mut bias = param(model, &node.name, Role::Bias, values.shape(), &backend.download(values)?)?;
    let mut of_node = node.params.iter().map(|id| model.params().get(*id));
    let source = of_node.find(|p| p.role == Role::Bias && p.value().shape() == values.shape());
    if let Some(p) = source {
        bias.penalty = p.penalty;
        bias.trainable = p.trainable.clone();
    }
    let id = params.push(bias);
    params.set_pruned(backend, id, source.and_then(Param::pruned).cloned())?;
    Ok(Some(id))
}

fn param(model: &Model, node: &str, role: Role, shape: Shape, values: &[f64]) -> Result<Param> {
    let mut tensor: Tensor = model.backend().zeros(shape, model.dtype())?;
    model.backend().write(values, &mut tensor)?;
    let axes: &[UnitAxis] = if role == Role::Weight { &[UnitAxis::Out, UnitAxis::In] } else { &[UnitAxis::Out] };
    Ok(Param::new(format!("{node}.{}", role.name()), role, axes, tensor))
}

/// Whether a node computes in training what it computes at inference; one that drops weights at random does not,
/// and would lose that if it were replaced by what it lowers to.
pub(super) fn trains_as_it_runs(model: &Model, index: usize) -> Result<bool> {
    const SAMPLES: usize = 8;
    let node = &model.graph().nodes()[index];
    if !node.layer.trains_as_lowered() {
        return Ok(false);
    }
    let [input] = model.graph().input_shapes(&node.inputs)[..] else { return Ok(false) };
    let (mut graph, mut params) = (Graph::new(input)?, Params::default());
    let ids = node.params.iter().map(|id| Ok(params.push(model.params().get(*id).duplicate()?)));
    let ids = ids.collect::<Result<_>>()?;
    graph.add(Node { name: node.name.clone(), layer: node.layer.clone(), inputs: vec![Source::Input], params: ids })?;
    let alone = Model::from_parts(graph, params, model.backend().clone(), model.dtype(), Meta::default())?;
    let mut workspace = Workspace::new(&alone, SAMPLES, Gradients::None)?;
    let mut stream = Seed(0).stream("conversion", index as u64);
    let x: Vec<f64> = (0..input.len() * SAMPLES).map(|_| stream.uniform(-1.0, 1.0)).collect();
    alone.backend().write(&x, workspace.begin(&alone, SAMPLES)?)?;
    let mut run = |mode| -> Result<Vec<f64>> {
        workspace.forward(&alone, mode, 1)?;
        Ok(alone.backend().download(workspace.last_output()?)?)
    };
    let (trains, runs) = (run(Mode::Train)?, run(Mode::Infer)?);
    let size = runs.iter().fold(1e-6, |m: f64, v| m.max(v.abs()));
    let tolerance = match model.dtype() {
        DType::F32 => 1e-4,
        DType::F64 => 1e-10,
    };
    Ok(trains.iter().zip(&runs).all(|(a, b)| (a - b).abs() <= tolerance * size))
}
