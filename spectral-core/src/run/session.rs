//! Inference: a model compiled to run, with a kernel chosen for each layer.

use crate::backend::{
    Accum, Activation, BackendHandle, Diagonal, Kernel, Linear, Packed, PackedLinear, RowCopy, SparseLinear,
};
use crate::base::{DType, Element, Error, Result};
use crate::model::layer::{Forward, Inputs, Mode, NodeParams};
use crate::model::{Affine, Matrix, Model, Operand, ParamId, Plan, Saved, Source, Word, batch_class};
use crate::tensor::{Pattern, Shape, Tensor, boundary};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::sync::Arc;

/// Most samples that run at a time; more are cut into batches.
const CAPACITY: usize = 256;

/// A batch has fewer samples if the values of all layers would exceed this number.
const VALUES: usize = 1 << 25;

/// A model ready to run. Spectral weights are materialised once, dropout does nothing, and each weighted layer runs the
/// kernel that the plan names for the batch class.
///
/// Determinism: bitwise, for any number of threads, under the same plan.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    backend: BackendHandle,
    steps: Vec<Step>,
    input: Tensor,
    outputs: Vec<Tensor>,
    capacity: usize,
}

/// How a node runs.
#[derive(Debug)]
enum Step {
    Affine(Weights),
    Scale {
        factor: Held,
        bias: Option<Held>,
        activation: Activation,
    },
    Map(Activation),
    Add,
    Multiply,
    Concat,
    /// Run by the layer itself.
    Layer(Vec<Tensor>),
}

/// A tensor that runs need: a parameter of the model, or a tensor that the session made.
#[derive(Debug)]
enum Held {
    Param(ParamId),
    Own(Tensor),
}

impl Held {
    /// The values that `operand` of node `index` stands for. Parameters are not copied.
    fn of(model: &Model, index: usize, operand: Operand) -> Result<Self> {
        match operand {
            Operand::Slot(slot) => {
                let missing = || Error::Graph {
                    node: model.graph().nodes()[index].name.clone(),
                    problem: format!("its op names slot {slot}, which its layer does not have"),
                };
                Ok(Self::Param(*model.graph().nodes()[index].params.get(slot).ok_or_else(missing)?))
            }
            Operand::Derived { index: derived, .. } => Ok(Self::Own(model.operands(index)?.take(derived)?)),
        }
    }

    fn get<'a>(&'a self, model: &'a Model) -> &'a Tensor {
        match self {
            Self::Param(id) => model.params().get(*id).value(),
            Self::Own(tensor) => tensor,
        }
    }
}

/// A weighted layer in the forms its batch classes need.
#[derive(Debug)]
struct Weights {
    dense: Option<Held>,
    sparse: Option<(Arc<Pattern>, Held)>,
    /// `sparse` in the layout that the backend chose for `small`.
    packed: Option<Box<dyn Packed>>,
    bias: Option<Held>,
    activation: Activation,
    small: Kernel,
    large: Kernel,
}

