//! What penalties add to a loss.

use crate::{Error, Result};
use spectral_core::{Batches, Gradients, Mode, Model, Penalty, Role, Samples};

/// Samples that run at a time.
const BATCH: usize = 256;

/// `sum over parameters of l1 sum |w| + l2 sum w^2`, frozen ones included; `extra` is added to the penalty that a
/// parameter carries.
pub(crate) fn of_parameters(model: &Model, extra: impl Fn(Role) -> Penalty) -> Result<f64> {
    let mut sum = 0.0;
    for (_, param) in model.params().iter() {
        let extra = extra(param.role);
        let Penalty { l1, l2 } = Penalty { l1: param.penalty.l1 + extra.l1, l2: param.penalty.l2 + extra.l2 };
        if l1 != 0.0 || l2 != 0.0 {
            let values = model.backend().download(param.value())?;
            sum += values.iter().map(|w| l1 * w.abs() + l2 * w * w).sum::<f64>();
        }
    }
    Ok(sum)
}

/// The layers' penalties on their outputs, a mean over the samples of `data`.
pub(crate) fn of_outputs(model: &Model, data: &Samples) -> Result<f64> {
    let mut sum = 0.0;
    let mut batches = Batches::new(model, BATCH.min(data.len()), Gradients::None)?;
    batches.each(model, data, Mode::Infer, |batches, rows| {
        sum += batches.workspace.output_penalty(model)? * rows.len() as f64;
        Ok::<_, Error>(())
    })?;
    Ok(sum / data.len() as f64)
}
