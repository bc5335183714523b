//! Naming what turned NaN or infinite.

use crate::Result;
use spectral_core::{Error, Model, Workspace};

/// The error for a loss of `loss` in step `step`: the first parameter or layer on the way to it that is not finite.
pub(super) fn bad_loss(model: &Model, workspace: &Workspace, loss: f64, step: u64) -> Result<Error> {
    for (i, node) in model.graph().nodes().iter().enumerate() {
        if let Some(name) = bad_parameter(model, &node.params)? {
            return Ok(error(format!("parameter `{name}`"), step));
        }
        if !model.backend().all_finite(workspace.output(i))? {
            return Ok(error(format!("the output of layer `{}`", node.name), step));
        }
    }
    Ok(error(format!("the loss ({loss})"), step))
}

/// Checks all gradients of step `step`.
pub(super) fn check_gradients(model: &Model, workspace: &Workspace, step: u64) -> Result<()> {
    for (id, param) in model.params().iter() {
        if let Some(gradient) = workspace.param_grad(id)
            && !model.backend().all_finite(gradient)?
        {
            return Err(error(format!("the gradient of `{}`", param.name), step).into());
        }
    }
    Ok(())
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

fn bad_parameter<'m>(model: &'m Model, ids: &[spectral_core::ParamId]) -> Result<Option<&'m str>> {
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
