//! The network builder.

mod spec;

pub use spec::LayerSpec;

use crate::{
    ActivationLayer, Add, BatchNorm, Concat, Conv2d, Dense, DropConnect, Dropout, Error, Flatten, Masked, Multiply,
    Reshape, Result, Spectral,
};
use spectral_core::registry::nearest;
use spectral_core::{
    Activation, Change, DType, Density, Graph, IntoBackend, Layer, Model, Node, NodeSpec, Seed, Shape, Source,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label of the network's input.
const INPUT: &str = "input";

/// A description of a network, layer by layer, that [`build`](Self::build) turns into a [`Model`].
///
/// Each call puts a layer on top of the last one. For branches, [`mark`](Self::mark) names the current place,
/// [`from`](Self::from) goes back to a place, and merges take several places. A place is a mark, the name of a layer,
/// or `"input"`. Layers without a name are named by kind and number (`spectral1`, `relu2`).
///
/// Mistakes are collected and reported together by [`build`](Self::build).
///
/// ```
/// use spectral_core::{Reference, Seed};
/// use spectral_layers::prelude::*;
///
/// let residual = Network::new(64)
///     .dense(32, Relu)
///     .mark("skip")
///     .spectral(32, Relu)
///     .mark("body")
///     .add(&["skip", "body"])
///     .dense(10, Identity)
///     .build(&Reference, Seed(1))?;
/// assert_eq!(residual.graph().nodes().len(), 4);
/// # Ok::<(), spectral_layers::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Network {
    input: usize,
    dtype: DType,
    density: Option<Density>,
    nodes: Vec<NodeSpec>,
    here: Source,
    places: BTreeMap<String, Source>,
    problems: Vec<String>,
}

impl Network {
    /// A network over samples of `input` values, without layers yet.
    pub fn new(input: usize) -> Self {
        Self {
            input,
            dtype: DType::F32,
            density: None,
            nodes: Vec::new(),
            here: Source::Input,
            places: BTreeMap::from([(INPUT.into(), Source::Input)]),
            problems: Vec::new(),
        }
    }

    /// A network of layers that a recipe describes; see [`LayerSpec`].
    pub fn from_specs(input: usize, layers: &[LayerSpec]) -> Self {
        layers.iter().fold(Self::new(input), Self::spec)
    }

    /// Element type of the parameters; default: f32.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Sets the share of weights of every sparse and masked layer by one rule, which overrides the layers' own shares.
    pub fn density(mut self, rule: Density) -> Self {
        self.density = Some(rule);
        self
    }

    /// A [`Spectral`] layer with default settings; softmax becomes a separate layer after it.
    pub fn spectral(self, units: usize, activation: Activation) -> Self {
        let (fused, after) = split(activation);
        self.layer(Spectral::new(units, fused)).then(after)
    }

    /// A [`Dense`] layer with default settings; softmax becomes a separate layer after it.
    pub fn dense(self, units: usize, activation: Activation) -> Self {
        let (fused, after) = split(activation);
        self.layer(Dense::new(units, fused)).then(after)
    }

    /// A [`Masked`] layer that keeps a random share `density` of its weights; softmax becomes a separate layer after
    /// it.
    pub fn masked(self, units: usize, activation: Activation, density: f64) -> Self {
        let (fused, after) = split(activation);
        self.layer(Masked::new(units, fused, density)).then(after)
    }

    /// A [`DropConnect`] layer that drops a share `rate` of its weights in a step; softmax becomes a separate layer
    /// after it.
    pub fn drop_connect(self, units: usize, activation: Activation, rate: f64) -> Self {
        let (fused, after) = split(activation);
        self.layer(DropConnect::new(units, fused, rate)).then(after)
    }

    /// [`Dropout`] of a share `rate` of the values.
    pub fn dropout(self, rate: f64) -> Self {
        self.layer(Dropout { rate })
    }

    /// A [`Conv2d`] layer with steps of one and no padding, over images; see [`reshape`](Self::reshape).
    pub fn conv2d(self, channels: usize, kernel: usize, activation: Activation) -> Self {
        self.layer(Conv2d::new(channels, kernel, activation))
    }

