//! Whole pieces of work that must come out alike on two backends.

use crate::Report;
use spectral_core::{IntoBackend, Model, Result, Samples, Train};

/// How far the mean loss of an epoch may be from that on another backend, as a share of the larger.
pub const LOSS_TOLERANCE: f64 = 1e-3;

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
