//! Naming what turned NaN or infinite.

use crate::Result;
use spectral_core::{DType, Error, Model, OuterProduct, ParamGradient, ParamId, Workspace};

/// The error for a loss of `loss` in step `step`.
pub(super) fn bad_loss(model: &Model, workspace: &Workspace, loss: f64, step: u64) -> Result<Error> {
    let cause = forward_cause(model, workspace)?;
    Ok(error(cause.unwrap_or_else(|| format!("the loss ({loss})")), step))
}

/// Checks all gradients of step `step`; `sizes` is room for their largest entries.
pub(super) fn check_gradients(model: &Model, workspace: &mut Workspace, sizes: &mut Vec<f64>, step: u64) -> Result<()> {
    // From the loss backwards, so that the first one found is where it began.
    let ids = || (0..model.params().len()).rev().map(|index| ParamId(index as u32));
    let tensors = ids().filter_map(|id| workspace.gradient(model, id)).map(|gradient| match gradient {
        ParamGradient::Written(gradient) => (gradient, None),
        ParamGradient::Product(factors) => (factors.left, Some(factors.right)),
    });
    sizes.clear();
    let mut tensors = tensors.flat_map(|(first, second)| std::iter::once(first).chain(second));
    model.backend().each_largest(&mut tensors, &mut |size| sizes.push(size))?;
    let mut sizes = sizes.iter().copied();
    let mut next = || sizes.next().unwrap_or(f64::NAN);
    for id in ids() {
        let finite = match workspace.gradient(model, id) {
            None => true,
            Some(ParamGradient::Written(_)) => next().is_finite(),
            Some(ParamGradient::Product(factors)) => {
                surely_finite(factors, next(), next()) || {
                    workspace.write_product(model, id)?;
                    workspace.param_grad(id).map_or(Ok(true), |gradient| model.backend().all_finite(gradient))?
                }
            }
        };
        if !finite {
            let cause = forward_cause(model, workspace)?;
            let what = cause.unwrap_or_else(|| format!("the gradient of `{}`", model.params().get(id).name));
            return Err(error(what, step).into());
        }
    }
    Ok(())
}

/// Whether no sum in the product can overflow, however large its factors are together; given the largest entry of each.
fn surely_finite(factors: OuterProduct<'_>, left: f64, right: f64) -> bool {
    let terms = factors.left.shape().columns() as f64;
    let limit = match factors.left.dtype() {
        DType::F32 => f64::from(f32::MAX),
        DType::F64 => f64::MAX,
    };
    // Half of it is room for rounding. NaN is not below.
    terms * left * right < limit / 2.0
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
