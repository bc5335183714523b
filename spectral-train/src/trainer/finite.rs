//! Naming what turned NaN or infinite.

use crate::Result;
use spectral_core::{Error, Model, ParamId, Workspace};

/// The error for a loss of `loss` in step `step`.
pub(super) fn bad_loss(model: &Model, workspace: &Workspace, loss: f64, step: u64) -> Result<Error> {
    let cause = forward_cause(model, workspace)?;
    Ok(error(cause.unwrap_or_else(|| format!("the loss ({loss})")), step))
}

/// Checks all gradients of step `step`.
pub(super) fn check_gradients(model: &Model, workspace: &Workspace, step: u64) -> Result<()> {
    // From the loss backwards, so that the first one found is where it began.
    for index in (0..model.params().len()).rev() {
        let id = ParamId(index as u32);
        if let Some(gradient) = workspace.param_grad(id)
            && !model.backend().all_finite(gradient)?
        {
            let cause = forward_cause(model, workspace)?;
            let what = cause.unwrap_or_else(|| format!("the gradient of `{}`", model.params().get(id).name));
            return Err(error(what, step).into());
        }
    }
    Ok(())
}

/// The first parameter or layer, in the order they run, that is not finite.
fn forward_cause(model: &Model, workspace: &Workspace) -> Result<Option<String>> {
    for (i, node) in model.graph().nodes().iter().enumerate() {
        if let Some(name) = bad_parameter(model, &node.params)? {
            return Ok(Some(format!("parameter `{name}`")));
        }
        if !model.backend().all_finite(workspace.output(i))? {
            return Ok(Some(format!("the output of layer `{}`", node.name)));
        }
    }
    Ok(None)
}

/// Checks all parameters after step `step`.
pub(super) fn check_parameters(model: &Model, step: u64) -> Result<()> {
    for node in model.graph().nodes() {
        if let Some(name) = bad_parameter(model, &node.params)? {
            return Err(error(format!("parameter `{name}`"), step).into());
        }
    }
    Ok(())
}

fn bad_parameter<'m>(model: &'m Model, ids: &[ParamId]) -> Result<Option<&'m str>> {
    for &id in ids {
        let param = model.params().get(id);
        if !model.backend().all_finite(param.value())? {
            return Ok(Some(&param.name));
        }
    }
    Ok(None)
}

pub(super) fn error(what: String, step: u64) -> Error {
    Error::NonFinite { what, at: format!("step {step}") }
}
