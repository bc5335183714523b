//! Models made from parts of another model, and loading of values.

use super::{check_param, draw, stream_index};
use crate::base::{Error, Result, Seed};
use crate::model::{Change, ContentHash, HistoryEntry, Layer, Meta, Model, Param, ParamId, Rewrite, Source, Units};
use ndarray::ArrayViewD;
use std::sync::Arc;

impl Model {
    /// A model of the first `count` nodes. Its output is that of the last of them.
    ///
    /// Values, masks and frozen entries are copied; history and plan are not.
    ///
    /// # Errors
    /// `count` is 0 or more than there are nodes, or the device failed.
    pub fn first_layers(&self, count: usize) -> Result<Self> {
        let nodes = self.graph().nodes();
        if count == 0 || count > nodes.len() {
            let problem = format!("{count} cannot be taken of {0}; ask for 1 to {0}", nodes.len());
            return Err(Error::config("first layers", problem));
        }
        let mut first = Rewrite::of(self)?;
        (0..count).try_for_each(|index| first.copy(index).map(|_| ()))?;
        first.finish(Meta { history: Vec::new(), plan: None, ..self.meta.clone() })
    }

    /// The same network for a task with `outputs` outputs. The last layer that makes its own units is drawn again from
    /// `seed`. Every other layer keeps its values, masks and frozen entries.
    ///
    /// The new parameters start as the layer's settings say, without masks. The history records the change and the
    /// model it started from. The data set and the plan of the old task are dropped.
    ///
    /// # Errors
    /// No layer makes its own units, that layer cannot have another number of units, a layer after it does more than
    /// map each sample to one of the same shape (as softmax does), or the device failed.
    pub fn with_outputs(&self, outputs: usize, seed: Seed) -> Result<Self> {
        let graph = self.graph();
        let last = graph.nodes().iter().rposition(|n| n.units() == Units::Own);
        let no = |problem: String| Err(Error::config("new outputs", problem));
        let Some(last) = last else { return no("no layer of the network has units of its own".into()) };
        let cut = &graph.nodes()[last];
        let chain = (last + 1..graph.nodes().len()).all(|i| {
            let (node, before) = (&graph.nodes()[i], Source::Node(i - 1));
            node.params.is_empty() && node.inputs == [before] && graph.shape(Source::Node(i)) == graph.shape(before)
        });
        if !chain {
            return no(format!("the outputs of the network are not just the units of its last layer `{}`", cut.name));
        }
        let Some(layer) = cut.layer.with(Change::Units(outputs)) else {
            return no(format!("layer `{}` ({}) cannot have another number of units", cut.name, cut.layer.kind()));
        };
        let mut rewrite = Rewrite::of(self)?;
        for index in 0..graph.nodes().len() {
            if index != last {
                rewrite.copy(index)?;
                continue;
            }
            let specs = layer.params(&rewrite.input_shapes(index)?)?;
            let mut ids = Vec::with_capacity(specs.len());
            for (slot, spec) in specs.into_iter().enumerate() {
                let stream = stream_index(index, slot);
                let drawn = draw(&cut.name, spec, self.backend(), self.dtype(), seed, stream)?;
                ids.push(rewrite.params_mut().push(drawn));
            }
            rewrite.replace(index, Arc::clone(&layer), ids)?;
        }
        let mut meta = Meta { data: None, held_out: None, plan: None, ..self.meta.clone() };
        meta.origins.remove(&cut.name);
        let parent: ContentHash = self.content_hash()?;
        let detail = serde_json::json!({ "layer": cut.name, "outputs": outputs, "seed": seed.0 });
        meta.history.push(HistoryEntry { action: "transfer".into(), parent, detail });
        rewrite.finish(meta)
    }

    /// Replaces the layer of node `index` and its parameters, one for one. The shape of the outputs must stay the same.
    ///
    /// The ids of the parameters stay, and so does the state that an optimiser keeps for them, see
    /// `spectral_train::OptimizerState`.
    ///
    /// # Errors
    /// The outputs have another shape, the parameters are not those that the layer asks for, or another node shares one
    /// of the old parameters. Nothing has changed then.
    pub fn replace_layer(&mut self, index: usize, layer: Arc<dyn Layer>, params: Vec<Param>) -> Result<()> {
        let nodes = self.graph.nodes();
        let node = &nodes[index];
        let bad = |problem: String| Error::Graph { node: node.name.clone(), problem };
        let mut others = nodes.iter().enumerate().filter(|(i, _)| *i != index);
        if let Some((_, other)) = others.find(|(_, other)| other.params.iter().any(|id| node.params.contains(id))) {
            return Err(bad(format!("shares a parameter with `{}`; give each its own", other.name)));
        }
        let inputs = self.graph.input_shapes(&node.inputs);
        let (before, after) = (self.graph.shape(Source::Node(index)), layer.output_shape(&inputs)?);
        if before != after {
            return Err(bad(format!("has outputs of shape {before}, the layer in its place {after}")));
        }
        let specs = layer.params(&inputs)?;
        if [specs.len(), params.len()] != [node.params.len(); 2] {
            let (has, needs, given) = (node.params.len(), specs.len(), params.len());
            return Err(bad(format!("has {has} parameters; the layer in its place needs {needs}, {given} are given")));
        }
        for (spec, param) in specs.iter().zip(&params) {
            check_param(spec, param, self.dtype).map_err(bad)?;
        }
        for ((id, param), spec) in node.params.iter().zip(params).zip(&specs) {
            self.params.replace(*id, param);
            self.params.follow(*id, spec);
        }
        self.graph.set_layer(index, layer);
        Ok(())
    }

    /// Replaces the values of all parameters by `values`: one array for each parameter, in their order. Weights are
    /// `[out, in]` and biases `[out]`; a sparse matrix takes its stored entries. Pruned entries stay 0.
    ///
    /// # Errors
    /// The number of arrays, a shape or a value (NaN, infinite) does not fit; nothing has changed then. Or the device
    /// failed.
    pub fn load_values(&mut self, values: &[ArrayViewD<'_, f64>]) -> Result<()> {
        let (params, backend) = self.params_mut();
        let bad = |problem: String| Err(Error::Data(format!("values to load: {problem}")));
        if values.len() != params.len() {
            return bad(format!("{} arrays for {} parameters; give one for each", values.len(), params.len()));
        }
        for ((_, param), array) in params.iter().zip(values) {
            let expected = param.value().shape();
            if array.shape() != expected.extents() {
                return bad(format!("`{}` has shape {expected}, its array {:?}", param.name, array.shape()));
            }
            if let Some(value) = array.iter().find(|v| !v.is_finite()) {
                return bad(format!("the array for `{}` has the value {value}", param.name));
            }
        }
        for (index, array) in values.iter().enumerate() {
            let values: Vec<f64> = array.iter().copied().collect();
            params.edit(backend, ParamId(index as u32), |tensor| backend.write(&values, tensor))?;
        }
        Ok(())
    }
}
