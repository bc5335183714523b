//! What the units and weights of a model do on data.

use crate::weighted::choose_layers;
use crate::{Error, Result};
use spectral_core::layer::Mode;
use spectral_core::ndarray::Array2;
use spectral_core::{Gradients, Model, Samples, Source, Workspace};

/// Samples that run at a time. Fixed, so that results do not depend on the machine.
const BATCH: usize = 256;

/// What `source` gives for every sample, `[samples, units]`, with dropout off.
///
/// # Errors
/// The data does not fit the model, or a kernel failed.
pub(crate) fn activities(model: &Model, source: Source, data: &Samples) -> Result<Array2<f64>> {
    let graph = model.graph();
    if data.features() != graph.input().len() {
        let problem =
            format!("{} has {} features, the model takes {}", data.name, data.features(), graph.input().len());
        return Err(spectral_core::Error::Data(problem).into());
    }
    let units = graph.shape(source).len();
    let mut workspace = Workspace::new(model, BATCH.min(data.len()), Gradients::None)?;
    let mut all = Array2::zeros((data.len(), units));
    let rows: Vec<usize> = (0..data.len()).collect();
    for batch in rows.chunks(workspace.capacity()) {
        let input = workspace.begin(model, batch.len())?;
        let mut staged = vec![0.0f64; input.len()];
        data.gather_inputs(batch, &mut staged);
        model.backend().write(&staged, input)?;
        workspace.forward(model, Mode::Infer, 0)?;
        let output = match source {
            Source::Input => workspace.input(),
            Source::Node(n) => workspace.output(n),
        };
        for (k, v) in model.backend().download(output)?.into_iter().enumerate() {
            all[[batch[k % batch.len()], k / batch.len()]] = v;
        }
    }
    Ok(all)
}

/// What every weight of layer `layer` adds to its unit for one sample of `data`: `w[o, i] * x_i`, `[out, in]`, with `x`
/// the input of the layer. Sparana B4; its means over samples are criteria
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
