//! What units do on data, and how one unit stands for many.

use crate::Result;
use spectral_core::layer::Mode;
use spectral_core::ndarray::Array2;
use spectral_core::{Gradients, Model, Samples, Source, Workspace};

/// Samples that run at a time. Fixed, so that results do not depend on the machine.
const BATCH: usize = 256;

/// Samples that a summary is fitted to.
const FITTED: usize = 1024;

/// What `source` gives for every sample, `[samples, units]`, with dropout off.
///
/// # Errors
/// The data does not fit the model, or a kernel failed.
pub(super) fn activities(model: &Model, source: Source, data: &Samples) -> Result<Array2<f64>> {
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

/// At most [`FITTED`] samples, spread evenly over `data`.
pub(super) fn few(data: &Samples) -> Result<Samples> {
    let count = data.len().min(FITTED);
    let rows: Vec<usize> = (0..count).map(|i| i * data.len() / count).collect();
    Ok(data.subset(&rows)?)
}

/// For each of `units`: the factor on the summary's activity that fits its own best, `sum a_r a_s / sum a_s^2`; 1 where
/// the summary is silent.
pub(super) fn fit(original: &Array2<f64>, units: &[usize], summary: &[f64]) -> Vec<f64> {
    let power: f64 = summary.iter().map(|s| s * s).sum();
    let factor = |&unit: &usize| {
        let product: f64 = original.column(unit).iter().zip(summary).map(|(a, s)| a * s).sum();
        if power > 0.0 { product / power } else { 1.0 }
    };
    units.iter().map(factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_is_fitted_exactly_and_silence_counts_once() {
        let a = Array2::from_shape_vec((3, 2), vec![2.0, -1.0, 4.0, -2.0, 0.0, 0.0]).unwrap();
        assert_eq!(fit(&a, &[0, 1], &[1.0, 2.0, 0.0]), [2.0, -1.0]);
        assert_eq!(fit(&a, &[1], &[0.0; 3]), [1.0]);
    }
}
