//! Buffers of a run, and the forward and backward passes over them.

use crate::backend::Penalty;
use crate::backend::{Accum, GradSlot, OuterProduct};
use crate::base::{Error, Result, hash64};
use crate::model::layer::{
    Forward, Gradient, GradientState, InputGrads, Inputs, LeftFactor, Mode, NodeParams, ParamGrads, Saved, Vjp,
};
use crate::model::{Model, ParamId, Source};
use crate::tensor::Tensor;

/// All buffers that forward and backward passes over batches of up to `capacity` samples write to.
///
/// Allocated once; a steady-state training step allocates nothing.
#[derive(Debug)]
pub struct Workspace {
    capacity: usize,
    batch: usize,
    key: u64,
    mode: Mode,
    input: Tensor,
    outputs: Vec<Tensor>,
    saved: Vec<Vec<Tensor>>,
    node_grads: Vec<Gradient>,
    input_grad: Option<Gradient>,
    param_grads: Vec<Gradient>,
}

/// Which gradients a [`Workspace`] has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradients {
    /// None: inference.
    None,
    /// Those of trainable parameters.
    Parameters,
    /// Those of trainable parameters. Products that a layer can leave to the optimiser are not computed, see
    /// [`ParamGradient::Product`].
    Products,
    /// Those of trainable parameters and of the network's input.
    ParametersAndInput,
}

