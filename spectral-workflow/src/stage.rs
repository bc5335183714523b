//! Measuring one stage of a run.

use crate::Result;
use crate::report::{Latency, Stage};
use spectral_core::{Evaluate, Metrics, Model, Plan, Samples, Source, Units};
use spectral_sparse::measure::{self, LatencyOptions};
use spectral_train::{Evaluator, Loss};
use std::collections::BTreeMap;
use std::time::Duration;

/// Measures a model: quality and sizes; latencies are measured apart.
///
/// # Errors
/// The outputs of the model are not finite, the data does not fit, or the device failed.
pub(crate) fn measure(name: &str, model: &Model, test: &Samples) -> Result<Stage> {
    let metrics = evaluate(model, test)?;
    let counts = count(model)?;
    Ok(Stage {
        name: name.into(),
        accuracy: metrics.accuracy,
        loss: metrics.loss,
        parameters: model.params().total(),
        nonzeros: counts.nonzeros,
        units: model.widths(),
        flops_per_sample: counts.flops as u64,
        file_bytes: spectral_io::file_bytes(model)?,
        latency_us: BTreeMap::new(),
    })
}

/// How a model does on `data`, by the loss it was trained with.
///
/// # Errors
/// A loss that is not finite is one: a share of right labels means nothing then.
pub(crate) fn evaluate(model: &Model, data: &Samples) -> Result<Metrics> {
    let metrics = Evaluator::new(loss_of(model)).evaluate(model, data)?;
    if metrics.loss.is_finite() {
        return Ok(metrics);
    }
    let (what, at) = ("the loss of the model".into(), format!("evaluation on {}", data.name));
    Err(spectral_core::Error::NonFinite { what, at }.into())
}

/// The loss a model was last trained with, if it says.
pub(crate) fn loss_of(model: &Model) -> Option<Loss> {
    let named = model.meta.history.iter().rev().find_map(|e| e.detail.get("loss")?.as_str());
    named.and_then(|name| Loss::named(name).ok())
}

/// p50 and p95 for each batch class.
pub(crate) fn latencies(model: &Model) -> Result<BTreeMap<usize, Latency>> {
    let plan = model.meta.plan.clone().unwrap_or_default();
    spectral_core::BATCH_CLASSES.iter().map(|&batch| Ok((batch, latency(model, &plan, batch)?))).collect()
}

/// p50 and p95 of one batch size.
pub(crate) fn latency(model: &Model, plan: &Plan, batch: usize) -> Result<Latency> {
    let l = measure::latency(
        model,
        plan,
        batch,
        &LatencyOptions { budget: Duration::from_millis(80), ..Default::default() },
    )?;
    Ok(Latency { p50: l.p50_us, p95: l.p95_us })
}

/// Sizes of a model.
pub struct Counts {
    /// Parameter entries that are not zero.
    pub nonzeros: usize,
    /// Multiplications and additions with non-zero weights, for one sample.
    pub flops: usize,
}

/// Counts what is not zero.
pub fn count(model: &Model) -> Result<Counts> {
    let backend = model.backend();
    let mut nonzeros = 0;
    for (_, param) in model.params().iter() {
        nonzeros += backend.download(param.value())?.iter().filter(|v| **v != 0.0).count();
    }
    let flops = (0..model.graph().nodes().len()).map(|i| model.flops(i)).sum::<spectral_core::Result<usize>>()?;
    Ok(Counts { nonzeros, flops })
}

/// Hidden units: those of every weighted layer but the last.
pub(crate) fn hidden_units(model: &Model) -> usize {
    let nodes = model.graph().nodes();
    let own: Vec<usize> = (0..nodes.len()).filter(|&i| nodes[i].units() == Units::Own).collect();
    own.iter().rev().skip(1).map(|&i| model.graph().shape(Source::Node(i)).rows()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::{Reference, Seed, Targets};
    use spectral_layers::prelude::*;

    /// `eval` and `run` measure by this: a share of right labels of a model of NaN would be that of the first class.
    #[test]
    fn a_model_of_nan_is_a_failed_check() {
        let inputs = spectral_core::ndarray::Array2::zeros((4, 2));
        let data = Samples::new("four", inputs, Targets::Classes { labels: vec![0, 0, 0, 1], classes: 2 }).unwrap();
        let mut model = Network::new(2).dense(2, Identity).build(&Reference, Seed(1)).unwrap();
        measure("dense", &model, &data).unwrap();
        let (params, backend) = model.params_mut();
        let id = params.iter().map(|(id, _)| id).next().unwrap();
        params.edit(backend, id, |t| backend.fill(f64::NAN, t)).unwrap();
        let failure = measure("dense", &model, &data).map(drop).unwrap_err();
        assert_eq!(failure.exit_code(), 1, "{failure}");
        assert!(failure.to_string().contains("NaN or infinite at evaluation on four"), "{failure}");
    }
}
