//! Measuring one stage of a run.

use crate::Result;
use crate::report::{Latency, Stage};
use spectral_core::{Evaluate, Lowered, Matrix, Model, Plan, Samples, Source, Units};
use spectral_sparse::measure::{self, LatencyOptions};
use spectral_train::{Evaluator, Loss};
use std::collections::BTreeMap;
use std::time::Duration;

/// Measures a model: accuracy and sizes; latencies are measured apart.
pub(crate) fn measure(name: &str, model: &Model, test: &Samples) -> Result<Stage> {
    let metrics = Evaluator::new(loss_of(model)).evaluate(model, test)?;
    let counts = count(model)?;
    Ok(Stage {
        name: name.into(),
        accuracy: metrics.accuracy,
        loss: metrics.loss,
        parameters: model.params().total(),
        nonzeros: counts.nonzeros,
        units: model.widths(),
        flops_per_sample: counts.flops as u64,
        file_bytes: spectral_io::to_bytes(model)?.len() as u64,
        latency_us: BTreeMap::new(),
    })
}

/// The loss a model was last trained with; the usual one if it does not say.
fn loss_of(model: &Model) -> Loss {
    let named = model.meta.history.iter().rev().find_map(|e| e.detail.get("loss")?.as_str());
    named.and_then(|name| Loss::named(name).ok()).unwrap_or_default()
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
    let mut flops = 0;
    for i in 0..model.graph().nodes().len() {
        let width = model.graph().shape(Source::Node(i)).len();
        flops += match model.lower(i)? {
            Lowered::Affine(a) => {
                let weights = match &a.weight {
                    Matrix::Dense(t) | Matrix::Sparse { values: t, .. } => backend.download(t)?,
                };
                2 * weights.iter().filter(|w| **w != 0.0).count() + if a.bias.is_some() { width } else { 0 }
            }
            Lowered::Convolution(c) => {
                let weights = backend.download(&c.weight)?.iter().filter(|w| **w != 0.0).count();
                let places = width / c.weight.shape().rows().max(1);
                2 * weights * places + if c.bias.is_some() { width } else { 0 }
            }
            Lowered::Scale(s) => width * (1 + usize::from(s.bias.is_some())),
            Lowered::Add | Lowered::Multiply => width * (model.graph().nodes()[i].inputs.len() - 1),
            _ => 0,
        };
    }
    Ok(Counts { nonzeros, flops })
}

/// Hidden units: those of every weighted layer but the last.
pub(crate) fn hidden_units(model: &Model) -> usize {
    let nodes = model.graph().nodes();
    let own: Vec<usize> = (0..nodes.len()).filter(|&i| nodes[i].layer.units() == Units::Own).collect();
    own.iter().rev().skip(1).map(|&i| model.graph().shape(Source::Node(i)).rows()).sum()
}
