//! Optimisers without a kernel: a formula for one entry, applied on the host.

use super::StepContext;
use spectral_core::backend::SUBNORMAL_CUT;
use spectral_core::{DType, Element, Error, ParamView, Result, Tensor, Trainable};

/// Moves every entry of a parameter by a formula of one state tensor.
///
/// `rule` takes the gradient, penalties included, and the state of an entry; it returns what the rate is multiplied with
/// and the new state. Pruned entries get value and state 0, frozen ones keep both, as in
/// [`Update`](spectral_core::Update). Computes in f64. Works in place where values are in main memory; elsewhere they are
/// fetched and written back, at three copies a step.
pub(super) fn step(
    cx: &StepContext<'_>,
    param: ParamView<'_>,
    value: &mut Tensor,
    gradient: &Tensor,
    state: &mut [Tensor],
    rule: impl Fn(f64, f64) -> (f64, f64),
) -> Result<()> {
    let [state] = state else { return Err(Error::shape("optimizer step", "1 state tensor", state.len())) };
    for shape in [gradient.shape(), state.shape()] {
        if shape != value.shape() {
            return Err(Error::shape("optimizer step", value.shape(), shape));
        }
    }
    let done = match value.dtype() {
        DType::F32 => in_place::<f32>(cx, param, value, gradient, state, &rule),
        DType::F64 => in_place::<f64>(cx, param, value, gradient, state, &rule),
    };
    if done {
        return Ok(());
    }
    let backend = cx.backend;
    let (mut w, g, mut s) = (backend.download(value)?, backend.download(gradient)?, backend.download(state)?);
    walk(cx, param, &mut w, &g, &mut s, &rule);
    backend.write(&w, value)?;
    backend.write(&s, state)
}

/// Whether all tensors are in main memory, and were moved there.
fn in_place<E: Element>(
    cx: &StepContext<'_>,
    param: ParamView<'_>,
    value: &mut Tensor,
    gradient: &Tensor,
    state: &mut Tensor,
    rule: &impl Fn(f64, f64) -> (f64, f64),
) -> bool {
    let (Ok(w), Ok(g), Ok(s)) = (value.host_mut::<E>(), gradient.host::<E>(), state.host_mut::<E>()) else {
        return false;
    };
    walk(cx, param, w, g, s, rule);
    true
}

fn walk<E: Element>(
    cx: &StepContext<'_>,
    param: ParamView<'_>,
    value: &mut [E],
    gradient: &[E],
    state: &mut [E],
    rule: &impl Fn(f64, f64) -> (f64, f64),
) {
    let cut = |x: f64| E::of(if x.abs() < SUBNORMAL_CUT { 0.0 } else { x });
    let penalty = param.penalty;
    for (i, ((w, g), s)) in value.iter_mut().zip(gradient).zip(state).enumerate() {
        if param.pruned.is_some_and(|m| m.contains(i)) {
            (*w, *s) = (E::zero(), E::zero());
            continue;
        }
        if matches!(param.trainable, Trainable::Only(mask) if !mask.contains(i)) {
            continue;
        }
        let now = w.wide();
        let pull = 2.0 * penalty.l2 * now + penalty.l1 * sign(now);
        let (step, kept) = rule(cx.gradient_scale * g.wide() + pull, s.wide());
        (*w, *s) = (cut(now - cx.rate * step), cut(kept));
    }
}

/// -1, 0 or 1; NaN for NaN.
pub(super) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}
