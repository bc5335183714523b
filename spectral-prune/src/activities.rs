//! What the units and weights of a model do on data.

use crate::weighted::choose_layers;
use crate::{Error, Result};
use spectral_core::ndarray::Array2;
use spectral_core::{Batches, Gradients, Mode, Model, Samples, Source};

/// Samples that run at a time. Fixed, so that results do not depend on the machine.
const BATCH: usize = 256;

/// What `source` gives for every sample, `[samples, units]`, with dropout off.
///
/// # Errors
/// The data does not fit the model, or a kernel failed.
pub(crate) fn activities(model: &Model, source: Source, data: &Samples) -> Result<Array2<f64>> {
    let units = model.graph().shape(source).len();
    let mut all = Array2::zeros((data.len(), units));
    let mut batches = Batches::new(model, BATCH.min(data.len()), Gradients::None)?;
    batches.each(model, data, Mode::Infer, |batches, rows| {
        let output = match source {
            Source::Input => batches.workspace.input(),
            Source::Node(n) => batches.workspace.output(n),
        };
        for (k, v) in model.backend().download(output)?.into_iter().enumerate() {
            all[[rows[k % rows.len()], k / rows.len()]] = v;
        }
        Ok::<_, Error>(())
    })?;
    Ok(all)
}

/// What every weight of layer `layer` adds to its unit for one sample of `data`: `w[o, i] * x_i`, `[out, in]`, with `x`
/// the input of the layer. Source: Sparana; its means over samples are criteria
/// ([`ActivationWeight`](crate::criteria::ActivationWeight),
/// [`MeanActivationWeight`](crate::criteria::MeanActivationWeight)).
///
/// # Errors
/// There is no such layer or sample, the data does not fit, or a kernel failed.
pub fn activated_weights(model: &Model, layer: &str, data: &Samples, sample: usize) -> Result<Array2<f64>> {
    let one = data.subset(&[sample])?;
    let layers = choose_layers(model, &[layer.to_owned()], &[])?;
    let layer = layers.first().ok_or_else(|| Error::Config(format!("layer `{layer}` has no weights")))?;
    let input = activities(model, model.graph().nodes()[layer.node].inputs[0], &one)?;
    let loaded = layer.load(model)?;
    let weight = loaded.weight();
    Ok(Array2::from_shape_fn((layer.rows, layer.columns), |(o, i)| weight.get(o * layer.columns + i) * input[[0, i]]))
}
