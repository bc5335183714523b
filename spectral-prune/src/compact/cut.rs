//! Building the smaller model.

use super::constants::{Constants, Op};
use super::live::Live;
use crate::Result;
use spectral_core::{
    Error, Graph, Layer, Mask, Model, Node, Param, ParamId, Params, Pattern, Role, Shape, Source, Trainable, UnitAxis,
    Units,
};
use std::sync::Arc;

/// The model with the units of `live` only, and how many biases took in constants.
pub(super) fn cut(model: &Model, ops: &[Op], constants: &Constants, live: &Live) -> Result<(Model, usize)> {
    let old = model.graph();
    let mut graph = Graph::new(old.input())?;
    let mut params = Params::default();
    // A parameter that several nodes share is copied once; nothing is cut at such nodes.
    let mut copied: Vec<Option<ParamId>> = vec![None; model.params().len()];
    let mut folded = 0;
    for (i, node) in old.nodes().iter().enumerate() {
        let kept = Kept { out: live.kept(Source::Node(i)), input: inputs_kept(node, live) };
        let constants = folds(node, &ops[i], constants, live, kept.out);
        folded += constants.iter().filter(|c| **c != 0.0).count();
        let mut layer = node.layer.clone();
        let bias = node.params.iter().copied().find(|&id| model.params().get(id).role == Role::Bias);
        let add_bias = bias.is_none() && constants.iter().any(|c| *c != 0.0);
        let cannot = |what: &str| Error::Graph { node: node.name.clone(), problem: format!("cannot be built {what}") };
        if add_bias {
            layer = layer.with_bias().ok_or_else(|| cannot("with a bias"))?;
        }
        if layer.units() == Units::Own && kept.out.len() < old.shape(Source::Node(i)).rows() {
            layer = layer.with_units(kept.out.len()).ok_or_else(|| cannot("with fewer units"))?;
        }
        let mut ids = Vec::new();
        for &id in &node.params {
            let new = match copied[id.index()] {
                Some(new) => new,
                None => kept.copy(model, model.params().get(id), &mut params)?,
            };
            copied[id.index()] = Some(new);
            if Some(id) == bias && constants.iter().any(|c| *c != 0.0) {
                add_constants(model, &mut params, new, &constants)?;
            }
            ids.push(new);
        }
        if add_bias {
            ids.push(new_bias(model, &*layer, &graph.input_shapes(&node.inputs), &node.name, &mut params)?);
            add_constants(model, &mut params, ids[ids.len() - 1], &constants)?;
        }
        graph.add(Node { name: node.name.clone(), layer, inputs: node.inputs.clone(), params: ids })?;
    }
    let small = Model::from_parts(graph, params, model.backend().clone(), model.dtype(), model.meta.clone())?;
    Ok((small, folded))
}

/// By kept unit: what removed inputs with constants contribute.
fn folds(node: &Node, op: &Op, constants: &Constants, live: &Live, kept: &[usize]) -> Vec<f64> {
    let Op::Affine(rows) = op else { return vec![0.0; kept.len()] };
    let source = node.inputs[0];
    let stays = live.kept(source);
    let sum = |&unit: &usize| {
        let removed = rows.row(unit).iter().filter(|(c, _)| stays.binary_search(&(*c as usize)).is_err());
        removed.filter_map(|(c, w)| constants.get(source, *c as usize).map(|x| w * x)).sum()
    };
    kept.iter().map(sum).collect()
}

/// The inputs that stay, where there is one source to count them in.
fn inputs_kept<'a>(node: &Node, live: &'a Live) -> Option<&'a [usize]> {
    match node.inputs.as_slice() {
        [only] => Some(live.kept(*only)),
        _ => None,
    }
}

/// What stays of a node.
struct Kept<'a> {
    out: &'a [usize],
    input: Option<&'a [usize]>,
}

