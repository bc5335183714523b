//! A network with its parameters.

mod canonical;
mod density;
mod graph;
mod identity;
mod init;
pub mod layer;
mod meta;
pub mod op;
mod param;
mod parts;
mod plan;
mod rewrite;

pub use canonical::{CanonicalConfig, CanonicalConfigs};
pub use density::Density;
pub use graph::{Graph, Node, Source, Users};
pub use identity::{ContentHash, HashVersion};
pub use init::Init;
pub use layer::{Change, Derive, Forward, Layer, LayerEntry, LeftFactor, Mode, NodeParams, Saved, Vjp};
pub use meta::{Alias, DataOrigin, HeldOut, HistoryEntry, Meta, Preprocessing};
pub use op::{
    Affine, Convolution, Frame, Known, Matrix, Normalise, Op, Operand, Operands, Pool, Prelu, Scale, Units, Word,
};
pub use param::{Masking, Param, ParamId, ParamSpec, ParamView, Params, Role, Stored, Trainable, UnitAxis, carry_over};
pub use plan::{BATCH_CLASSES, Choice, Plan, batch_class};
pub use rewrite::Rewrite;

use crate::backend::{BackendHandle, IntoBackend};
use crate::base::{DType, Error, Result, Seed, Stream, filled, with_room};
use crate::tensor::{Mask, Pattern, Shape};
use std::sync::Arc;

/// A graph, the parameters of its nodes, the backend that holds them, and what is known about their origin.
///
/// `&Model` can be shared between threads; everything a run writes is in a
/// [`Workspace`](crate::run::Workspace) or a [`Session`](crate::run::Session).
#[derive(Debug)]
pub struct Model {
    graph: Graph,
    params: Params,
    backend: BackendHandle,
    dtype: DType,
    /// Origin, preprocessing and history.
    pub meta: Meta,
}

/// A node to be built.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Unique name.
    pub name: String,
    /// What it computes.
    pub layer: Arc<dyn Layer>,
    /// Where its inputs come from.
    pub inputs: Vec<Source>,
}

impl Model {
    /// Builds a network and draws its parameters.
    ///
    /// The values depend on `seed` and the position of the node alone.
    ///
    /// # Errors
    /// The graph is not well formed (it needs at least one node), an initialiser is impossible, or the device
    /// failed.
    pub fn build(
        input: Shape,
        nodes: &[NodeSpec],
        backend: impl IntoBackend,
        dtype: DType,
        seed: Seed,
    ) -> Result<Self> {
        let backend = backend.into_backend();
        let mut graph = Graph::new(input)?;
        let mut params = Params::default();
        for (index, spec) in nodes.iter().enumerate() {
            let shapes = inputs_of(&graph, spec)?;
            let in_node = |e: Error| Error::Graph { node: spec.name.clone(), problem: e.to_string() };
            let mut ids = Vec::new();
            for (slot, p) in spec.layer.params(&shapes).map_err(in_node)?.into_iter().enumerate() {
                let drawn = draw(&spec.name, p, &backend, dtype, seed, stream_index(index, slot));
                ids.push(params.push(drawn.map_err(in_node)?));
            }
            graph.add(Node {
                name: spec.name.clone(),
                layer: spec.layer.clone(),
                inputs: spec.inputs.clone(),
                params: ids,
            })?;
        }
        let meta = Meta { seed: Some(seed.0), ..Meta::default() };
        Self::from_parts(graph, params, backend, dtype, meta)
    }

    /// A model of parts made elsewhere: a file, a compaction.
    ///
    /// # Errors
    /// There is no node, or the parameters are not those the layers ask for.
    pub fn from_parts(
        graph: Graph,
        mut params: Params,
        backend: BackendHandle,
        dtype: DType,
        meta: Meta,
    ) -> Result<Self> {
        if graph.nodes().is_empty() {
            return Err(Error::Graph { node: "network".into(), problem: "has no layers; add at least one".into() });
        }
        for node in graph.nodes() {
            let bad = |problem: String| Error::Graph { node: node.name.clone(), problem };
            let specs = node.layer.params(&graph.input_shapes(&node.inputs)).map_err(|e| bad(e.to_string()))?;
            if specs.len() != node.params.len() {
                return Err(bad(format!("needs {} parameters, has {}", specs.len(), node.params.len())));
            }
            for (spec, id) in specs.iter().zip(&node.params) {
                if id.index() >= params.len() {
                    return Err(bad(format!("refers to parameter {}, of {}", id.0, params.len())));
                }
                check_param(spec, params.get(*id), dtype).map_err(bad)?;
                params.follow(*id, spec);
            }
        }
        Ok(Self { graph, params, backend, dtype, meta })
    }

