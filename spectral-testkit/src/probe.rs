//! A small model around one layer, and its gradients through a random linear functional of the outputs.

use spectral_core::backend::Accum;
use spectral_core::{
    BackendHandle, Constraint, DType, Forward, Gradients, Graph, Layer, Meta, Mode, Model, Node, NodeSpec, ParamId,
    Params, Result, Seed, Shape, Source, Stream, Tensor, Trainable, Vjp, Workspace,
};
use std::sync::Arc;

/// Samples in every probe: more than one, so that wrong sums over the batch show.
pub(crate) const BATCH: usize = 3;

/// Larger than a batch, so that confusing batch and capacity shows.
const CAPACITY: usize = 5;

/// The key of all random draws.
const KEY: u64 = 0x5eed;

/// The sources of the inputs of the layer under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// One source for each input.
    Separate,
    /// All inputs from one source; they must have one shape.
    Shared,
}

/// Passes the values of the network's input from row `from` on as samples of shape `shape`. This gives a model inputs
/// of several shapes.
#[derive(Debug)]
struct Pick {
    from: usize,
    shape: Shape,
}

impl Layer for Pick {
    fn kind(&self) -> &'static str {
        "testkit.pick"
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "from": self.from, "shape": self.shape.extents() }))
    }

    fn output_shape(&self, _: &[Shape]) -> Result<Shape> {
        Ok(self.shape)
    }

    fn forward(&self, cx: &mut Forward<'_>) -> Result<()> {
        let x = cx.inputs.get(0);
        let batch = x.shape().columns();
        let rows = self.from * batch..(self.from + self.shape.len()) * batch;
        cx.backend.write(&cx.backend.download(x)?[rows], cx.output)
    }

    fn vjp(&self, cx: &mut Vjp<'_>) -> Result<()> {
        let Some(slot) = cx.input_grads.slot(0) else { return Ok(()) };
        let batch = slot.tensor.shape().columns();
        let mut all = match slot.accum {
            Accum::Replace => vec![0.0; slot.tensor.len()],
            Accum::Add => cx.backend.download(slot.tensor)?,
        };
        let rows = self.from * batch..(self.from + self.shape.len()) * batch;
        for (sum, d) in all[rows].iter_mut().zip(cx.backend.download(cx.dy)?) {
            *sum += d;
        }
        cx.backend.write(&all, slot.tensor)
    }
}

/// A model whose last nodes are the layer under test, with inputs and a functional to differentiate.
pub(crate) struct Probe {
    pub(crate) model: Model,
    /// `[features, batch]`, row-major.
    pub(crate) input: Vec<f64>,
    /// The nodes under test, with the weights of their outputs in the functional.
    tested: Vec<(usize, Vec<f64>)>,
}

/// The gradients of a functional.
pub(crate) struct Differentiated {
    pub(crate) params: Vec<Option<Vec<f64>>>,
    pub(crate) input: Option<Vec<f64>>,
}

/// A random number whose absolute value is between 0.1 and 1, so that no zero hides an error.
fn away_from_zero(stream: &mut Stream) -> f64 {
    let size = stream.uniform(0.1, 1.0);
    if stream.unit() < 0.5 { -size } else { size }
}

impl Probe {
    /// A model of `copies` nodes that share the layer, its parameters and its sources.
    pub(crate) fn new(
        backend: &BackendHandle,
        layer: &Arc<dyn Layer>,
        shapes: &[Shape],
        (wiring, copies): (Wiring, usize),
        seed: Seed,
    ) -> Result<Self> {
        let mut nodes = Vec::new();
        let mut width = 0;
        let picks = match wiring {
            Wiring::Separate => shapes,
            Wiring::Shared => &shapes[..1],
        };
        for (i, &shape) in picks.iter().enumerate() {
            let pick = Arc::new(Pick { from: width, shape });
            nodes.push(NodeSpec { name: format!("pick{i}"), layer: pick, inputs: vec![Source::Input] });
            width += shape.len();
        }
        let source = |i| Source::Node(if wiring == Wiring::Shared { 0 } else { i });
        let inputs: Vec<Source> = (0..shapes.len()).map(source).collect();
        nodes.push(NodeSpec { name: "tested".into(), layer: layer.clone(), inputs: inputs.clone() });
        let mut model = Model::build(Shape::vector(width), &nodes, backend, DType::F64, seed)?;
        randomise(&mut model, &mut seed.stream("probe parameters", 0))?;
        let first = nodes.len() - 1;
        let mut graph: Graph = model.graph().clone();
        let params = graph.nodes()[first].params.clone();
        for copy in 1..copies {
            let name = format!("tested again {copy}");
            graph.add(Node { name, layer: layer.clone(), inputs: inputs.clone(), params: params.clone() })?;
        }
        let model =
            Model::from_parts(graph, model.params().duplicate()?, backend.clone(), DType::F64, Meta::default())?;
        let mut stream = seed.stream("probe", 1);
        let outputs = model.graph().shape(Source::Node(first)).len() * BATCH;
        let tested = (0..copies).map(|c| (first + c, (0..outputs).map(|_| away_from_zero(&mut stream)).collect()));
        let tested = tested.collect();
        let input = (0..width * BATCH).map(|_| away_from_zero(&mut stream)).collect();
        Ok(Self { model, input, tested })
    }