/// The gradient of a parameter.
#[derive(Debug, Clone, Copy)]
pub enum ParamGradient<'a> {
    /// The computed gradient.
    Written(&'a Tensor),
    /// A product that is not computed yet.
    Product(OuterProduct<'a>),
}

impl Workspace {
    /// Buffers for `model` and batches of up to `capacity` samples.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn new(model: &Model, capacity: usize, gradients: Gradients) -> Result<Self> {
        let (backend, graph, dtype) = (model.backend(), model.graph(), model.dtype());
        if capacity == 0 {
            return Err(Error::config("workspace", "needs a capacity of at least 1 sample"));
        }
        let zeros = |shape| backend.zeros(shape, dtype);
        let batched = |source: Source| zeros(graph.shape(source).with_batch(capacity)?);
        let want_input = gradients == Gradients::ParametersAndInput;
        // A node's gradient is wanted if a parameter at or before it trains.
        let mut wanted: Vec<bool> = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let own = node.params.iter().any(|&id| model.params().get(id).is_trainable());
            let upstream = node.inputs.iter().any(|s| match s {
                Source::Input => want_input,
                Source::Node(n) => wanted[*n],
            });
            wanted.push(gradients != Gradients::None && (own || upstream));
        }
        let mut this = Self {
            capacity,
            batch: capacity,
            key: 0,
            mode: Mode::Infer,
            input: batched(Source::Input)?,
            outputs: Vec::new(),
            saved: Vec::new(),
            node_grads: Vec::new(),
            input_grad: if want_input { Some(Gradient::wanted(batched(Source::Input)?)) } else { None },
            param_grads: Vec::new(),
        };
        for (i, node) in graph.nodes().iter().enumerate() {
            this.outputs.push(batched(Source::Node(i))?);
            let shapes = node.layer.saved(&graph.input_shapes(&node.inputs)).into_iter().map(|s| match s {
                Saved::PerSample(shape) => shape.with_batch(capacity),
                Saved::Fixed(shape) => Ok(shape),
            });
            this.saved.push(shapes.map(|s| zeros(s?)).collect::<Result<_>>()?);
            let gradient = if wanted[i] { Gradient::wanted(batched(Source::Node(i))?) } else { Gradient::default() };
            this.node_grads.push(gradient);
        }
        let users = graph.users();
        for (id, param) in model.params().iter() {
            let wanted = gradients != Gradients::None && param.is_trainable();
            let gradient = if wanted { Gradient::wanted(zeros(param.value().shape())?) } else { Gradient::default() };
            // A parameter that several nodes use has a sum as its gradient, not a product.
            let may_be_left = wanted && gradients == Gradients::Products && users.of(id).len() == 1;
            this.param_grads.push(Gradient { may_be_left, ..gradient });
        }
        Ok(this)
    }

    /// Most samples a batch may have.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Samples of the current batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sets the size of the next batch and returns the input tensor to fill, `[features, batch]`.
    ///
    /// # Errors
    /// The batch is empty or above the capacity.
    pub fn begin(&mut self, model: &Model, batch: usize) -> Result<&mut Tensor> {
        if batch == 0 || batch > self.capacity {
            return Err(Error::shape("batch", format!("1 to {} samples", self.capacity), batch));
        }
        if batch != self.batch {
            self.resize(model, batch)?;
        }
        for gradient in self.node_grads.iter_mut().chain(&mut self.param_grads).chain(&mut self.input_grad) {
            gradient.forget();
        }
        Ok(&mut self.input)
    }

    fn resize(&mut self, model: &Model, batch: usize) -> Result<()> {
        let graph = model.graph();
        let input = graph.input().with_batch(batch)?;
        self.input.reshape(input)?;
        if let Some(Gradient { tensor: Some(t), .. }) = &mut self.input_grad {
            t.reshape(input)?;
        }
        for (i, node) in graph.nodes().iter().enumerate() {
            let shape = graph.shape(Source::Node(i)).with_batch(batch)?;
            self.outputs[i].reshape(shape)?;
            if let Some(t) = &mut self.node_grads[i].tensor {
                t.reshape(shape)?;
            }
            let saved = node.layer.saved(&graph.input_shapes(&node.inputs));
            for (t, s) in self.saved[i].iter_mut().zip(saved) {
                if let Saved::PerSample(shape) = s {
                    t.reshape(shape.with_batch(batch)?)?;
                }
            }
        }
        self.batch = batch;
        Ok(())
    }

    /// Runs every node on the input. Random layers draw from `key` in this step.
    ///
    /// # Errors
    /// A kernel failed.
    pub fn forward(&mut self, model: &Model, mode: Mode, key: u64) -> Result<()> {
        (self.key, self.mode) = (key, mode);
        for (i, node) in model.graph().nodes().iter().enumerate() {
            let (before, rest) = self.outputs.split_at_mut(i);
            node.layer.forward(&mut Forward {
                backend: &**model.backend(),
                mode,
                params: NodeParams { all: model.params(), ids: &node.params },
                inputs: Inputs { sources: &node.inputs, input: &self.input, outputs: before },
                output: &mut rest[0],
                saved: &mut self.saved[i],
                key: hash64(key, i as u64),
            })?;
        }
        Ok(())
    }

    /// Propagates gradients backward from node `from`, whose own gradient must have been written.
    ///
    /// # Errors
    /// A kernel failed.
    pub fn backward(&mut self, model: &Model, from: usize) -> Result<()> {
        (0..=from).rev().try_for_each(|node| self.backward_node(model, node))
    }

    /// The part of [`backward`](Self::backward) for one node. All nodes after it must have had theirs.
    ///
    /// To inspect gradients during backward: before this call, [`node_grad`](Self::node_grad) is the gradient with
    /// respect to the node's output, without the layer's own penalty on it. The call may overwrite it.
    ///
    /// # Errors
    /// A kernel failed.
    pub fn backward_node(&mut self, model: &Model, index: usize) -> Result<()> {
        let node = &model.graph().nodes()[index];
        let (before, rest) = self.node_grads.split_at_mut(index);
        let Gradient { tensor: Some(dy), state: GradientState::Written, .. } = &mut rest[0] else { return Ok(()) };
        let penalty = node.layer.output_penalty();
        if penalty != Penalty::default() {
            model.backend().penalty_vjp(penalty, 1.0 / self.batch as f64, &self.outputs[index], dy)?;
        }
        node.layer.vjp(&mut Vjp {
            backend: &**model.backend(),
            mode: self.mode,
            params: NodeParams { all: model.params(), ids: &node.params },
            inputs: Inputs { sources: &node.inputs, input: &self.input, outputs: &self.outputs[..index] },
            output: &self.outputs[index],
            saved: &mut self.saved[index],
            key: hash64(self.key, index as u64),
            dy,
            input_grads: InputGrads { sources: &node.inputs, input: self.input_grad.as_mut(), nodes: before },
            param_grads: ParamGrads { node: index, ids: &node.params, all: &mut self.param_grads },
        })
    }

    /// The sum of the layers' penalties on their outputs for the current batch, as a mean over its samples.
    ///
    /// # Errors
    /// The device failed.
    pub fn output_penalty(&self, model: &Model) -> Result<f64> {
        let mut sum = 0.0;
        for (node, output) in model.graph().nodes().iter().zip(&self.outputs) {
            let Penalty { l1, l2 } = node.layer.output_penalty();
            if l1 != 0.0 || l2 != 0.0 {
                let values = model.backend().download(output)?;
                sum += values.iter().map(|y| l1 * y.abs() + l2 * y * y).sum::<f64>();
            }
        }
        Ok(sum / self.batch as f64)
    }

    /// The input of the current batch.
    pub fn input(&self) -> &Tensor {
        &self.input
    }

    /// Output of one node, `[features, batch]`.
    pub fn output(&self, node: usize) -> &Tensor {
        &self.outputs[node]
    }

    /// Output of the last node, `[features, batch]`.
    ///
    /// # Errors
    /// The model has no nodes.
    pub fn last_output(&self) -> Result<&Tensor> {
        self.outputs.last().ok_or_else(|| Error::Graph { node: "network".into(), problem: "has no layers".into() })
    }

    /// A node's output, and the slot for the gradient of the loss with respect to it (`None` if that is not wanted).
    pub fn output_and_slot(&mut self, node: usize) -> (&Tensor, Option<GradSlot<'_>>) {
        (&self.outputs[node], self.node_grads[node].slot())
    }

    /// Gradient of one parameter, if it trains and the last backward pass reached it.
    pub fn gradient(&self, model: &Model, id: ParamId) -> Option<ParamGradient<'_>> {
        let GradientState::Product(node, left) = self.param_grads[id.index()].state else {
            return self.param_grad(id).map(ParamGradient::Written);
        };
        let left = match left {
            LeftFactor::Dy => self.node_grads[node].value()?,
            LeftFactor::Saved(i) => &self.saved[node][i],
        };
        let right = match model.graph().nodes()[node].inputs[0] {
            Source::Input => &self.input,
            Source::Node(n) => &self.outputs[n],
        };
        let pattern = self.param_grads[id.index()].pattern.as_deref();
        Some(ParamGradient::Product(OuterProduct { left, right, pattern }))
    }

    /// Computes the gradient of one parameter, if it is a product. Then [`param_grad`](Self::param_grad) returns it.
    ///
    /// # Errors
    /// A kernel failed.
    pub fn write_product(&mut self, model: &Model, id: ParamId) -> Result<()> {
        let state = self.param_grads[id.index()].state;
        let Some(mut tensor) = self.param_grads[id.index()].tensor.take() else { return Ok(()) };
        let written = match self.gradient(model, id) {
            Some(ParamGradient::Product(product)) => product
                .write(&**model.backend(), model.params().get(id).value(), &mut tensor)
                .map(|()| GradientState::Written),
            _ => Ok(state),
        };
        let gradient = &mut self.param_grads[id.index()];
        gradient.tensor = Some(tensor);
        gradient.state = written?;
        Ok(())
    }

    /// Gradient of one parameter, if it trains and the last backward pass wrote it.
    pub fn param_grad(&self, id: ParamId) -> Option<&Tensor> {
        self.param_grads[id.index()].value()
    }

    /// As [`param_grad`](Self::param_grad), to change it before an optimiser reads it.
    pub fn param_grad_mut(&mut self, id: ParamId) -> Option<&mut Tensor> {
        let gradient = &mut self.param_grads[id.index()];
        gradient.tensor.as_mut().filter(|_| gradient.state == GradientState::Written)
    }

    /// Gradient with respect to the network's input, if wanted.
    pub fn input_grad(&self) -> Option<&Tensor> {
        self.input_grad.as_ref()?.value()
    }

    /// Gradient with respect to one node's output. Layers may have overwritten it during backward.
    pub fn node_grad(&self, node: usize) -> Option<&Tensor> {
        self.node_grads[node].value()
    }

    /// Writes `values` as the gradient of node `node`, for tests and for losses without a kernel.
    ///
    /// # Errors
    /// The shape differs or the device failed.
    pub fn seed_gradient(&mut self, model: &Model, node: usize, values: &Tensor) -> Result<()> {
        match self.node_grads[node].slot() {
            Some(slot) => model.backend().scale(1.0, values, slot.tensor, Accum::Replace),
            None => Ok(()),
        }
    }
}
