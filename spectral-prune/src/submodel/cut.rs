//! Building the sub-model, layer by layer.

use super::chain::Chain;
use super::summary::{few, fit};
use super::{Part, SubLayer, SubModel};
use crate::activities::activities;
use crate::{Error, Result};
use spectral_core::ndarray::Array2;
use spectral_core::{
    Change, Graph, Mask, Meta, Model, Node, Param, ParamId, Params, Role, Samples, Shape, Source, Trainable, UnitAxis,
    Units,
};

/// The units of a sub-model at one place.
#[derive(Debug, Clone)]
struct Place {
    /// Units of the original that stay, in the order of the sub-model.
    kept: Vec<usize>,
    /// Units that a last unit stands for, with the factors on its activity; `None` if there is no such unit.
    summed: Option<Vec<(usize, f64)>>,
}

impl Place {
    fn whole(units: usize) -> Self {
        Self { kept: (0..units).collect(), summed: None }
    }

    fn width(&self) -> usize {
        self.kept.len() + usize::from(self.summed.is_some())
    }
}

/// The model under construction.
struct Cutter<'a> {
    model: &'a Model,
    graph: Graph,
    params: Params,
    parts: Vec<Part>,
    /// Samples as the sub-model sees them, and as the original sees them.
    data: Option<(Samples, Samples)>,
}

/// Cuts the chain to the units that are `kept` in each of its weighted layers.
pub(super) fn cut(
    model: &Model,
    chain: &Chain,
    kept: &[Vec<usize>],
    summary: bool,
    data: Option<&Samples>,
) -> Result<SubModel> {
    let data = data.filter(|_| summary).map(few).transpose()?;
    let data = data.map(|whole| {
        let inputs = activities(model, chain.start, &whole)?.mapv(|v| v as f32);
        Ok::<_, Error>((Samples::new(whole.name.clone(), inputs, whole.targets().clone())?, whole))
    });
    let graph = Graph::new(model.graph().shape(chain.start))?;
    let mut cutter = Cutter { model, graph, params: Params::default(), parts: Vec::new(), data: data.transpose()? };
    let mut place = Place::whole(chain.layers[0].columns);
    let mut layers = Vec::new();
    let mut weighted = chain.layers.iter().zip(kept).peekable();
    for index in chain.first..model.graph().nodes().len() {
        match weighted.peek() {
            Some((layer, kept)) if layer.node == index => {
                let left: Vec<usize> = (0..layer.rows).filter(|u| kept.binary_search(u).is_err()).collect();
                if place.summed.is_some() {
                    cutter.fit(&mut place, Source::Node(index - 1))?;
                }
                let summed = (summary && !left.is_empty()).then(|| left.into_iter().map(|u| (u, 1.0)).collect());
                let out = Place { kept: (*kept).clone(), summed };
                cutter.weighted(layer, &place, &out)?;
                layers.push(SubLayer {
                    name: layer.name.clone(),
                    kept: out.kept.clone(),
                    of: layer.rows,
                    summary: out.summed.is_some(),
                });
                place = out;
                weighted.next();
            }
            _ => cutter.same(index, &place)?,
        }
    }
    layers.pop();
    let Cutter { graph, params, parts, .. } = cutter;
    let meta = Meta { seed: model.meta.seed, ..Meta::default() };
    let sub = Model::from_parts(graph, params, model.backend().clone(), model.dtype(), meta)?;
    Ok(SubModel { model: sub, layers, start: chain.start, parts })
}

