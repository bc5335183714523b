//! Gradient clipping by norm.

use super::finite;
use crate::Result;
use spectral_core::{Accum, DType, Mask, Model, ParamId, RowSum, Shape, Tensor, Trainable, Workspace};

/// Scales gradients so that their norm has an upper limit.
#[derive(Debug)]
pub(super) struct Clip {
    limit: f64,
    /// One sum per row of each parameter.
    sums: Vec<Tensor>,
}

impl Clip {
    pub(super) fn new(model: &Model, limit: f64) -> Result<Self> {
        let sums = model.params().iter().map(|(_, p)| {
            let rows = Shape::vector(p.value().shape().rows());
            model.backend().zeros(rows, model.dtype())
        });
        Ok(Self { limit, sums: sums.collect::<Result<_, _>>()? })
    }

    /// The factor on the gradients of step `step`. Entries that cannot move and running averages do not count.
    pub(super) fn scale(&mut self, model: &Model, workspace: &mut Workspace, step: u64) -> Result<f64> {
        let backend = &**model.backend();
        let mut square = 0.0;
        for (index, sums) in self.sums.iter_mut().enumerate() {
            let id = ParamId(index as u32);
            let Some(gradient) = workspace.param_grad_mut(id) else { continue };
            let param = model.params().get(id);
            if param.averaged().is_some() {
                continue;
            }
            if let Some(mask) = param.pruned() {
                backend.zero_where(mask, gradient)?;
            }
            if let Trainable::Only(mask) = &param.trainable {
                backend.zero_where(&Mask::complement(mask), gradient)?;
            }
            backend.row_sums(RowSum::Square, gradient, sums, Accum::Replace)?;
            square += total(backend, sums)?;
        }
        let norm = square.sqrt();
        if !norm.is_finite() {
            return Err(finite::error("the norm of the gradients".into(), step).into());
        }
        Ok(if norm > self.limit { self.limit / norm } else { 1.0 })
    }
}

/// The sum of all elements, in f64 and in order.
fn total(backend: &dyn spectral_core::Backend, t: &Tensor) -> Result<f64> {
    let on_host = match t.dtype() {
        DType::F32 => t.host::<f32>().map(|v| v.iter().map(|&v| f64::from(v)).sum()),
        DType::F64 => t.host::<f64>().map(|v| v.iter().sum()),
    };
    match on_host {
        Ok(sum) => Ok(sum),
        Err(_) => Ok(backend.download(t)?.iter().sum()),
    }
}
