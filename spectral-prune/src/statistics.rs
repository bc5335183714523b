//! Measuring on calibration data what criteria ask for.

use crate::Result;
use crate::weighted::Weighted;
use spectral_core::{
    Activation, Batches, DType, Gradients, LayerBatch, LayerGradients, LossKernel, LossKind, Mode, Model, Samples,
    Shape, Source, Statistic, Statistics, Targets, Tensor, Trainable, Word,
};
use std::sync::Arc;

/// Samples that run at a time. Fixed, so that sums do not depend on the machine.
const BATCH: usize = 256;

/// Measures `wanted` for each of `layers`, over all of `data`, run as at inference: nothing is drawn, and normalisation
/// uses its running averages, for gradients too.
///
/// The loss behind gradients is softmax cross-entropy for classes (from the values before a final softmax layer) and
/// mean squared error otherwise.
///
/// # Errors
/// The data does not fit the model, a layer has no such statistic, or a kernel failed.
pub(crate) fn measure(
    model: &Model,
    layers: &[Weighted],
    data: &Samples,
    wanted: &[Arc<dyn Statistic>],
) -> Result<Vec<Statistics>> {
    let sums = layers.iter().map(|l| wanted.iter().map(|s| vec![0.0; s.len(l.rows, l.columns)]).collect()).collect();
    let mut run = Run { layers, wanted, sums };
    if wanted.iter().any(|s| s.needs_gradients()) {
        // A copy in which every weight has a gradient, frozen or not.
        let mut copy = model.duplicate()?;
        layers.iter().try_for_each(|l| copy.params_mut().0.set_trainable(l.matrix, Trainable::All))?;
        run.with_gradients(&copy, data)?;
    } else {
        run.forward_only(model, data)?;
    }
    Ok(run.means(data.len()))
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

/// Sums over the samples seen so far.
struct Run<'a> {
    layers: &'a [Weighted],
    wanted: &'a [Arc<dyn Statistic>],
    /// By layer and statistic.
    sums: Vec<Vec<Vec<f64>>>,
}

impl Run<'_> {
    fn forward_only(&mut self, model: &Model, data: &Samples) -> Result<()> {
        let mut batches = Batches::new(model, BATCH.min(data.len()), Gradients::None)?;
        batches.each(model, data, Mode::Infer, |batches, _| {
            (0..self.layers.len()).try_for_each(|layer| self.add(model, batches, layer, None))
        })
    }

    fn with_gradients(&mut self, model: &Model, data: &Samples) -> Result<()> {
        let (backend, (node, kind)) = (&**model.backend(), loss_of(model, data)?);
        let mut totals = backend.zeros(Shape::vector(2), DType::F64)?;
        let matrices: Vec<Vec<f64>> =
            self.layers.iter().map(|l| whole(l, model, l.matrix(model).value())).collect::<Result<_>>()?;
        let mut batches = Batches::with_targets(model, BATCH.min(data.len()), Gradients::Parameters)?;
        batches.each(model, data, Mode::Infer, |batches, _| {
            let (workspace, targets) = batches.with_loss()?;
            let (outputs, slot) = workspace.output_and_slot(node);
            // Gradients of the sum over samples: dividing by their number at the end makes the mean.
            let op = LossKernel { kind, outputs, targets, gradient_scale: 1.0 };
            backend.loss(&op, &mut totals, slot)?;
            for index in (0..=node).rev() {
                let layers: Vec<usize> = (0..self.layers.len()).filter(|&l| self.layers[l].node == index).collect();
                let output = match (layers.is_empty(), batches.workspace.node_grad(index)) {
                    (false, Some(gradient)) => Some(gradient.duplicate()?),
                    _ => None,
                };
                batches.workspace.backward_node(model, index)?;
                for layer in layers {
                    let own = &self.layers[layer];
                    let of_weight =
                        batches.workspace.param_grad(own.matrix).map(|g| whole(own, model, g)).transpose()?;
                    let gradients = output.as_ref().zip(of_weight.as_deref());
                    let weight = matrices[layer].as_slice();
                    let gradients = gradients.map(|(output, of_weight)| LayerGradients { output, weight, of_weight });
                    self.add(model, batches, layer, gradients)?;
                }
            }
            Ok(())
        })
    }

    fn add(
        &mut self,
        model: &Model,
        batches: &Batches,
        layer: usize,
        gradients: Option<LayerGradients<'_>>,
    ) -> Result<()> {
        let own = &self.layers[layer];
        let input = match model.graph().nodes()[own.node].inputs.first() {
            Some(Source::Node(n)) => batches.workspace.output(*n),
            _ => batches.workspace.input(),
        };
        let batch = LayerBatch {
            backend: &**model.backend(),
            node: &own.name,
            size: (own.rows, own.columns),
            input,
            output: batches.workspace.output(own.node),
            gradients,
        };
        for (statistic, sums) in self.wanted.iter().zip(&mut self.sums[layer]) {
            let visible = gradients.filter(|_| statistic.needs_gradients());
            // Where the loss does not depend on a layer, its gradients are zero.
            if visible.is_some() == statistic.needs_gradients() {
                statistic.add(&LayerBatch { gradients: visible, ..batch }, sums)?;
            }
        }
        Ok(())
    }

    fn means(self, samples: usize) -> Vec<Statistics> {
        let mean = |mut sums: Vec<f64>| {
            sums.iter_mut().for_each(|v| *v /= samples as f64);
            sums
        };
        let of_layer = |sums: Vec<Vec<f64>>| {
            let mut statistics = Statistics::default();
            self.wanted.iter().zip(sums).for_each(|(s, sums)| statistics.insert(&**s, mean(sums)));
            statistics
        };
        self.sums.into_iter().map(of_layer).collect()
    }
}

/// The entries of `stored`, laid out as the matrix of `layer` is, on the host as `[out, in]`; zero where an entry is
/// pruned or not stored.
fn whole(layer: &Weighted, model: &Model, stored: &Tensor) -> Result<Vec<f64>> {
    let values = model.backend().download(stored)?;
    let mut whole = vec![0.0; layer.rows * layer.columns];
    layer.kept(layer.matrix(model)).for_each(|(position, stored)| whole[position] = values[stored]);
    Ok(whole)
}