    /// Buffers of a run.
    pub(crate) fn workspace(&self, gradients: Gradients) -> Result<Workspace> {
        Workspace::new(&self.model, CAPACITY, gradients)
    }

    /// The functional's value in training mode.
    pub(crate) fn value(&self, at: &mut Workspace) -> Result<f64> {
        self.forward(at, Mode::Train, &self.input)?;
        let mut sum = at.output_penalty(&self.model)?;
        for (node, weights) in &self.tested {
            let y = self.model.backend().download(at.output(*node))?;
            sum += y.iter().zip(weights).map(|(y, w)| y * w).sum::<f64>();
        }
        Ok(sum)
    }

    /// The first tested node's output, `[features, batch]`.
    pub(crate) fn output(&self, at: &mut Workspace, mode: Mode, input: &[f64]) -> Result<Vec<f64>> {
        self.forward(at, mode, input)?;
        self.model.backend().download(at.output(self.tested[0].0))
    }

    fn forward(&self, at: &mut Workspace, mode: Mode, input: &[f64]) -> Result<()> {
        self.model.backend().write(input, at.begin(&self.model, BATCH)?)?;
        at.forward(&self.model, mode, KEY)
    }

    /// The functional's gradients, as the layers compute them. Products that they leave are computed.
    pub(crate) fn gradients(&self, at: &mut Workspace) -> Result<Differentiated> {
        self.forward(at, Mode::Train, &self.input)?;
        self.backward(at, |weights| weights.to_vec())?;
        for (id, _) in self.model.params().iter() {
            at.write_product(&self.model, id)?;
        }
        let backend = self.model.backend();
        let download = |t: Option<&Tensor>| t.map(|t| backend.download(t)).transpose();
        let params = self.model.params().iter().map(|(id, _)| download(at.param_grad(id)));
        Ok(Differentiated { params: params.collect::<Result<_>>()?, input: download(at.input_grad())? })
    }

    /// Fills every buffer of a workspace that a pass can reach with NaN.
    pub(crate) fn poison(&self, at: &mut Workspace) -> Result<()> {
        self.forward(at, Mode::Train, &vec![f64::NAN; self.input.len()])?;
        self.backward(at, |weights| vec![f64::NAN; weights.len()])?;
        let backend = self.model.backend();
        for (id, _) in self.model.params().iter() {
            if let Some(gradient) = at.param_grad_mut(id) {
                backend.fill(f64::NAN, gradient)?;
            }
        }
        for node in 0..self.model.graph().nodes().len() {
            if let (_, Some(slot)) = at.output_and_slot(node) {
                backend.fill(f64::NAN, slot.tensor)?;
            }
        }
        Ok(())
    }

    fn backward(&self, at: &mut Workspace, dy: impl Fn(&[f64]) -> Vec<f64>) -> Result<()> {
        let backend = self.model.backend();
        let mut last = 0;
        for (node, weights) in &self.tested {
            let mut seed = backend.zeros(at.output(*node).shape(), DType::F64)?;
            backend.write(&dy(weights), &mut seed)?;
            at.seed_gradient(&self.model, *node, &seed)?;
            last = *node;
        }
        at.backward(&self.model, last)
    }

    /// Sets the values of a parameter.
    pub(crate) fn set(&mut self, id: ParamId, values: &[f64]) -> Result<()> {
        let (params, backend) = self.model.params_mut();
        params.edit(backend, id, |t| backend.write(values, t))
    }

    /// Freezes or unfreezes a parameter.
    pub(crate) fn train(&mut self, id: ParamId, trainable: Trainable) -> Result<()> {
        self.model.params_mut().0.set_trainable(id, trainable)
    }
}

/// Gives every parameter values away from zero and lets it train.
fn randomise(model: &mut Model, stream: &mut Stream) -> Result<()> {
    let (params, backend) = model.params_mut();
    let ids: Vec<ParamId> = params.iter().map(|(id, _)| id).collect();
    for id in ids {
        let mut values: Vec<f64> = (0..params.get(id).value().len()).map(|_| away_from_zero(stream)).collect();
        if params.get(id).constraint() == Constraint::NonNeg {
            values.iter_mut().for_each(|v| *v = v.abs());
        }
        params.edit(backend, id, |t| backend.write(&values, t))?;
        params.set_trainable(id, Trainable::All)?;
    }
    Ok(())
}

/// Every parameter's id, in order.
pub(crate) fn ids(params: &Params) -> Vec<ParamId> {
    params.iter().map(|(id, _)| id).collect()
}
