//! Gradient clipping by norm.

use super::{Trainer, finite};
use crate::Result;
use spectral_core::{Accum, DType, Mask, Model, ParamId, RowSum, Shape, Tensor, Trainable, Workspace};

/// Scales gradients so that norms have an upper limit: first that of every parameter alone, then that of all together.
#[derive(Debug)]
pub(super) struct Clip {
    all: Option<f64>,
    each: Option<f64>,
    /// One sum per row of each parameter.
    sums: Vec<Tensor>,
    /// By parameter, the factor on its gradient in this step.
    factors: Vec<f64>,
}

impl Clip {
    /// As `trainer` is set; `None` where it clips no norm.
    pub(super) fn new(trainer: &Trainer, model: &Model) -> Result<Option<Self>> {
        let (all, each) = (trainer.clip_norm, trainer.clip_norm_each);
        if all.is_none() && each.is_none() {
            return Ok(None);
        }
        let sums = model.params().iter().map(|(_, p)| {
            let rows = Shape::vector(p.value().shape().rows());
            model.backend().zeros(rows, model.dtype())
        });
        let factors = vec![1.0; model.params().len()];
        Ok(Some(Self { all, each, sums: sums.collect::<Result<_, _>>()?, factors }))
    }

    /// Finds the factors on the gradients of step `step`. Entries that cannot move and running averages do not count.
    pub(super) fn measure(&mut self, model: &Model, workspace: &mut Workspace, step: u64) -> Result<()> {
        let backend = &**model.backend();
        let factor = |norm: f64, limit: Option<f64>| limit.filter(|limit| norm > *limit).map_or(1.0, |l| l / norm);
        let mut square = 0.0;
        for (index, (sums, own)) in self.sums.iter_mut().zip(&mut self.factors).enumerate() {
            let id = ParamId(index as u32);
            *own = 1.0;
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
            let norm = total(backend, sums)?.sqrt();
            if !norm.is_finite() {
                return Err(finite::error(format!("the norm of the gradient of `{}`", param.name), step).into());
            }
            *own = factor(norm, self.each);
            square += (norm * *own).powi(2);
        }
        let of_all = factor(square.sqrt(), self.all);
        self.factors.iter_mut().for_each(|own| *own *= of_all);
        Ok(())
    }

    /// The factor on the gradient of a parameter.
    pub(super) fn factor(&self, id: ParamId) -> f64 {
        self.factors[id.index()]
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
