//! Building the smaller model.

use super::constants::Constants;
use super::live::Live;
use crate::Result;
use spectral_core::{
    Change, Error, Known, Layer, Mask, Model, Node, Operand, Param, ParamId, Params, Pattern, Rewrite, Role, Shape,
    Source, Trainable, UnitAxis, Units,
};
use std::sync::Arc;

/// The model with only the units of `live`, and the number of biases that constants were added to.
pub(super) fn cut(model: &Model, known: &[Known], constants: &Constants, live: &Live) -> Result<(Model, usize)> {
    let old = model.graph();
    let mut rewrite = Rewrite::of(model)?;
    let mut folded = 0;
    for (i, node) in old.nodes().iter().enumerate() {
        let kept = Kept { out: live.kept(Source::Node(i)), input: inputs_kept(node, live) };
        let constants = folds(node, &known[i], constants, live, kept.out);
        let takes = constants.iter().any(|c| *c != 0.0);
        folded += constants.iter().filter(|c| **c != 0.0).count();
        let mut layer = node.layer.clone();
        let bias = match layer.op().word.weights() {
            Some((_, Some(Operand::Slot(slot)))) => node.params.get(slot).copied(),
            _ => None,
        };
        let cannot = |what: &str| Error::Graph { node: node.name.clone(), problem: format!("cannot be built {what}") };
        let add_bias = bias.is_none() && takes;
        if add_bias {
            layer = layer.with(Change::Bias).ok_or_else(|| cannot("with a bias"))?;
        }
        if layer.op().units() == Units::Own && kept.out.len() < old.shape(Source::Node(i)).rows() {
            layer = layer.with(Change::Units(kept.out.len())).ok_or_else(|| cannot("with fewer units"))?;
        }
        let mut ids = Vec::new();
        for &id in &node.params {
            // A shared parameter is copied once; nodes that share one are not cut.
            let new = match rewrite.copied(id) {
                Some(new) => new,
                None => {
                    let part = kept.part(model, model.params().get(id))?;
                    rewrite.stand_in(id, part)
                }
            };
            if Some(id) == bias && takes {
                add_constants(model, rewrite.params_mut(), new, &constants)?;
            }
            ids.push(new);
        }
        if add_bias {
            let new = new_bias(model, &*layer, &rewrite.input_shapes(i)?, &node.name)?;
            ids.push(rewrite.params_mut().push(new));
            add_constants(model, rewrite.params_mut(), ids[ids.len() - 1], &constants)?;
        }
        rewrite.replace(i, layer, ids)?;
    }
    Ok((rewrite.finish(model.meta.clone())?, folded))
}

/// For each kept unit: what removed inputs with constants contribute.
fn folds(node: &Node, known: &Known, constants: &Constants, live: &Live, kept: &[usize]) -> Vec<f64> {
    let Some(rows) = known.rows() else { return vec![0.0; kept.len()] };
    let source = node.inputs[0];
    let stays = live.kept(source);
    let sum = |&unit: &usize| {
        let removed = rows.row(unit).iter().filter(|(c, _)| stays.binary_search(&(*c as usize)).is_err());
        removed.filter_map(|(c, w)| constants.get(source, *c as usize).map(|x| w * x)).sum()
    };
    kept.iter().map(sum).collect()
}

/// The inputs that stay, if the node has exactly one source.
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
    /// A copy of `param` with the kept units only.
    fn part(&self, model: &Model, param: &Param) -> Result<Param> {
        let full = param.full_shape();
        let along = |axis: usize| -> Option<&[usize]> {
            let kept = match param.axes.get(axis)? {
                UnitAxis::Out => self.out,
                UnitAxis::In => self.input?,
            };
            // An axis that counts values instead of units (flattened images) stays whole.
            (kept.len() < full.extents()[axis] && kept.last().is_some_and(|&u| u < full.extents()[axis]))
                .then_some(kept)
        };
        if (0..full.rank()).all(|axis| along(axis).is_none()) {
            return Ok(param.duplicate()?);
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
        new.prune(backend, param.pruned().map(pick))?;
        Ok(new)
    }
}

/// The stored positions inside the kept rows and columns, and the pattern that they form.
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

/// Adds `constants` to a bias. Entries that receive one are no longer pruned.
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

/// A zero bias for `layer`, which had none.
fn new_bias(model: &Model, layer: &dyn Layer, inputs: &[Shape], node: &str) -> Result<Param> {
    let specs = layer.params(inputs)?;
    let Some(spec) = specs.last().filter(|s| s.role == Role::Bias) else {
        let problem = "was given a bias, but its last parameter is not one".into();
        return Err(Error::Graph { node: node.into(), problem }.into());
    };
    let value = model.backend().zeros(spec.shape, model.dtype())?;
    let mut param = Param::new(format!("{node}.{}", spec.name), spec.role, spec.axes, value);
    param.penalty = spec.penalty;
    param.trainable = if spec.trainable { Trainable::All } else { Trainable::None };
    Ok(param)
}