    /// [`BatchNorm`] with default settings.
    pub fn batch_norm(self) -> Self {
        self.layer(BatchNorm::default())
    }

    /// The same values as samples of another shape: rows of pixels as images `[channels, height, width]`.
    pub fn reshape(self, shape: &[usize]) -> Self {
        self.layer(Reshape { shape: shape.to_vec() })
    }

    /// Images as rows of values.
    pub fn flatten(self) -> Self {
        self.layer(Flatten {})
    }

    /// An activation as a separate layer.
    pub fn activation(self, activation: Activation) -> Self {
        self.layer(ActivationLayer { activation })
    }

    /// Softmax over the features of each sample.
    pub fn softmax(self) -> Self {
        self.activation(Activation::Softmax)
    }

    /// Any layer with one input.
    pub fn layer(self, layer: impl Layer) -> Self {
        let here = self.here;
        self.push(None, Arc::new(layer), vec![here])
    }

    /// Any layer with one input, with a name that you choose.
    pub fn layer_named(self, name: &str, layer: impl Layer) -> Self {
        let here = self.here;
        self.push(Some(name), Arc::new(layer), vec![here])
    }

    /// The sum of several places.
    #[expect(clippy::should_implement_trait, reason = "the name of the layer; a network is not a number")]
    pub fn add(self, places: &[&str]) -> Self {
        self.merge(Add {}, places)
    }

    /// Several places side by side.
    pub fn concat(self, places: &[&str]) -> Self {
        self.merge(Concat {}, places)
    }

    /// The product of several places, element by element.
    pub fn multiply(self, places: &[&str]) -> Self {
        self.merge(Multiply {}, places)
    }

    /// Any layer over several places.
    pub fn merge(mut self, layer: impl Layer, places: &[&str]) -> Self {
        let sources = self.find_all(places);
        self.push(None, Arc::new(layer), sources)
    }

    /// Names the current place.
    pub fn mark(mut self, place: &str) -> Self {
        if place.is_empty() || self.places.contains_key(place) {
            self.problems.push(format!("mark `{place}` needs a name that no other mark or layer has"));
        } else {
            self.places.insert(place.into(), self.here);
        }
        self
    }

    /// Goes back to a place, so that the next layer starts a new branch there.
    pub fn from(mut self, place: &str) -> Self {
        if let Some(source) = self.find(place) {
            self.here = source;
        }
        self
    }

    /// Checks the description and draws the parameters.
    ///
    /// # Errors
    /// The description has mistakes (all are listed), or the backend failed.
    pub fn build(&self, backend: impl IntoBackend, seed: Seed) -> Result<Model> {
        let mut problems = self.problems.clone();
        self.check_ends(&mut problems);
        self.check_shapes(&mut problems);
        if !problems.is_empty() {
            return Err(Error::Network { problems });
        }
        let nodes = match self.density {
            Some(rule) => &spread(rule, self.input, self.nodes.clone())?,
            None => &self.nodes,
        };
        Ok(Model::build(Shape::vector(self.input), nodes, backend, self.dtype, seed)?)
    }

    fn then(self, activation: Option<Activation>) -> Self {
        match activation {
            Some(activation) => self.activation(activation),
            None => self,
        }
    }

