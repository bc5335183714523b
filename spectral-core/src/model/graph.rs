//! The structure of a network: nodes that only refer backwards.

use crate::base::{Error, Limits, Result, plain};
use crate::model::{Layer, ParamId, Units};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Where a node takes an input from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The network's input.
    Input,
    /// The output of an earlier node.
    Node(usize),
}

/// One computation.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique in the graph.
    pub name: String,
    /// What it computes.
    pub layer: Arc<dyn Layer>,
    /// Where it takes its inputs from.
    pub inputs: Vec<Source>,
    /// Its parameters, by the layer's slots.
    pub params: Vec<ParamId>,
}

impl Node {
    /// How its output units relate to its input units.
    pub fn units(&self) -> Units {
        self.layer.op().units()
    }
}

/// Nodes in execution order. The last one is the network's output.
///
/// A node can only be added after those it refers to, so there are no cycles to look for.
#[derive(Debug, Clone)]
pub struct Graph {
    input: Shape,
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    /// Where the node with a name is.
    names: HashMap<String, usize>,
}

impl Graph {
    /// A graph without nodes over samples of shape `input`.
    ///
    /// # Errors
    /// The shape has no elements, or more than [`Limits`] accept.
    pub fn new(input: Shape) -> Result<Self> {
        if input.is_empty() {
            return Err(Error::Graph {
                node: "input".into(),
                problem: format!("a sample of shape {input} has no values"),
            });
        }
        Limits::get()?.check_sample("input", input.len(), None)?;
        Ok(Self { input, nodes: Vec::new(), shapes: Vec::new(), names: HashMap::new() })
    }

    /// Appends a node and returns its index.
    ///
    /// # Errors
    /// The name is taken, empty or has control characters, a source does not exist yet, or the layer does not accept
    /// its inputs or has an output without elements.
    pub fn add(&mut self, node: Node) -> Result<usize> {
        let bad = |problem: String| Error::Graph { node: node.name.clone(), problem };
        if node.name.is_empty() || self.find(&node.name).is_some() {
            return Err(bad("needs a name that no other node has".into()));
        }
        if node.name.contains(char::is_control) {
            let name = plain(&node.name).into_owned();
            return Err(Error::Graph {
                node: name,
                problem: "has control characters in its name; take them out".into(),
            });
        }
        if let Some(s) = node.inputs.iter().find(|s| matches!(s, Source::Node(n) if *n >= self.nodes.len())) {
            return Err(bad(format!("refers to {s:?}, which does not come before it")));
        }
        let shape = node.layer.output_shape(&self.input_shapes(&node.inputs)).map_err(|e| bad(e.to_string()))?;
        if shape.is_empty() {
            return Err(bad(format!("has no outputs (shape {shape}); a layer needs at least one unit")));
        }
        Limits::get()?.check_sample(&node.name, shape.len(), None)?;
        self.names.insert(node.name.clone(), self.nodes.len());
        self.nodes.push(node);
        self.shapes.push(shape);
        Ok(self.nodes.len() - 1)
    }

    /// Puts `layer`, whose outputs have the same shape, in the place of that of node `index`.
    pub(crate) fn set_layer(&mut self, index: usize, layer: Arc<dyn Layer>) {
        self.nodes[index].layer = layer;
    }

    /// Shape of an input sample.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// All nodes, in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Shape of a sample at `source`.
    pub fn shape(&self, source: Source) -> Shape {
        match source {
            Source::Input => self.input,
            Source::Node(n) => self.shapes[n],
        }
    }

    /// Shapes of samples at several sources.
    pub fn input_shapes(&self, sources: &[Source]) -> Vec<Shape> {
        sources.iter().map(|&s| self.shape(s)).collect()
    }

    /// Shape of an output sample; that of the input while there are no nodes.
    pub fn output(&self) -> Shape {
        self.shapes.last().copied().unwrap_or(self.input)
    }

    /// Index of the node called `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Which nodes have which parameters.
    pub fn users(&self) -> Users {
        let mut users = Users(Vec::new());
        for (i, node) in self.nodes.iter().enumerate() {
            for id in &node.params {
                if users.0.len() <= id.index() {
                    users.0.resize(id.index() + 1, Vec::new());
                }
                users.0[id.index()].push(i);
            }
        }
        users
    }

    /// For every node, the nodes that take its output as an input.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for source in &node.inputs {
                if let Source::Node(n) = source {
                    consumers[*n].push(i);
                }
            }
        }
        consumers
    }
}

/// The nodes that have each parameter; see [`Graph::users`].
#[derive(Debug, Clone)]
pub struct Users(Vec<Vec<usize>>);

impl Users {
    /// The nodes that have parameter `id`, in execution order; one that has it in two slots is named twice.
    pub fn of(&self, id: ParamId) -> &[usize] {
        self.0.get(id.index()).map_or(&[], Vec::as_slice)
    }

    /// Whether a parameter of `node` is in another slot too, of this node or of another.
    pub fn shares(&self, node: &Node) -> bool {
        node.params.iter().any(|&id| self.of(id).len() > 1)
    }
}
