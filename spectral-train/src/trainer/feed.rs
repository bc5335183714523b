//! Batches in, losses out.

use crate::{Loss, Result};
use spectral_core::{
    Backend, DType, Element, GradSlot, Gradients, LossKernel, Metrics, Mode, Model, Samples, Shape, Tensor, Values,
    Workspace,
};

/// The buffers of forward and backward passes over batches of samples, allocated once.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Activations and gradients.
    pub(crate) workspace: Workspace,
    /// Node whose output the loss reads.
    pub(crate) node: usize,
    loss: Loss,
    targets: Tensor,
    totals: Tensor,
    staged: Option<(Tensor, Tensor)>,
    rows: Vec<usize>,
}

/// The loss over one batch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Summed over the samples.
    pub(crate) loss: f64,
    /// Samples whose largest output is the right one.
    pub(crate) right: f64,
}

impl Feed {
    /// Buffers for `model` and batches of up to `batch` samples.
    pub(crate) fn new(model: &Model, loss: Loss, batch: usize, gradients: Gradients) -> Result<Self> {
        let (backend, graph, dtype) = (model.backend(), model.graph(), model.dtype());
        let node = loss.node(model)?;
        let workspace = Workspace::new(model, batch, gradients)?;
        let target_shape = Shape::matrix(graph.output().len(), batch);
        let targets = backend.zeros(target_shape, dtype)?;
        let staged = if on_host(&targets) && on_host(workspace.input()) {
            None
        } else {
            let host = |shape| Tensor::host_zeros(shape, dtype);
            Some((host(graph.input().with_batch(batch)?), host(target_shape)))
        };
        let totals = backend.zeros(Shape::vector(2), DType::F64)?;
        Ok(Self { workspace, node, loss, targets, totals, staged, rows: Vec::with_capacity(batch) })
    }

    /// Loads the samples at `rows` and runs the network on them. `key` is what random layers draw from.
    pub(crate) fn forward(
        &mut self,
        model: &Model,
        data: &Samples,
        rows: &[usize],
        mode: Mode,
        key: u64,
    ) -> Result<()> {
        match model.dtype() {
            DType::F32 => self.load::<f32>(model, data, rows)?,
            DType::F64 => self.load::<f64>(model, data, rows)?,
        }
        Ok(self.workspace.forward(model, mode, key)?)
    }

    fn load<E: Element>(&mut self, model: &Model, data: &Samples, rows: &[usize]) -> Result<()> {
        let backend = &**model.backend();
        let outputs = self.targets.shape().rows();
        let (input, targets) = (self.workspace.begin(model, rows.len())?, &mut self.targets);
        if targets.shape().columns() != rows.len() {
            targets.reshape(Shape::matrix(outputs, rows.len()))?;
        }
        match &mut self.staged {
            None => {
                let table = data.inputs().to_slice().unwrap_or_default();
                backend.upload_samples(Values::F32(table), &|b| rows[b], input)?;
                data.gather_targets(rows, targets.host_mut::<E>()?);
            }
            Some((host_input, host_targets)) => {
                if host_targets.shape() != targets.shape() {
                    host_input.reshape(input.shape())?;
                    host_targets.reshape(targets.shape())?;
                }
                data.gather_inputs(rows, host_input.host_mut::<E>()?);
                data.gather_targets(rows, host_targets.host_mut::<E>()?);
                backend.upload(E::values(host_input.host()?), input)?;
                backend.upload(E::values(host_targets.host()?), targets)?;
            }
        }
        Ok(())
    }

    /// The loss of the batch that was run last. With `gradient_scale`, its gradient goes to the loss's node.
    pub(crate) fn loss(&mut self, backend: &dyn Backend, gradient_scale: Option<f64>) -> Result<Totals> {
        match self.totals.host_mut::<f64>() {
            Ok(totals) => totals.fill(0.0),
            Err(_) => backend.fill(0.0, &mut self.totals)?,
        }
        let (output, slot) = match gradient_scale {
            Some(_) => self.workspace.output_and_slot(self.node),
            None => (self.workspace.output(self.node), None::<GradSlot<'_>>),
        };
        let op = LossKernel {
            kind: self.loss.kind(),
            outputs: output,
            targets: &self.targets,
            gradient_scale: gradient_scale.unwrap_or(1.0),
        };
        backend.loss(&op, &mut self.totals, slot)?;
        let read = |t: &[f64]| Totals { loss: t[0], right: t[1] };
        match self.totals.host::<f64>() {
            Ok(totals) => Ok(read(totals)),
            Err(_) => Ok(read(&backend.download(&self.totals)?)),
        }
    }

    /// Mean loss and accuracy over all of `data`.
    pub(crate) fn measure(&mut self, model: &Model, data: &Samples) -> Result<Metrics> {
        let mut sum = Totals::default();
        let mut rows = std::mem::take(&mut self.rows);
        for start in (0..data.len()).step_by(self.workspace.capacity()) {
            rows.clear();
            rows.extend(start..(start + self.workspace.capacity()).min(data.len()));
            self.forward(model, data, &rows, Mode::Infer, 0)?;
            sum += self.loss(&**model.backend(), None)?;
        }
        self.rows = rows;
        Ok(sum.metrics(data.len()))
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.right += other.right;
    }
}

impl Totals {
    /// Averaged over `samples`; zero where there are none.
    pub(crate) fn metrics(self, samples: usize) -> Metrics {
        let n = samples.max(1) as f64;
        Metrics { loss: self.loss / n, accuracy: self.right / n, samples }
    }
}

fn on_host(t: &Tensor) -> bool {
    match t.dtype() {
        DType::F32 => t.host::<f32>().is_ok(),
        DType::F64 => t.host::<f64>().is_ok(),
    }
}
