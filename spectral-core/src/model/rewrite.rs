//! Making one model from another: the only place that rewrites graphs.

use super::{Graph, Layer, Meta, Model, Node, Param, ParamId, Params, Source};
use crate::base::{Error, Result};
use crate::tensor::Shape;
use std::sync::Arc;

/// A new model, built from the nodes of another one in execution order.
///
/// Go through the old nodes in order. For each one, [`copy`](Self::copy) it, [`replace`](Self::replace) it by another
/// node, or leave it out ([`bypass`](Self::bypass)), and [`insert`](Self::insert) new nodes where they belong. Inputs
/// of copied nodes follow their sources to the new places. A parameter that several nodes share is copied once and
/// stays shared.
#[derive(Debug)]
pub struct Rewrite<'m> {
    from: &'m Model,
    graph: Graph,
    params: Params,
    /// By old node: where its output is now.
    places: Vec<Option<Source>>,
    /// By old parameter: its copy.
    copies: Vec<Option<ParamId>>,
}

impl<'m> Rewrite<'m> {
    /// Starts with the input of `from` and nothing else.
    ///
    /// # Errors
    /// The input has no values.
    pub fn of(from: &'m Model) -> Result<Self> {
        Ok(Self {
            from,
            graph: Graph::new(from.graph().input())?,
            params: Params::default(),
            places: vec![None; from.graph().nodes().len()],
            copies: vec![None; from.params().len()],
        })
    }

    /// Where the output of an old node, or the input, is now.
    ///
    /// # Errors
    /// The node has not been processed yet.
    pub fn place(&self, old: Source) -> Result<Source> {
        match old {
            Source::Input => Ok(Source::Input),
            Source::Node(index) => self.places[index].ok_or_else(|| {
                let node = self.from.graph().nodes()[index].name.clone();
                Error::Graph { node, problem: "is taken in before it was copied, replaced or left out".into() }
            }),
        }
    }

    /// Copies node `index` with its parameters.
    ///
    /// # Errors
    /// An input has not been processed yet, or the device failed.
    pub fn copy(&mut self, index: usize) -> Result<usize> {
        let layer = self.from.graph().nodes()[index].layer.clone();
        self.copy_with(index, layer)
    }

    /// As [`copy`](Self::copy), with another layer over the same parameters.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    pub fn copy_with(&mut self, index: usize, layer: Arc<dyn Layer>) -> Result<usize> {
        let ids = &self.from.graph().nodes()[index].params;
        let ids = ids.iter().map(|&id| self.param(id)).collect::<Result<_>>()?;
        self.replace(index, layer, ids)
    }

    /// Replaces node `index` by a layer with these parameters, which are ids of the new model. Name and inputs stay.
    ///
    /// # Errors
    /// An input has not been processed yet, or the layer does not accept its inputs.
    pub fn replace(&mut self, index: usize, layer: Arc<dyn Layer>, params: Vec<ParamId>) -> Result<usize> {
        let node = &self.from.graph().nodes()[index];
        let inputs = node.inputs.iter().map(|&s| self.place(s)).collect::<Result<_>>()?;
        let new = self.graph.add(Node { layer, inputs, params, ..node.clone() })?;
        self.places[index] = Some(Source::Node(new));
        Ok(new)
    }

    /// Adds a node that the old model does not have. Sources and parameters are those of the new model.
    ///
    /// # Errors
    /// The name is taken, or the layer does not accept its inputs.
    pub fn insert(&mut self, node: Node) -> Result<usize> {
        self.graph.add(node)
    }

    /// Nodes that take the output of old node `index` take `instead` from now on.
    pub fn redirect(&mut self, index: usize, instead: Source) {
        self.places[index] = Some(instead);
    }

    /// Leaves node `index` out: nodes that take its output take its first input instead.
    ///
    /// # Errors
    /// The input has not been processed yet.
    pub fn bypass(&mut self, index: usize) -> Result<()> {
        let first = self.from.graph().nodes()[index].inputs.first().copied().unwrap_or(Source::Input);
        self.places[index] = Some(self.place(first)?);
        Ok(())
    }

    /// The copy of an old parameter, made when it is first asked for.
    ///
    /// # Errors
    /// The device failed.
    pub fn param(&mut self, old: ParamId) -> Result<ParamId> {
        if let Some(id) = self.copies[old.index()] {
            return Ok(id);
        }
        let copy = self.from.params().get(old).duplicate()?;
        Ok(self.stand_in(old, copy))
    }

    /// The copy of an old parameter, if there is one already.
    pub fn copied(&self, old: ParamId) -> Option<ParamId> {
        self.copies[old.index()]
    }

    /// Adds a parameter that takes the place of an old one from now on.
    pub fn stand_in(&mut self, old: ParamId, param: Param) -> ParamId {
        let id = self.params.push(param);
        self.copies[old.index()] = Some(id);
        id
    }

    /// The parameters so far, to add to and to change.
    pub fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shapes of the inputs that node `index` has in the new model.
    ///
    /// # Errors
    /// An input has not been processed yet.
    pub fn input_shapes(&self, index: usize) -> Result<Vec<Shape>> {
        let inputs = self.from.graph().nodes()[index].inputs.iter();
        inputs.map(|&s| Ok(self.graph.shape(self.place(s)?))).collect()
    }

    /// A name that no node of the old or the new model has: `name`, or `name2` and so on.
    pub fn free_name(&self, name: &str) -> String {
        let taken = |n: &str| self.from.graph().find(n).is_some() || self.graph.find(n).is_some();
        let mut names = std::iter::once(name.to_string()).chain((2u64..).map(|k| format!("{name}{k}")));
        names.find(|n| !taken(n)).unwrap_or_default()
    }

    /// Completes the model.
    ///
    /// # Errors
    /// As [`Model::from_parts`].
    pub fn finish(self, meta: Meta) -> Result<Model> {
        let Self { from, graph, params, .. } = self;
        Model::from_parts(graph, params, from.backend().clone(), from.dtype(), meta)
    }
}
