//! Whole pieces of work that must come out alike on two backends.

use crate::Report;
use serde_json::{Value, json};
use spectral_core::{
    BackendHandle, DType, Error, IntoBackend, LayerEntry, Model, NodeSpec, PrunerEntry, Result, Samples, Seed, Shape,
    Source, Targets, Train, registry,
};
use std::fmt::Display;

/// How far the mean loss of an epoch may be from that on another backend, as a share of the larger.
pub const LOSS_TOLERANCE: f64 = 1e-3;

/// Criteria that [`agreement`] must be able to try, so that a program without any does not pass.
const CRITERIA: usize = 4;

/// A small network with layers of every kernel family trains on `there` as on `here` ([`training`]), and every
/// registered criterion that looks at weights only prunes the same entries of it ([`masks`]).
///
/// `prune` applies the criterion of a name to a model, without data; a criterion with which it fails on `here` (it
/// needs data, or layers of another kind) is left out. The layers are found in the registry: spectral-layers must be
/// linked.
pub fn agreement<T, E: Display>(
    here: impl IntoBackend,
    there: impl IntoBackend,
    trainer: &dyn Train,
    prune: impl Fn(&str, &mut Model) -> Result<T, E>,
) -> Report {
    let (here, there) = (here.into_backend(), there.into_backend());
    let mut report = Report::new(format!("whole pieces of work on `{}` and `{}`", here.name(), there.name()));
    let set_up = || Ok((network(&here)?, thirds()?, registry::all::<PrunerEntry>()?));
    let Some((model, data, criteria)) = report.attempt("the network", set_up()) else { return report };
    report.absorb(training(&there, &model, trainer, &data));
    let mut tried = 0;
    for criterion in criteria {
        let cut = |model: &mut Model| prune(criterion.name, model).map(drop).map_err(|e| Error::Data(e.to_string()));
        if model.duplicate().and_then(|mut copy| cut(&mut copy)).is_ok() {
            report.absorb(masks(&there, &model, criterion.name, cut));
            tried += 1;
        }
    }
    report.expect(tried >= CRITERIA, format!("only {tried} criteria could be tried"));
    report
}

/// A network over [`thirds`], named by what its layers are.
fn network(backend: &BackendHandle) -> Result<Model> {
    let layers = [
        ("reshape", json!({ "shape": [1, 8, 8] })),
        ("conv2d", json!({ "channels": 4, "kernel": 3, "activation": "relu" })),
        ("flatten", json!({})),
        ("spectral", json!({ "units": 30, "activation": "tanh" })),
        ("batch_norm", json!({})),
        ("masked", json!({ "units": 20, "activation": "gelu", "density": 0.4 })),
        ("dropout", json!({ "rate": 0.1 })),
        ("dense", json!({ "units": 3 })),
    ];
    let node = |(at, (kind, config)): (usize, (&str, Value))| -> Result<NodeSpec> {
        let layer = (registry::find::<LayerEntry>(kind)?.build)(config)?;
        let input = at.checked_sub(1).map_or(Source::Input, Source::Node);
        Ok(NodeSpec { name: kind.into(), layer, inputs: vec![input] })
    };
    let nodes = layers.into_iter().enumerate().map(node).collect::<Result<Vec<_>>>()?;
    Model::build(Shape::vector(64), &nodes, backend, DType::F32, Seed(3))
}

/// Three classes of which each raises every third value.
fn thirds() -> Result<Samples> {
    let mut stream = Seed(11).stream("data", 0);
    let labels: Vec<u32> = (0..96).map(|sample| sample % 3).collect();
    let inputs = ndarray::Array2::from_shape_fn((labels.len(), 64), |(sample, feature)| {
        let raised = feature % 3 == labels[sample] as usize;
        (f64::from(u8::from(raised)) + 0.5 * stream.normal()) as f32
    });
    Samples::new("thirds", inputs, Targets::Classes { labels, classes: 3 })
}

/// Trains copies of `model` on its own backend and on `backend`: the mean loss of every epoch may differ by
/// [`LOSS_TOLERANCE`], rounding carried through all steps, and the loss must fall, so that a run that does nothing
/// does not pass.
pub fn training(backend: impl IntoBackend, model: &Model, trainer: &dyn Train, data: &Samples) -> Report {
    let backend = backend.into_backend();
    let mut report = Report::new(format!("training on `{}` and `{}`", model.backend().name(), backend.name()));
    let run = || -> Result<_> {
        let (mut here, mut there) = (model.duplicate()?, model.to_backend(&backend, model.dtype())?);
        Ok((trainer.train(&mut here, data, &mut [])?, trainer.train(&mut there, data, &mut [])?))
    };
    let Some((here, there)) = report.attempt("the run", run()) else { return report };
    report.expect(here.epochs.len() == there.epochs.len(), "one of the runs is shorter");
    for (a, b) in here.epochs.iter().zip(&there.epochs) {
        let off = (a.train.loss - b.train.loss).abs() / a.train.loss.abs().max(b.train.loss.abs());
        report.expect(
            off <= LOSS_TOLERANCE,
            format!("epoch {}: the loss is {}, must be {} (off by {off:.1e})", a.epoch, b.train.loss, a.train.loss),
        );
        report.worst = report.worst.max(off);
    }
    let ends =
        |h: &spectral_core::History| h.epochs.first().zip(h.epochs.last()).map(|(a, b)| b.train.loss / a.train.loss);
    report.expect(
        ends(&there).is_some_and(|share| share < 0.9),
        format!("the loss fell to {:?} of itself", ends(&there)),
    );
    report
}

/// Applies `cut`, which looks at weights only, to copies of `model` on its own backend and on `backend`: the same
/// entries must be pruned, to the last.
pub fn masks(backend: impl IntoBackend, model: &Model, what: &str, cut: impl Fn(&mut Model) -> Result<()>) -> Report {
    let backend = backend.into_backend();
    let mut report = Report::new(format!("{what} on `{}` and `{}`", model.backend().name(), backend.name()));
    let run = || -> Result<_> {
        let (mut here, mut there) = (model.duplicate()?, model.to_backend(&backend, model.dtype())?);
        cut(&mut here)?;
        cut(&mut there)?;
        Ok((here, there))
    };
    let Some((here, there)) = report.attempt("the cut", run()) else { return report };
    report.expect(here.params().kept() < here.params().total(), "nothing was pruned");
    for ((_, a), (_, b)) in here.params().iter().zip(there.params().iter()) {
        report.expect(a.pruned() == b.pruned(), format!("`{}`: {:?}, must be {:?}", a.name, b.pruned(), a.pruned()));
    }
    report
}