impl<'m> Session<'m> {
    /// Compiles `model`. The plan chooses the kernels; layers that it does not name run as they are stored.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    pub fn new(model: &'m Model, plan: &Plan) -> Result<Self> {
        let graph = model.graph();
        let nodes = (0..graph.nodes().len()).map(|i| graph.shape(Source::Node(i)).len());
        let values = nodes.fold(graph.input().len(), usize::saturating_add);
        Self::with_capacity(model, plan, (VALUES / values.max(1)).clamp(1, CAPACITY))
    }

    /// As [`new`](Self::new), running at most `capacity` samples at a time.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    pub fn with_capacity(model: &'m Model, plan: &Plan, capacity: usize) -> Result<Self> {
        let (backend, graph) = (model.backend(), model.graph());
        if capacity == 0 {
            return Err(Error::config("session", "needs a capacity of at least 1 sample"));
        }
        let zeros = |shape: Shape| backend.zeros(shape.with_batch(capacity)?, model.dtype());
        let mut steps = Vec::new();
        let mut outputs = Vec::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            steps.push(match node.layer.op().word {
                Word::Affine(affine) => Step::Affine(Weights::new(model, i, affine, plan)?),
                Word::Scale(scale) => Step::Scale {
                    factor: Held::of(model, i, scale.factor)?,
                    bias: scale.bias.map(|bias| Held::of(model, i, bias)).transpose()?,
                    activation: scale.activation,
                },
                Word::Map(act) => Step::Map(act),
                Word::Add => Step::Add,
                Word::Multiply if node.inputs.len() == 2 => Step::Multiply,
                Word::Concat => Step::Concat,
                // The layer itself runs these: they need buffers (a product of more than two inputs does) or have their
                // own kernels.
                Word::Multiply
                | Word::Convolution(_)
                | Word::Normalise(_)
                | Word::Pool(_)
                | Word::Prelu(_)
                | Word::Average
                | Word::Flatten
                | Word::Select { .. }
                | Word::Reshape
                | Word::Opaque => {
                    let saved = node.layer.saved(&graph.input_shapes(&node.inputs));
                    let tensors = saved.into_iter().map(|s| match s {
                        Saved::PerSample(shape) => zeros(shape),
                        Saved::Fixed(shape) => backend.zeros(shape, model.dtype()),
                    });
                    Step::Layer(tensors.collect::<Result<_>>()?)
                }
            });
            outputs.push(zeros(graph.shape(Source::Node(i)))?);
        }
        let input = zeros(graph.input())?;
        Ok(Self { model, backend: backend.clone(), steps, input, outputs, capacity })
    }

    /// Runs the network on `[batch, features]` and returns `[batch, outputs]`.
    ///
    /// # Errors
    /// The width of `x` is not that of the network, or the model has another element type.
    pub fn run<E: Element>(&mut self, x: ArrayView2<'_, E>) -> Result<ndarray::Array2<E>> {
        let mut y = boundary::table("outputs", x.nrows(), self.model.graph().output().len())?;
        self.run_into(x, y.view_mut())?;
        Ok(y)
    }

    /// As [`run`](Self::run), into memory that the caller provides.
    ///
    /// # Errors
    /// As [`run`](Self::run), or `y` is not `[batch, outputs]`.
    pub fn run_into<E: Element>(&mut self, x: ArrayView2<'_, E>, mut y: ArrayViewMut2<'_, E>) -> Result<()> {
        let graph = self.model.graph();
        let (features, outputs) = (graph.input().len(), graph.output().len());
        if x.ncols() != features || y.dim() != (x.nrows(), outputs) {
            let expected = format!("[batch, {features}] to [batch, {outputs}]");
            return Err(Error::shape("run", expected, format!("{:?} to {:?}", x.dim(), y.dim())));
        }
        if self.model.dtype() != E::DTYPE {
            return Err(Error::DType { op: "run", expected: self.model.dtype(), got: E::DTYPE });
        }
        for start in (0..x.nrows()).step_by(self.capacity) {
            let end = (start + self.capacity).min(x.nrows());
            let rows = ndarray::s![start..end, ..];
            self.load(x.slice(rows))?;
            self.step()?;
            self.unload(y.slice_mut(rows))?;
        }
        Ok(())
    }

    /// Loads a batch into the input tensor and resizes all buffers to it.
    fn load<E: Element>(&mut self, x: ArrayView2<'_, E>) -> Result<()> {
        let batch = x.nrows();
        self.input.reshape(self.model.graph().input().with_batch(batch)?)?;
        let graph = self.model.graph();
        for (i, node) in graph.nodes().iter().enumerate() {
            self.outputs[i].reshape(graph.shape(Source::Node(i)).with_batch(batch)?)?;
            let Step::Layer(tensors) = &mut self.steps[i] else { continue };
            for (t, saved) in tensors.iter_mut().zip(node.layer.saved(&graph.input_shapes(&node.inputs))) {
                if let Saved::PerSample(shape) = saved {
                    t.reshape(shape.with_batch(batch)?)?;
                }
            }
        }
        let apart: Vec<E>;
        let samples = match x.as_slice() {
            Some(samples) => samples,
            None => {
                apart = x.iter().copied().collect();
                &apart
            }
        };
        self.backend.upload_samples(E::values(samples), &|b| b, &mut self.input)
    }

    fn unload<E: Element>(&self, y: ArrayViewMut2<'_, E>) -> Result<()> {
        let Some(last) = self.outputs.last() else { return Ok(()) };
        if let Ok(host) = last.host::<E>() {
            boundary::transpose_out(host, y);
            return Ok(());
        }
        let staged: Vec<E> = self.backend.download(last)?.into_iter().map(E::of).collect();
        boundary::transpose_out(&staged, y);
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let backend = &*self.backend;
        for (i, node) in self.model.graph().nodes().iter().enumerate() {
            let (before, rest) = self.outputs.split_at_mut(i);
            let inputs = Inputs { sources: &node.inputs, input: &self.input, outputs: before };
            let y = &mut rest[0];
            match &mut self.steps[i] {
                Step::Affine(weights) => weights.run(self.model, inputs.get(0), y)?,
                Step::Scale { factor, bias, activation } => {
                    let (scale, bias) = (factor.get(self.model), bias.as_ref().map(|b| b.get(self.model)));
                    backend.diagonal(&Diagonal { x: inputs.get(0), scale, bias, activation: *activation }, y, None)?;
                }
                Step::Map(act) => backend.activate(*act, inputs.get(0), y)?,
                Step::Add => {
                    for k in 0..inputs.len() {
                        let accum = if k == 0 { Accum::Replace } else { Accum::Add };
                        backend.scale(1.0, inputs.get(k), y, accum)?;
                    }
                }
                Step::Concat => {
                    let mut to_row = 0;
                    for k in 0..inputs.len() {
                        let rows = inputs.get(k).shape().rows();
                        backend.copy_rows(RowCopy { from_row: 0, to_row, rows }, inputs.get(k), y, Accum::Replace)?;
                        to_row += rows;
                    }
                }
                Step::Multiply => backend.multiply(inputs.get(0), inputs.get(1), y, Accum::Replace)?,
                Step::Layer(saved) => run_layer(self.model, i, inputs, y, saved)?,
            }
        }
        Ok(())
    }
}