    /// The structure.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The parameters, for changing them through the arena's guards, with the backend that does it.
    pub fn params_mut(&mut self) -> (&mut Params, &dyn crate::backend::Backend) {
        (&mut self.params, &*self.backend)
    }

    /// The backend that holds the parameters.
    pub fn backend(&self) -> &BackendHandle {
        &self.backend
    }

    /// Element type of all parameters.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The parameters of one node.
    pub fn node_params(&self, node: usize) -> NodeParams<'_> {
        NodeParams { all: &self.params, ids: &self.graph.nodes()[node].params }
    }

    /// The tensors that the op of one node works with.
    ///
    /// # Errors
    /// The device failed.
    pub fn operands(&self, node: usize) -> Result<Operands<'_>> {
        let Node { name, layer, .. } = &self.graph.nodes()[node];
        Operands::of(name, &**layer, &*self.backend, self.node_params(node))
    }

    /// The parameter to whose entries those of `operand` of a node belong one by one.
    pub fn entries_of(&self, node: usize, operand: Operand) -> Option<ParamId> {
        self.graph.nodes()[node].params.get(operand.entries()?).copied()
    }

    /// Multiplications and additions of one node for one sample; see [`Word::flops`].
    ///
    /// # Errors
    /// The device failed.
    pub fn flops(&self, node: usize) -> Result<usize> {
        let own = &self.graph.nodes()[node];
        let inputs = self.graph.input_shapes(&own.inputs);
        own.layer.op().word.flops(&self.operands(node)?, &inputs, self.graph.shape(Source::Node(node)))
    }

    /// Width of every weighted layer: the input, then each node that owns its units.
    pub fn widths(&self) -> Vec<usize> {
        let own = self.graph.nodes().iter().enumerate().filter(|(_, n)| n.units() == Units::Own);
        let widths = own.map(|(i, _)| self.graph.shape(Source::Node(i)).rows());
        std::iter::once(self.graph.input().len()).chain(widths).collect()
    }

    /// An independent copy on the same backend.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    pub fn duplicate(&self) -> Result<Self> {
        Ok(Self {
            graph: self.graph.clone(),
            params: self.params.duplicate()?,
            backend: self.backend.clone(),
            dtype: self.dtype,
            meta: self.meta.clone(),
        })
    }

    /// A copy on another backend, or of another element type.
    ///
    /// # Errors
    /// A device is out of memory or failed.
    pub fn to_backend(&self, backend: impl IntoBackend, dtype: DType) -> Result<Self> {
        let backend = backend.into_backend();
        let mut params = Params::default();
        for (_, old) in self.params.iter() {
            let mut value = backend.zeros(old.value().shape(), dtype)?;
            backend.write(&self.backend.download(old.value())?, &mut value)?;
            let mut param = Param::new(old.name.clone(), old.role, &old.axes, value);
            param.pattern = old.pattern.clone();
            param.penalty = old.penalty;
            param.trainable = old.trainable.clone();
            let id = params.push(param);
            params.set_pruned(&*backend, id, old.pruned().cloned())?;
        }
        Self::from_parts(self.graph.clone(), params, backend, dtype, self.meta.clone())
    }

    /// Draws every value anew: with the seed it was built with, those it was built with. Masks, patterns, penalties and
    /// what may train stay. A parameter that several nodes share is drawn as that of the first.
    ///
    /// # Errors
    /// An initialiser is impossible or the device failed; the model is then unchanged.
    pub fn redraw(&mut self, seed: Seed) -> Result<()> {
        let mut params = self.params.duplicate()?;
        let mut drawn = vec![false; params.len()];
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let specs = node.layer.params(&self.graph.input_shapes(&node.inputs))?;
            for (slot, (spec, &id)) in specs.iter().zip(&node.params).enumerate() {
                if !std::mem::replace(&mut drawn[id.index()], true) {
                    let values = initial(spec, params.get(id).value().len(), seed, stream_index(index, slot))?;
                    params.edit(&*self.backend, id, |value| self.backend.write(&values, value))?;
                }
            }
        }
        self.params = params;
        Ok(())
    }
}

