//! What criteria measure on calibration data.

use crate::weighted::Weighted;
use crate::{Error, Result};
use spectral_core::layer::Mode;
use spectral_core::{
    Accum, Activation, DType, Element, Gradients, LossKernel, LossKind, Model, Needs, RowSum, Samples, Shape, Source,
    Statistics, Targets, Tensor, Trainable, Values, Word, Workspace,
};

/// Samples that run at a time. Fixed, so that sums do not depend on the machine.
const BATCH: usize = 256;

/// Measures what `needs` asks for, for each of `layers`, over all of `data` with dropout off.
///
/// Sums over a batch are taken by the backend, sums over batches in f64. The loss behind gradients is softmax
/// cross-entropy for classes (from the values before a final softmax layer) and mean squared error otherwise.
///
/// # Errors
/// The data does not fit the model, or a kernel failed.
pub(crate) fn measure(model: &Model, layers: &[Weighted], data: &Samples, needs: Needs) -> Result<Vec<Statistics>> {
    let graph = model.graph();
    if data.features() != graph.input().len() {
        let problem =
            format!("{} has {} features, the model takes {}", data.name, data.features(), graph.input().len());
        return Err(spectral_core::Error::Data(problem).into());
    }
    if !needs.weight_gradient {
        return Run::new(model, layers, data, Gradients::None)?.collect(needs, None);
    }
    if data.targets().outputs() != graph.output().len() {
        let problem = format!(
            "{} has {} targets, the model {} outputs",
            data.name,
            data.targets().outputs(),
            graph.output().len()
        );
        return Err(spectral_core::Error::Data(problem).into());
    }
    // A copy in which every weight has a gradient, frozen or not.
    let mut copy = model.duplicate()?;
    layers.iter().try_for_each(|l| copy.params_mut().0.set_trainable(l.matrix, Trainable::All))?;
    let loss = loss_of(&copy, data)?;
    Run::new(&copy, layers, data, Gradients::Parameters)?.collect(needs, Some(loss))
}

/// The node whose output the loss takes, and the loss.
fn loss_of(model: &Model, data: &Samples) -> Result<(usize, LossKind)> {
    let last = model.graph().nodes().len() - 1;
    if matches!(data.targets(), Targets::Values(_)) {
        return Ok((last, LossKind::MeanSquaredError));
    }
    let softmax = model.graph().nodes()[last].layer.op().word == Word::Map(Activation::Softmax);
    match (softmax, model.graph().nodes()[last].inputs.as_slice()) {
        (true, [Source::Node(before)]) => Ok((*before, LossKind::SoftmaxCrossEntropy)),
        _ => Ok((last, LossKind::SoftmaxCrossEntropy)),
    }
}

struct Run<'a> {
    model: &'a Model,
    layers: &'a [Weighted],
    data: &'a Samples,
    workspace: Workspace,
}

impl<'a> Run<'a> {
    fn new(model: &'a Model, layers: &'a [Weighted], data: &'a Samples, gradients: Gradients) -> Result<Self> {
        let workspace = Workspace::new(model, BATCH.min(data.len()), gradients)?;
        Ok(Self { model, layers, data, workspace })
    }

    fn collect(mut self, needs: Needs, loss: Option<(usize, LossKind)>) -> Result<Vec<Statistics>> {
        let samples = self.data.len();
        let zeros = |wanted: bool, len: usize| wanted.then(|| vec![0.0; len]);
        let mut all: Vec<Statistics> = self
            .layers
            .iter()
            .map(|l| Statistics {
                input_mean: zeros(needs.input_mean, l.columns),
                input_mean_abs: zeros(needs.input_mean_abs, l.columns),
                weight_gradient: zeros(needs.weight_gradient, l.rows * l.columns),
            })
            .collect();
        let rows: Vec<usize> = (0..samples).collect();
        for batch in rows.chunks(self.workspace.capacity()) {
            self.forward(batch)?;
            for (layer, s) in self.layers.iter().zip(&mut all) {
                for (sums, kind) in [(&mut s.input_mean, RowSum::Plain), (&mut s.input_mean_abs, RowSum::Absolute)] {
                    if let Some(sums) = sums {
                        self.add_inputs(layer, kind, sums)?;
                    }
                }
            }
            let Some((node, kind)) = loss else { continue };
            self.backward(batch, node, kind)?;
            for (layer, s) in self.layers.iter().zip(&mut all) {
                if let Some(sums) = &mut s.weight_gradient {
                    self.add_products(layer, sums)?;
                }
            }
        }
        for s in &mut all {
            for sums in [&mut s.input_mean, &mut s.input_mean_abs, &mut s.weight_gradient].into_iter().flatten() {
                sums.iter_mut().for_each(|v| *v /= samples as f64);
            }
        }
        Ok(all)
    }