fn run_layer(model: &Model, index: usize, inputs: Inputs<'_>, output: &mut Tensor, saved: &mut [Tensor]) -> Result<()> {
    let node = &model.graph().nodes()[index];
    node.layer.forward(&mut Forward {
        backend: &**model.backend(),
        mode: Mode::Infer,
        params: NodeParams { all: model.params(), ids: &node.params },
        inputs,
        output,
        saved,
        key: 0,
    })
}

impl Weights {
    fn new(model: &Model, index: usize, affine: Affine, plan: &Plan) -> Result<Self> {
        let (backend, node) = (model.backend(), &model.graph().nodes()[index].name);
        let bias = affine.bias.map(|bias| Held::of(model, index, bias)).transpose()?;
        let operands = model.operands(index)?;
        let matrix = operands.matrix(affine.weight)?;
        let stored = if matrix.is_stored() { Kernel::Csr } else { Kernel::Dense };
        let chosen = |class| plan.choice(node, class).map_or(stored, |c| c.kernel);
        let (small, large) = (chosen(batch_class(1)), chosen(batch_class(usize::MAX)));
        let needs_sparse = small.is_sparse() || large.is_sparse();
        let needs_dense = !small.is_sparse() || !large.is_sparse();
        let (mut dense, mut sparse) = (None, None);
        if needs_dense == stored.is_sparse() || needs_sparse != stored.is_sparse() {
            let (rows, columns) = (matrix.rows(), matrix.columns());
            let all = matrix.to_dense(&**backend)?;
            let dtype = matrix.values().dtype();
            if needs_dense {
                dense = Some(Held::Own(upload(backend, Shape::matrix(rows, columns), dtype, &all)?));
            }
            if needs_sparse {
                let pattern = Pattern::from_fn(rows, columns, |r, c| all[r * columns + c] != 0.0)?;
                let values: Vec<f64> = pattern.iter().map(|(r, c)| all[r * columns + c]).collect();
                let values = upload(backend, Shape::vector(values.len()), dtype, &values)?;
                sparse = Some((Arc::new(pattern), Held::Own(values)));
            }
        } else {
            match matrix {
                Matrix::Whole(_) => {
                    dense = Some(match affine.weight {
                        Operand::Derived { index, .. } => Held::Own(operands.take(index)?),
                        slot @ Operand::Slot(_) => Held::of(model, index, slot)?,
                    });
                }
                Matrix::Stored { pattern, .. } => {
                    sparse = Some((pattern.clone(), Held::of(model, index, affine.weight)?));
                }
            }
        }
        let packed = match &sparse {
            Some((pattern, values)) if !matches!(small, Kernel::Dense | Kernel::Csr) => {
                backend.pack(small, pattern, values.get(model))?
            }
            _ => None,
        };
        Ok(Self { dense, sparse, packed, bias, activation: affine.activation, small, large })
    }

    fn run(&self, model: &Model, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let backend = &**model.backend();
        let batch = x.shape().columns();
        let kernel = if batch_class(batch) == batch_class(1) { self.small } else { self.large };
        let (bias, activation) = (self.bias.as_ref().map(|b| b.get(model)), self.activation);
        match (kernel, &self.dense, &self.sparse) {
            (Kernel::Dense, Some(weight), _) | (_, Some(weight), None) => {
                backend.linear(&Linear { x, weight: weight.get(model), bias, activation }, y, None)
            }
            (_, _, Some((pattern, values))) => match &self.packed {
                Some(packed) if kernel == self.small && batch <= packed.most_samples() => {
                    packed.linear(&PackedLinear { x, bias, activation }, y)
                }
                _ => {
                    let values = values.get(model);
                    backend.sparse_linear(&SparseLinear { x, pattern, values, bias, activation }, y, None)
                }
            },
            (_, None, None) => Ok(()),
        }
    }
}

fn upload(backend: &BackendHandle, shape: Shape, dtype: DType, values: &[f64]) -> Result<Tensor> {
    let mut t = backend.zeros(shape, dtype)?;
    backend.write(values, &mut t)?;
    Ok(t)
}
