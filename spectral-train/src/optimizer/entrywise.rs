//! Optimisers without a kernel: a formula for one entry, applied on the host.

use super::StepContext;
use spectral_core::backend::SUBNORMAL_CUT;
use spectral_core::{DType, Element, Error, ParamView, Result, Tensor, Trainable};

/// Moves every entry of a parameter by a formula of `N` state tensors: `w -= rate (decay w + step)`.
///
/// `rule` takes the gradient, penalties included, and the state of an entry; it returns the step and the new state.
/// Pruned entries get value and state 0, frozen ones keep both, as in [`Update`](spectral_core::Update). Computes in
/// f64. Works in place where values are in main memory; elsewhere they are fetched and written back.
pub(super) fn step<const N: usize>(
    cx: &StepContext<'_>,
    param: ParamView<'_>,
    value: &mut Tensor,
    gradient: &Tensor,
    state: &mut [Tensor],
    decay: f64,
    rule: impl Fn(f64, [f64; N]) -> (f64, [f64; N]),
) -> Result<()> {
    let found = state.len();
    let Ok(state) = <&mut [Tensor; N]>::try_from(state) else {
        return Err(Error::shape("optimizer step", format!("{N} state tensors"), found));
    };
    for shape in state.iter().map(Tensor::shape).chain([gradient.shape()]) {
        if shape != value.shape() {
            return Err(Error::shape("optimizer step", value.shape(), shape));
        }
    }
    let walk = Walk { cx, param, decay, rule };
    let done = match value.dtype() {
        DType::F32 => walk.in_place::<f32, N>(value, gradient, state),
        DType::F64 => walk.in_place::<f64, N>(value, gradient, state),
    };
    if done {
        return Ok(());
    }
    let backend = cx.backend;
    let (mut w, g) = (backend.download(value)?, backend.download(gradient)?);
    let mut s = state.iter().map(|s| backend.download(s)).collect::<Result<Vec<_>>>()?;
    let mut slices = s.iter_mut().map(Vec::as_mut_slice);
    walk.entries::<f64, N>(&mut w, &g, std::array::from_fn(|_| slices.next().unwrap_or_default()));
    backend.write(&w, value)?;
    state.iter_mut().zip(&s).try_for_each(|(t, s)| backend.write(s, t))
}

struct Walk<'a, R> {
    cx: &'a StepContext<'a>,
    param: ParamView<'a>,
    decay: f64,
    rule: R,
}

impl<R> Walk<'_, R> {
    /// Whether all tensors are in main memory, and were moved there.
    fn in_place<E: Element, const N: usize>(
        &self,
        value: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor; N],
    ) -> bool
    where
        R: Fn(f64, [f64; N]) -> (f64, [f64; N]),
    {
        let (Ok(w), Ok(g)) = (value.host_mut::<E>(), gradient.host::<E>()) else { return false };
        let mut slices = state.iter_mut().map(|s| s.host_mut::<E>().ok());
        let slices: [Option<&mut [E]>; N] = std::array::from_fn(|_| slices.next().flatten());
        if slices.iter().any(Option::is_none) {
            return false;
        }
        self.entries(w, g, slices.map(Option::unwrap_or_default));
        true
    }

    fn entries<E: Element, const N: usize>(&self, value: &mut [E], gradient: &[E], mut state: [&mut [E]; N])
    where
        R: Fn(f64, [f64; N]) -> (f64, [f64; N]),
    {
        let (cx, param) = (self.cx, &self.param);
        let cut = |x: f64| E::of(if x.abs() < SUBNORMAL_CUT { 0.0 } else { x });
        let penalty = param.penalty;
        for (i, (w, g)) in value.iter_mut().zip(gradient).enumerate() {
            if param.pruned.is_some_and(|m| m.contains(i)) {
                *w = E::zero();
                state.iter_mut().for_each(|s| s[i] = E::zero());
                continue;
            }
            if matches!(param.trainable, Trainable::Only(mask) if !mask.contains(i)) {
                continue;
            }
            let now = w.wide();
            let pull = 2.0 * penalty.l2 * now + penalty.l1 * sign(now);
            let before = std::array::from_fn(|k| state[k][i].wide());
            let (step, after) = (self.rule)(cx.gradient_scale * g.wide() + pull, before);
            *w = cut(now - cx.rate * self.decay * now - cx.rate * step);
            state.iter_mut().zip(after).for_each(|(s, after)| s[i] = cut(after));
        }
    }
}

/// -1, 0 or 1; NaN for NaN.
pub(super) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}