impl Kept<'_> {
    /// Appends a copy of `param` with the kept units only.
    fn copy(&self, model: &Model, param: &Param, to: &mut Params) -> Result<ParamId> {
        let full = param.full_shape();
        let along = |axis: usize| -> Option<&[usize]> {
            let kept = match param.axes.get(axis)? {
                UnitAxis::Out => self.out,
                UnitAxis::In => self.input?,
            };
            // An axis over something finer than units (flattened images) is left whole.
            (kept.len() < full.extents()[axis] && kept.last().is_some_and(|&u| u < full.extents()[axis]))
                .then_some(kept)
        };
        if (0..full.rank()).all(|axis| along(axis).is_none()) {
            return Ok(to.push(param.duplicate()?));
        }
        let (positions, shape, pattern) = match &param.pattern {
            Some(pattern) => {
                let (positions, pattern) = sub_pattern(pattern, along(0), along(1))?;
                (positions, Shape::vector(pattern.nonzeros()), Some(Arc::new(pattern)))
            }
            None => {
                let mut extents = full.extents().to_vec();
                let mut positions = vec![0];
                for (axis, extent) in full.extents().iter().enumerate() {
                    let whole: Vec<usize> = (0..*extent).collect();
                    let kept = along(axis).unwrap_or(&whole);
                    extents[axis] = kept.len();
                    positions = positions.iter().flat_map(|p| kept.iter().map(move |k| p * extent + k)).collect();
                }
                (positions, Shape::new(&extents)?, None)
            }
        };
        let backend = &**model.backend();
        let values = backend.download(param.value())?;
        let mut value = backend.zeros(shape, model.dtype())?;
        backend.write(&positions.iter().map(|&p| values[p]).collect::<Vec<_>>(), &mut value)?;
        let pick = |mask: &Mask| Mask::from_fn(positions.len(), |k| mask.contains(positions[k]));
        let mut new = Param::new(param.name.clone(), param.role, &param.axes, value);
        new.pattern = pattern;
        new.penalty = param.penalty;
        new.trainable = match &param.trainable {
            Trainable::Only(mask) => Trainable::Only(pick(mask)),
            other => other.clone(),
        };
        let id = to.push(new);
        to.set_pruned(backend, id, param.pruned().map(pick))?;
        Ok(id)
    }
}

/// The stored positions inside the kept rows and columns, and the pattern they make.
fn sub_pattern(pattern: &Pattern, rows: Option<&[usize]>, columns: Option<&[usize]>) -> Result<(Vec<usize>, Pattern)> {
    let mut column_of: Vec<Option<u32>> = (0..pattern.columns() as u32).map(Some).collect();
    if let Some(columns) = columns {
        column_of.fill(None);
        columns.iter().enumerate().for_each(|(new, &old)| column_of[old] = Some(new as u32));
    }
    let whole: Vec<usize> = (0..pattern.rows()).collect();
    let rows = rows.unwrap_or(&whole);
    let (mut positions, mut starts, mut indices) = (Vec::new(), vec![0], Vec::new());
    for &row in rows {
        let start = pattern.starts()[row] as usize;
        for (k, &column) in pattern.row(row).iter().enumerate() {
            if let Some(column) = column_of[column as usize] {
                positions.push(start + k);
                indices.push(column);
            }
        }
        starts.push(indices.len() as u32);
    }
    let width = columns.map_or(pattern.columns(), <[_]>::len);
    Ok((positions, Pattern::new(rows.len(), width, starts, indices)?))
}

/// Adds `constants` to a bias; entries that take one in are no longer pruned.
fn add_constants(model: &Model, params: &mut Params, bias: ParamId, constants: &[f64]) -> Result<()> {
    let backend = &**model.backend();
    let pruned =
        params.get(bias).pruned().map(|old| Mask::from_fn(old.len(), |u| old.contains(u) && constants[u] == 0.0));
    params.set_pruned(backend, bias, pruned)?;
    params.edit(backend, bias, |value| {
        let sums: Vec<f64> = backend.download(value)?.iter().zip(constants).map(|(b, c)| b + c).collect();
        backend.write(&sums, value)
    })?;
    Ok(())
}

/// Appends the bias that `layer` was given, at zero.
fn new_bias(model: &Model, layer: &dyn Layer, inputs: &[Shape], node: &str, to: &mut Params) -> Result<ParamId> {
    let specs = layer.params(inputs)?;
    let Some(spec) = specs.last().filter(|s| s.role == Role::Bias) else {
        let problem = "was given a bias, but its last parameter is not one".into();
        return Err(Error::Graph { node: node.into(), problem }.into());
    };
    let value = model.backend().zeros(spec.shape, model.dtype())?;
    let mut param = Param::new(format!("{node}.{}", spec.name), spec.role, spec.axes, value);
    param.penalty = spec.penalty;
    param.trainable = if spec.trainable { Trainable::All } else { Trainable::None };
    Ok(to.push(param))
}
