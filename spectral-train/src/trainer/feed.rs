//! Batches in, losses out.

use crate::{Error, Loss, Result};
use spectral_core::{
    Backend, Batches, DType, GradSlot, Gradients, LossKernel, Metrics, Mode, Model, Samples, Shape, Targets, Tensor,
};

/// A loss over batches of samples. Its buffers are allocated once.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) batches: Batches,
    /// Node whose output the loss reads.
    pub(crate) node: usize,
    loss: Loss,
    totals: Tensor,
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
        let node = loss.node(model)?;
        let batches = Batches::with_targets(model, batch, gradients)?;
        let totals = model.backend().zeros(Shape::vector(2), DType::F64)?;
        Ok(Self { batches, node, loss, totals })
    }

    /// The loss of the batch that was run last. With `gradient_scale`, its gradient goes to the loss's node.
    pub(crate) fn loss(&mut self, backend: &dyn Backend, gradient_scale: Option<f64>) -> Result<Totals> {
        let Self { batches, node, loss, totals } = self;
        take(*loss, *node, totals, batches, backend, gradient_scale)
    }

    /// Mean loss and accuracy over all of `data`.
    pub(crate) fn measure(&mut self, model: &Model, data: &Samples) -> Result<Metrics> {
        let Self { batches, node, loss, totals } = self;
        let mut sum = Totals::default();
        batches.each(model, data, Mode::Infer, |batches, _| {
            sum += take(*loss, *node, totals, batches, &**model.backend(), None)?;
            Ok::<_, Error>(())
        })?;
        Ok(sum.metrics(data.len(), data.targets()))
    }
}

fn take(
    loss: Loss,
    node: usize,
    totals: &mut Tensor,
    batches: &mut Batches,
    backend: &dyn Backend,
    gradient_scale: Option<f64>,
) -> Result<Totals> {
    match totals.host_mut::<f64>() {
        Ok(totals) => totals.fill(0.0),
        Err(_) => backend.fill(0.0, totals)?,
    }
    let (workspace, targets) = batches.with_loss()?;
    let (outputs, slot) = match gradient_scale {
        Some(_) => workspace.output_and_slot(node),
        None => (workspace.output(node), None::<GradSlot<'_>>),
    };
    let op = LossKernel { kind: loss.kind(), outputs, targets, gradient_scale: gradient_scale.unwrap_or(1.0) };
    backend.loss(&op, totals, slot)?;
    let read = |t: &[f64]| Totals { loss: t[0], right: t[1] };
    match totals.host::<f64>() {
        Ok(totals) => Ok(read(totals)),
        Err(_) => Ok(read(&backend.download(totals)?)),
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.right += other.right;
    }
}

impl Totals {
    /// Averaged over `samples` with targets of the kind of `targets`; zero where there are none.
    pub(crate) fn metrics(self, samples: usize, targets: &Targets) -> Metrics {
        let n = samples.max(1) as f64;
        let accuracy = match targets {
            // The kernels count labels by comparing outputs, and comparisons with NaN say nothing.
            Targets::Classes { .. } if self.loss.is_nan() => Some(f64::NAN),
            Targets::Classes { .. } => Some(self.right / n),
            Targets::Values(_) => None,
        };
        Metrics { loss: self.loss / n, accuracy, samples }
    }
}
