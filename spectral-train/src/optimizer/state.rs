//! What optimisers remember from step to step, and the guard that keeps it clean.

use super::entrywise::sign;
use super::{Optimizer, StepContext};
use spectral_core::backend::SUBNORMAL_CUT;
use spectral_core::{
    Backend, Error, Mask, Masking, Param, ParamGradient, ParamId, Params, Pattern, Penalty, Result, Shape, State,
    StateTensor, Tensor, Trainable, carry_over,
};
use std::sync::Arc;

/// The state of an optimiser for all parameters of a model.
///
/// After [`step`](Self::step) returns, whatever the optimiser did: pruned entries are exactly zero in value and
/// state, frozen entries have the bits they had. When the masks of the model change, state at pruned entries is
/// cleared, so momentum from before cannot revive them. State follows the pattern that a parameter is stored on, also
/// from the whole matrix to a pattern and back: kept for entries that stay, zero for new ones. That of a parameter that
/// changes its shape otherwise starts anew.
#[derive(Debug, Default)]
pub struct OptimizerState {
    entries: Vec<Entry>,
    mask_version: Option<u64>,
}

#[derive(Debug, Default)]
struct Entry {
    tensors: Vec<Tensor>,
    steps: u64,
    /// What the tensors are laid out by, if the parameter stores only some entries.
    pattern: Option<Arc<Pattern>>,
}

impl Entry {
    /// Lays the state out for the pattern that `param` has now, or for its whole matrix if it has none.
    fn follow_pattern(&mut self, param: &Param, backend: &dyn Backend) -> Result<()> {
        let before = std::mem::replace(&mut self.pattern, param.pattern.clone());
        let (from, to) = (before.as_deref(), self.pattern.as_deref());
        if from.map(std::ptr::from_ref) == to.map(std::ptr::from_ref) {
            return Ok(());
        }
        let full = param.full_shape();
        let laid_out = from.map_or(full, |p| Shape::vector(p.nonzeros()));
        let same_matrix = from.is_none_or(|p| Shape::matrix(p.rows(), p.columns()) == full);
        if !same_matrix || self.tensors.iter().any(|t| t.shape() != laid_out) {
            (self.tensors, self.steps) = (Vec::new(), 0);
        }
        for tensor in &mut self.tensors {
            *tensor = carry_over(backend, tensor, from, to)?;
        }
        Ok(())
    }
}

/// One optimiser step on one parameter.
#[derive(Debug, Clone, Copy)]
pub struct ParamStep<'a> {
    /// The parameter.
    pub id: ParamId,
    /// Gradient of the loss, without penalties; a product only for an optimiser that has a
    /// [`kernel`](Optimizer::kernel), and not for a running average.
    pub gradient: ParamGradient<'a>,
    /// Learning rate, after the schedule.
    pub rate: f64,
    /// Factor on the gradient; below 1 where gradients are clipped.
    pub gradient_scale: f64,
    /// Added to the penalty that the parameter carries.
    pub penalty: Penalty,
    /// Decay beside the step of the optimiser: `w -= rate (l2 w + l1 sign(w))`, with `w` as it was before the step.
    pub decay: Penalty,
}

impl OptimizerState {
    /// The state before the first step.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state tensors of one parameter; none before its first step.
    pub fn tensors(&self, id: ParamId) -> &[Tensor] {
        self.entries.get(id.index()).map_or(&[], |e| &e.tensors)
    }

    /// Writes the state down.
    ///
    /// # Errors
    /// The device failed.
    pub fn save(&self, backend: &dyn Backend) -> Result<State> {
        let part = |entry: &Entry| {
            let tensors = entry.tensors.iter().map(|t| StateTensor::save(backend, t)).collect::<Result<_>>()?;
            Ok(State { tensors, ..State::of(&entry.steps)? })
        };
        Ok(State { parts: self.entries.iter().map(part).collect::<Result<_>>()?, ..State::default() })
    }

    /// Reads what [`save`](Self::save) wrote, for the parameters as they were then.
    ///
    /// # Errors
    /// It is the state for other parameters, or the device failed.
    pub fn load(state: &State, params: &Params, backend: &dyn Backend) -> Result<Self> {
        let misfit = |problem: String| Error::config("saved state of an optimizer", problem);
        if state.parts.len() > params.len() {
            return Err(misfit(format!("is of {} parameters, the model has {}", state.parts.len(), params.len())));
        }
        let entry = |(part, (_, param)): (&State, (ParamId, &Param))| {
            let tensors = part.tensors.iter().map(|t| t.load(backend)).collect::<Result<Vec<_>>>()?;
            let value = param.value();
            if tensors.iter().any(|t| t.shape() != value.shape() || t.dtype() != value.dtype()) {
                return Err(misfit(format!("does not fit parameter `{}` of {}", param.name, value.shape())));
            }
            Ok(Entry { tensors, steps: part.read("an optimizer")?, pattern: param.pattern.clone() })
        };
        let entries = state.parts.iter().zip(params.iter()).map(entry).collect::<Result<_>>()?;
        Ok(Self { entries, mask_version: None })
    }

    /// Clears the state of pruned entries if masks changed since the last call. [`step`](Self::step) does so too.
    ///
    /// # Errors
    /// The device failed.
    pub fn follow_masks(&mut self, params: &Params, backend: &dyn Backend) -> Result<()> {
        if self.mask_version == Some(params.mask_version()) {
            return Ok(());
        }
        self.entries.resize_with(params.len(), Entry::default);
        for ((_, param), entry) in params.iter().zip(&mut self.entries) {
            entry.follow_pattern(param, backend)?;
            let same = |t: &Tensor| t.shape() == param.value().shape() && t.dtype() == param.value().dtype();
            if !entry.tensors.iter().all(same) {
                *entry = Entry { pattern: entry.pattern.take(), ..Entry::default() };
            }
            clear(param.pruned(), &mut entry.tensors, backend)?;
        }
        self.mask_version = Some(params.mask_version());
        Ok(())
    }