impl Cutter<'_> {
    /// Fits the factors of the summary unit at the end of what is built so far. `source` is that place in the original.
    fn fit(&self, place: &mut Place, source: Source) -> Result<()> {
        let (Some((seen, whole)), Some(summed)) = (&self.data, &mut place.summed) else { return Ok(()) };
        let backend = self.model.backend().clone();
        let params = self.params.duplicate()?;
        let so_far = Model::from_parts(self.graph.clone(), params, backend, self.model.dtype(), Meta::default())?;
        let last = Source::Node(so_far.graph().nodes().len() - 1);
        let own = activities(&so_far, last, seen)?;
        let original: Array2<f64> = activities(self.model, source, whole)?;
        let summary = own.column(own.ncols() - 1).to_vec();
        let units: Vec<usize> = summed.iter().map(|s| s.0).collect();
        let factors = fit(&original, &units, &summary);
        summed.iter_mut().zip(factors).for_each(|(s, f)| s.1 = f);
        Ok(())
    }

    /// Adds a layer that makes its own units.
    fn weighted(&mut self, layer: &crate::weighted::Weighted, input: &Place, out: &Place) -> Result<()> {
        let model = self.model;
        let node = &model.graph().nodes()[layer.node];
        let weight: Vec<f64> = layer.load(model)?.weight().iter().collect();
        let mut rows: Vec<Vec<f64>> = out.kept.iter().map(|&o| row(&weight, layer.columns, o, input)).collect();
        if let Some(left) = &out.summed {
            let mut mean = vec![0.0; input.width()];
            for (unit, _) in left {
                let row = row(&weight, layer.columns, *unit, input);
                mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / left.len() as f64);
            }
            rows.push(mean);
        }
        let eigenvalues = layer.eigenvalues.map(|[inner, outer]| self.eigenvalues(inner, outer, input, out));
        let eigenvalues = eigenvalues.transpose()?;
        let mut ids = Vec::new();
        for &id in &node.params {
            let param = model.params().get(id);
            let values = match (&eigenvalues, param.role) {
                _ if id == layer.matrix => {
                    let gap =
                        |o: usize, i: usize| eigenvalues.as_ref().map_or(1.0, |(inner, outer)| inner[i] - outer[o]);
                    let width = input.width();
                    (0..width * out.width()).map(|k| rows[k / width][k % width] / gap(k / width, k % width)).collect()
                }
                (Some((inner, _)), Role::EigenvalueIn) => inner.clone(),
                (Some((_, outer)), Role::EigenvalueOut) => outer.clone(),
                _ => self.means(param, out)?,
            };
            ids.push(self.part(id, &values, out, Some(input))?);
        }
        let smaller = match out.width() == layer.rows {
            true => Some(node.layer.clone()),
            false => node.layer.with(Change::Units(out.width())),
        };
        let layer = smaller.ok_or_else(|| Error::Config(format!("layer `{}` cannot be built smaller", node.name)))?;
        self.push(Node { layer, params: ids, ..node.clone() })
    }

    /// Adds a layer that keeps the units before it.
    fn same(&mut self, index: usize, place: &Place) -> Result<()> {
        let node = &self.model.graph().nodes()[index];
        debug_assert!(node.units() == Units::Same);
        let mut ids = Vec::new();
        for &id in &node.params {
            let values = self.means(self.model.params().get(id), place)?;
            ids.push(self.part(id, &values, place, Some(place))?);
        }
        self.push(Node { params: ids, ..node.clone() })
    }

    fn push(&mut self, node: Node) -> Result<()> {
        let before = self.graph.nodes().len().checked_sub(1);
        let inputs = vec![before.map_or(Source::Input, Source::Node)];
        self.graph.add(Node { inputs, ..node })?;
        Ok(())
    }

    /// Eigenvalues of inputs and outputs. Those of summary units are at least 1 away from all that they are combined
    /// with.
    fn eigenvalues(&self, inner: ParamId, outer: ParamId, input: &Place, out: &Place) -> Result<(Vec<f64>, Vec<f64>)> {
        let get = |id, place: &Place| {
            let all = self.model.backend().download(self.model.params().get(id).value())?;
            Ok::<_, Error>(place.kept.iter().map(|&u| all[u]).collect::<Vec<f64>>())
        };
        let (mut inner, mut outer) = (get(inner, input)?, get(outer, out)?);
        if out.summed.is_some() {
            outer.push(inner.iter().copied().fold(0.0, f64::min) - 1.0);
        }
        if input.summed.is_some() {
            inner.push(outer.iter().copied().fold(0.0, f64::max) + 1.0);
        }
        Ok((inner, outer))
    }

    /// The entries of a parameter over units. The summary unit gets the mean of those that are left out.
    fn means(&self, param: &Param, place: &Place) -> Result<Vec<f64>> {
        let all = self.model.backend().download(param.value())?;
        if param.axes != [UnitAxis::Out] && param.axes != [UnitAxis::In] {
            let problem =
                format!("a sub-model cannot be cut through parameter `{}`: it is not one value a unit", param.name);
            return Err(Error::Config(problem));
        }
        let mut values: Vec<f64> = place.kept.iter().map(|&u| all[u]).collect();
        if let Some(left) = &place.summed {
            values.push(left.iter().map(|(u, _)| all[*u]).sum::<f64>() / left.len() as f64);
        }
        Ok(values)
    }

    /// Appends the part of parameter `id` between two places. Kept entries are copied, the others come from `values`.
    fn part(&mut self, id: ParamId, values: &[f64], out: &Place, input: Option<&Place>) -> Result<ParamId> {
        let param = self.model.params().get(id);
        let backend = &**self.model.backend();
        let places: Vec<&Place> = param
            .axes
            .iter()
            .filter_map(|axis| match axis {
                UnitAxis::Out => Some(out),
                UnitAxis::In => input,
            })
            .collect();
        let extents: Vec<usize> = places.iter().map(|p| p.width()).collect();
        let full = param.full_shape();
        // The index of every entry in the original; `None` for entries of summary units.
        let mut origin = vec![Some(0)];
        for (place, extent) in places.iter().zip(full.extents()) {
            let along = |u: usize| place.kept.get(u).copied();
            let step = |o: &Option<usize>, u: usize| Some((*o)? * extent + along(u)?);
            origin = origin.iter().flat_map(|o| (0..place.width()).map(move |u| step(o, u))).collect();
        }
        let old = backend.download(param.value())?;
        let merged: Vec<f64> = origin.iter().zip(values).map(|(o, v)| o.map_or(*v, |o| old[o])).collect();
        let mut value = backend.zeros(Shape::new(&extents)?, self.model.dtype())?;
        backend.write(&merged, &mut value)?;
        let mut new = Param::new(param.name.clone(), param.role, &param.axes, value);
        new.penalty = param.penalty;
        new.trainable = match &param.trainable {
            Trainable::Only(mask) => {
                Trainable::Only(Mask::from_fn(origin.len(), |k| origin[k].is_none_or(|o| mask.contains(o))))
            }
            other => other.clone(),
        };
        let sub = self.params.push(new);
        let pruned = param.pruned().map(|m| Mask::from_fn(origin.len(), |k| origin[k].is_some_and(|o| m.contains(o))));
        self.params.set_pruned(backend, sub, pruned)?;
        let entries = origin.iter().enumerate().filter_map(|(k, o)| Some((k, (*o)?))).collect();
        self.parts.push(Part { sub, original: id, entries });
        Ok(sub)
    }
}

/// The incoming weights of one unit from the units of a sub-model.
fn row(weight: &[f64], columns: usize, unit: usize, input: &Place) -> Vec<f64> {
    let row = &weight[unit * columns..(unit + 1) * columns];
    let mut mapped: Vec<f64> = input.kept.iter().map(|&i| row[i]).collect();
    if let Some(left) = &input.summed {
        mapped.push(left.iter().map(|(i, factor)| row[*i] * factor).sum());
    }
    mapped
}