    /// As at inference, for gradients too: nothing is drawn, and normalisation uses what training came to.
    fn forward(&mut self, batch: &[usize]) -> Result<()> {
        let input = self.workspace.begin(self.model, batch.len())?;
        fill(self.model, input, |v| self.data.gather_inputs(batch, v), |v| self.data.gather_inputs(batch, v))?;
        Ok(self.workspace.forward(self.model, Mode::Infer, 0)?)
    }

    fn backward(&mut self, batch: &[usize], node: usize, kind: LossKind) -> Result<()> {
        let backend = self.model.backend();
        let shape = Shape::matrix(self.data.targets().outputs(), batch.len());
        let mut targets = backend.zeros(shape, self.model.dtype())?;
        fill(self.model, &mut targets, |v| self.data.gather_targets(batch, v), |v| self.data.gather_targets(batch, v))?;
        let mut totals = backend.zeros(Shape::vector(2), DType::F64)?;
        let (outputs, slot) = self.workspace.output_and_slot(node);
        // Gradients of the sum over samples: dividing by their number at the end makes the mean.
        let op = LossKernel { kind, outputs, targets: &targets, gradient_scale: 1.0 };
        backend.loss(&op, &mut totals, slot)?;
        Ok(self.workspace.backward(self.model, node)?)
    }

    fn add_inputs(&self, layer: &Weighted, kind: RowSum, sums: &mut [f64]) -> Result<()> {
        let backend = self.model.backend();
        let x = match self.model.graph().nodes()[layer.node].inputs.first() {
            Some(Source::Node(n)) => self.workspace.output(*n),
            _ => self.workspace.input(),
        };
        if x.shape().rows() != layer.columns {
            let problem = format!("layer `{}` takes {}, and statistics need flat inputs", layer.name, x.shape());
            return Err(Error::Config(problem));
        }
        let mut part = backend.zeros(Shape::vector(layer.columns), self.model.dtype())?;
        backend.row_sums(kind, x, &mut part, Accum::Replace)?;
        sums.iter_mut().zip(backend.download(&part)?).for_each(|(s, p)| *s += p);
        Ok(())
    }

    /// Adds weight times gradient; for a spectral layer basis times its gradient, which is the same number.
    fn add_products(&self, layer: &Weighted, sums: &mut [f64]) -> Result<()> {
        let (backend, param) = (self.model.backend(), layer.matrix(self.model));
        let Some(gradient) = self.workspace.param_grad(layer.matrix) else { return Ok(()) };
        let (values, gradient) = (backend.download(param.value())?, backend.download(gradient)?);
        for (position, stored) in layer.kept(param) {
            sums[position] += values[stored] * gradient[stored];
        }
        Ok(())
    }
}

/// Uploads what `gather` writes, in the element type of the tensor.
pub(crate) fn fill(
    model: &Model,
    to: &mut Tensor,
    narrow: impl FnOnce(&mut [f32]),
    wide: impl FnOnce(&mut [f64]),
) -> Result<()> {
    fn upload<E: Element>(model: &Model, to: &mut Tensor, gather: impl FnOnce(&mut [E])) -> Result<()> {
        let mut staged = vec![E::zero(); to.len()];
        gather(&mut staged);
        let values: Values<'_> = E::values(&staged);
        Ok(model.backend().upload(values, to)?)
    }
    match to.dtype() {
        DType::F32 => upload(model, to, narrow),
        DType::F64 => upload(model, to, wide),
    }
}