    fn entry(&mut self, id: ParamId) -> &mut Entry {
        if self.entries.len() <= id.index() {
            self.entries.resize_with(id.index() + 1, Entry::default);
        }
        &mut self.entries[id.index()]
    }

    /// Moves one parameter; a running average moves towards its gradient slot instead, without the optimiser, its rate,
    /// penalties or clipping, and begins with the first value it is given. Does nothing to a parameter that is frozen
    /// as a whole.
    ///
    /// # Errors
    /// The optimiser or the device failed.
    pub fn step(
        &mut self,
        optimizer: &dyn Optimizer,
        params: &mut Params,
        backend: &dyn Backend,
        op: &ParamStep<'_>,
    ) -> Result<()> {
        self.follow_masks(params, backend)?;
        if let Some(keep) = params.get(op.id).averaged() {
            let ParamGradient::Written(seen) = op.gradient else { return Err(no_kernel("a running average")) };
            let entry = self.entry(op.id);
            entry.steps += 1;
            let keep = corrected(keep, entry.steps);
            return params.average(backend, op.id, keep, seen);
        }
        let param = params.get(op.id);
        let (shape, dtype) = (param.value().shape(), param.value().dtype());
        let frozen = match (&param.trainable, optimizer.masking()) {
            (Trainable::None, _) => return Ok(()),
            (Trainable::Only(mask), Masking::Apply) => Some((mask.complement(), backend.download(param.value())?)),
            _ => None,
        };
        let entry = self.entry(op.id);
        if entry.tensors.len() != optimizer.slots() {
            *entry = Entry { pattern: param.pattern.clone(), ..Entry::default() };
            for _ in 0..optimizer.slots() {
                entry.tensors.push(backend.zeros(shape, dtype)?);
            }
        }
        entry.steps += 1;
        let cx = StepContext { backend, rate: op.rate, step: entry.steps, gradient_scale: op.gradient_scale };
        // Kernels decay by l2 themselves.
        let mut kernel = optimizer.kernel(cx.step);
        let beside = match &mut kernel {
            Some(rule) if op.decay.l1 == 0.0 => {
                rule.decay += op.decay.l2;
                Penalty::default()
            }
            _ => op.decay,
        };
        params.step(backend, op.id, optimizer.masking(), |value, mut view| {
            view.penalty.l1 += op.penalty.l1;
            view.penalty.l2 += op.penalty.l2;
            let state = &mut entry.tensors;
            let before = match beside == Penalty::default() {
                true => None,
                false => Some(backend.download(value)?),
            };
            match (op.gradient, kernel) {
                (ParamGradient::Written(gradient), Some(rule)) => {
                    backend.update(&cx.update(rule, &view), value, gradient, state)?;
                }
                (ParamGradient::Written(gradient), None) => optimizer.step(&cx, view, value, gradient, state)?,
                (ParamGradient::Product(factors), Some(rule)) => {
                    backend.update_product(&cx.update(rule, &view), value, factors, state)?;
                }
                (ParamGradient::Product(_), None) => return Err(no_kernel("this optimizer")),
            }
            if let Some(before) = before {
                decay(beside, cx.rate, &before, view.trainable, value, backend)?;
            }
            if let Some((frozen, before)) = &frozen {
                restore(frozen, before, value, backend)?;
            }
            if optimizer.masking() == Masking::Apply {
                clear(view.pruned, &mut entry.tensors, backend)?;
            }
            Ok(())
        })
    }
}

/// The share of a running average that its step number `step` keeps, so that all steps so far have the weights of a
/// decayed mean that began with nothing: `keep (1 - keep^(step - 1)) / (1 - keep^step)`. The first step keeps nothing.
fn corrected(keep: f64, step: u64) -> f64 {
    let missing = |steps: u64| 1.0 - keep.powi(i32::try_from(steps).unwrap_or(i32::MAX));
    keep * missing(step - 1) / missing(step)
}

fn no_kernel(what: &str) -> Error {
    Error::config("optimizer step", format!("{what} has no kernel for a product; write the gradient down"))
}

fn clear(pruned: Option<&Mask>, state: &mut [Tensor], backend: &dyn Backend) -> Result<()> {
    match pruned {
        Some(mask) => state.iter_mut().try_for_each(|t| backend.zero_where(mask, t)),
        None => Ok(()),
    }
}

/// `w -= rate (l2 before + l1 sign(before))` where entries may move.
fn decay(
    by: Penalty,
    rate: f64,
    before: &[f64],
    trainable: &Trainable,
    value: &mut Tensor,
    backend: &dyn Backend,
) -> Result<()> {
    let mut now = backend.download(value)?;
    for (i, (now, before)) in now.iter_mut().zip(before).enumerate() {
        if !matches!(trainable, Trainable::Only(mask) if !mask.contains(i)) {
            let moved = *now - rate * (by.l2 * before + by.l1 * sign(*before));
            *now = if moved.abs() < SUBNORMAL_CUT { 0.0 } else { moved };
        }
    }
    backend.write(&now, value)
}

/// Puts back the entries in `frozen`. Widening and narrowing are exact, so they have the same bits again.
fn restore(frozen: &Mask, before: &[f64], value: &mut Tensor, backend: &dyn Backend) -> Result<()> {
    let mut now = backend.download(value)?;
    frozen.iter().for_each(|i| now[i] = before[i]);
    backend.write(&now, value)
}