/// Whether a parameter is what a layer asks for; what is wrong otherwise.
fn check_param(spec: &ParamSpec, p: &Param, dtype: DType) -> Result<(), String> {
    if p.role != spec.role || p.full_shape() != spec.shape || p.value().dtype() != dtype {
        let got = format!("{} {} {}", p.role.name(), p.full_shape(), p.value().dtype());
        let wanted = format!("{} {} {dtype}", spec.role.name(), spec.shape);
        return Err(format!("parameter `{}` should be {wanted}, is {got}", spec.name));
    }
    if p.axes != spec.axes {
        return Err(format!("parameter `{}` should run over {:?}, not {:?}", spec.name, spec.axes, p.axes));
    }
    let (expected, needs) = match (&p.pattern, spec.stored) {
        (None, _) => (spec.shape, "a value for each entry"),
        (Some(_), Stored::Full) => (spec.shape, "all its entries stored, not those on a pattern"),
        (Some(pattern), _) => (Shape::vector(pattern.nonzeros()), "one value for each entry on its pattern"),
    };
    let fits = p.value().shape() == expected;
    if fits { Ok(()) } else { Err(format!("parameter `{}` should have {needs}", spec.name)) }
}

/// Shapes of a node's inputs, checked to exist.
fn inputs_of(graph: &Graph, spec: &NodeSpec) -> Result<Vec<Shape>> {
    match spec.inputs.iter().find(|s| matches!(s, Source::Node(n) if *n >= graph.nodes().len())) {
        Some(s) => Err(Error::Graph {
            node: spec.name.clone(),
            problem: format!("refers to {s:?}, which does not come before it"),
        }),
        None => Ok(graph.input_shapes(&spec.inputs)),
    }
}

/// Which stream of a seed the parameter in `slot` of a node draws from.
fn stream_index(node: usize, slot: usize) -> u64 {
    (node * 64 + slot) as u64
}

/// The initial values of a parameter that stores `stored` entries.
fn initial(spec: &ParamSpec, stored: usize, seed: Seed, index: u64) -> Result<Vec<f64>> {
    let mut values = filled(&format!("parameter `{}`", spec.name), stored, 0.0)?;
    spec.init.fill(&mut values, spec.fan, &mut seed.stream("init", index))?;
    Ok(values)
}

/// Allocates and initialises one parameter.
fn draw(node: &str, spec: ParamSpec, backend: &BackendHandle, dtype: DType, seed: Seed, index: u64) -> Result<Param> {
    if !(0.0..=1.0).contains(&spec.density) {
        return Err(Error::config("density", format!("{} is not between 0 and 1", spec.density)));
    }
    let positions = spec.shape.len();
    let present = (spec.density * positions as f64).round() as usize;
    let pattern = match spec.stored {
        Stored::Full | Stored::Either => None,
        Stored::Pattern => Some(Arc::new(draw_pattern(spec.shape, present, &mut seed.stream("mask", index))?)),
    };
    let shape = pattern.as_ref().map_or(spec.shape, |p| Shape::vector(p.nonzeros()));
    let values = initial(&spec, shape.len(), seed, index)?;
    let mut value = backend.zeros(shape, dtype)?;
    backend.write(&values, &mut value)?;
    let mut arena = Params::default();
    let mut param = Param::new(format!("{node}.{}", spec.name), spec.role, spec.axes, value);
    param.pattern = pattern;
    param.penalty = spec.penalty;
    param.trainable = if spec.trainable { Trainable::All } else { Trainable::None };
    let id: ParamId = arena.push(param);
    let pruned = positions - present;
    if pruned > 0 && spec.stored != Stored::Pattern {
        let mut order = filled("a random mask", positions, 0usize)?;
        order.iter_mut().enumerate().for_each(|(i, position)| *position = i);
        seed.stream("mask", index).shuffle(&mut order);
        let mut mask = Mask::none(positions);
        order[..pruned].iter().for_each(|&i| mask.insert(i));
        arena.set_pruned(&**backend, id, Some(mask))?;
    }
    if let Some(mask) = &spec.pruned {
        arena.prune(&**backend, id, mask)?;
    }
    arena.get(id).duplicate()
}

/// `stored` positions of a matrix, every set of that size equally likely.
fn draw_pattern(shape: Shape, stored: usize, stream: &mut Stream) -> Result<Pattern> {
    // Room for what is about to be chosen, found out while it can still be refused.
    drop(with_room::<u64>("a random pattern", stored)?);
    Pattern::from_positions(shape.rows(), shape.columns(), &stream.choose(shape.len() as u64, stored))
}