    fn push(mut self, name: Option<&str>, layer: Arc<dyn Layer>, inputs: Vec<Source>) -> Self {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.free_name(&*layer),
        };
        let here = Source::Node(self.nodes.len());
        if name.is_empty() || self.places.contains_key(&name) {
            self.problems.push(format!("layer `{name}` needs a name that no other layer or mark has"));
        } else {
            self.places.insert(name.clone(), here);
        }
        self.nodes.push(NodeSpec { name, layer, inputs });
        self.here = here;
        self
    }

    /// The layer's kind, or its function for an activation, and the first number that makes the name unique.
    fn free_name(&self, layer: &dyn Layer) -> String {
        let kind = layer.kind().rsplit('.').next().unwrap_or_default();
        let config = if kind == "activation" { layer.config().unwrap_or_default() } else { Default::default() };
        let function = match config.get("activation") {
            Some(serde_json::Value::Object(table)) => table.keys().next().map(String::as_str),
            other => other.and_then(|v| v.as_str()),
        };
        let base = function.unwrap_or(kind);
        let mut number = 1;
        while self.places.contains_key(&format!("{base}{number}")) {
            number += 1;
        }
        format!("{base}{number}")
    }

    fn find(&mut self, place: &str) -> Option<Source> {
        let found = self.places.get(place).copied();
        if found.is_none() {
            let known: Vec<&str> = self.places.keys().map(String::as_str).collect();
            let hint =
                nearest(place, known.iter().copied()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            let known = known.join(", ");
            self.problems.push(format!("no mark or layer so far is called `{place}`{hint} (known: {known})"));
        }
        found
    }

    fn find_all<P: AsRef<str>>(&mut self, places: &[P]) -> Vec<Source> {
        places.iter().filter_map(|place| self.find(place.as_ref())).collect()
    }

    /// Every branch must reach the output, which is the last layer.
    fn check_ends(&self, problems: &mut Vec<String>) {
        if !problems.is_empty() {
            return;
        }
        let Some(last) = self.nodes.len().checked_sub(1) else {
            problems.push("has no layers; add at least one".into());
            return;
        };
        let used = |i| self.nodes.iter().any(|n| n.inputs.contains(&Source::Node(i)));
        for node in (0..last).filter(|&i| !used(i)).map(|i| &self.nodes[i]) {
            problems.push(format!("nothing uses the output of `{}`; merge it or leave it out", node.name));
        }
        if self.here != Source::Node(last) {
            let name = &self.nodes[last].name;
            problems.push(format!("ends with `from`; add a layer after it, or the output stays that of `{name}`"));
        }
    }

    /// Every layer must accept its inputs. Layers behind the first one that does not are not checked.
    fn check_shapes(&self, problems: &mut Vec<String>) {
        if !problems.is_empty() {
            return;
        }
        let mut graph = match Graph::new(Shape::vector(self.input)) {
            Ok(graph) => graph,
            Err(e) => return problems.push(e.to_string()),
        };
        for NodeSpec { name, layer, inputs } in self.nodes.iter().cloned() {
            if let Err(e) = graph.add(Node { name, layer, inputs, params: Vec::new() }) {
                return problems.push(e.to_string());
            }
        }
    }
}

/// The part of an activation that a weighted layer can fuse, and the part that must follow it.
fn split(activation: Activation) -> (Activation, Option<Activation>) {
    if activation.is_elementwise() { (activation, None) } else { (Activation::Identity, Some(activation)) }
}

/// The nodes, with the densities that `rule` gives to layers that support one.
fn spread(rule: Density, input: usize, mut nodes: Vec<NodeSpec>) -> Result<Vec<NodeSpec>> {
    let mut graph = Graph::new(Shape::vector(input))?;
    let (mut chosen, mut matrices) = (Vec::new(), Vec::new());
    for (index, NodeSpec { name, layer, inputs }) in nodes.iter().cloned().enumerate() {
        let params = layer.params(&graph.input_shapes(&inputs))?;
        if let (Some(weight), Some(_)) = (params.iter().find(|p| p.role.is_matrix()), layer.with(Change::Density(1.0)))
        {
            chosen.push(index);
            matrices.push((weight.shape.columns(), weight.shape.rows()));
        }
        graph.add(Node { name, layer, inputs, params: Vec::new() })?;
    }
    if chosen.is_empty() {
        let problem =
            "has a density and no layer that can leave weights out; give layers the kind `sparse` or `masked`";
        return Err(Error::Network { problems: vec![problem.into()] });
    }
    for ((index, stored), (columns, rows)) in chosen.into_iter().zip(rule.counts(&matrices)?).zip(matrices) {
        if let Some(layer) = nodes[index].layer.with(Change::Density(stored as f64 / (columns as f64 * rows as f64))) {
            nodes[index].layer = layer;
        }
    }
    Ok(nodes)
}
