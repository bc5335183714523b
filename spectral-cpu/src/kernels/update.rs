//! Optimiser steps, one pass over value, gradient and state.

use super::vector::{Kernel, Lanes, Vector};
use spectral_core::backend::SUBNORMAL_CUT;
use spectral_core::{Mask, Rule, Update as Op};

/// The step of a rule on vectors: from the gradient and the state to what is multiplied with the rate.
trait Step<E: Lanes>: Copy {
    /// State tensors.
    const SLOTS: usize;
    fn step<V: Vector<Elem = E>>(self, g: V, state: &mut [V; 2]) -> V;
}

#[derive(Clone, Copy)]
struct Plain;
#[derive(Clone, Copy)]
struct Momentum<E> {
    momentum: E,
    nesterov: bool,
}
#[derive(Clone, Copy)]
struct Adam<E> {
    keep: [E; 2],
    take: [E; 2],
    /// What undoes the start at zero: of the mean, and of the root of the mean square.
    unbias: [E; 2],
    epsilon: E,
}
#[derive(Clone, Copy)]
struct Adamax<E>(Adam<E>);
#[derive(Clone, Copy)]
struct RmsProp<E> {
    keep: E,
    take: E,
    epsilon: E,
    inside: bool,
}

impl<E: Lanes> Step<E> for Plain {
    const SLOTS: usize = 0;
    #[inline(always)]
    fn step<V: Vector<Elem = E>>(self, g: V, _: &mut [V; 2]) -> V {
        g
    }
}

impl<E: Lanes> Step<E> for Momentum<E> {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn step<V: Vector<Elem = E>>(self, g: V, state: &mut [V; 2]) -> V {
        let momentum = V::splat(self.momentum);
        state[0] = momentum.fma(state[0], g);
        if self.nesterov { momentum.fma(state[0], g) } else { state[0] }
    }
}

impl<E: Lanes> Step<E> for Adam<E> {
    const SLOTS: usize = 2;
    #[inline(always)]
    fn step<V: Vector<Elem = E>>(self, g: V, state: &mut [V; 2]) -> V {
        state[0] = V::splat(self.keep[0]).fma(state[0], g.mul(V::splat(self.take[0])));
        state[1] = V::splat(self.keep[1]).fma(state[1], g.mul(g).mul(V::splat(self.take[1])));
        let root = state[1].sqrt().fma(V::splat(self.unbias[1]), V::splat(self.epsilon));
        state[0].mul(V::splat(self.unbias[0])).div(root)
    }
}

impl<E: Lanes> Step<E> for Adamax<E> {
    const SLOTS: usize = 2;
    #[inline(always)]
    fn step<V: Vector<Elem = E>>(self, g: V, state: &mut [V; 2]) -> V {
        state[0] = V::splat(self.0.keep[0]).fma(state[0], g.mul(V::splat(self.0.take[0])));
        state[1] = V::splat(self.0.keep[1]).mul(state[1]).max(g.abs());
        state[0].mul(V::splat(self.0.unbias[0])).div(state[1].add(V::splat(self.0.epsilon)))
    }
}

impl<E: Lanes> Step<E> for RmsProp<E> {
    const SLOTS: usize = 1;
    #[inline(always)]
    fn step<V: Vector<Elem = E>>(self, g: V, state: &mut [V; 2]) -> V {
        state[0] = V::splat(self.keep).fma(state[0], g.mul(g).mul(V::splat(self.take)));
        let epsilon = V::splat(self.epsilon);
        g.div(if self.inside { state[0].add(epsilon).sqrt() } else { state[0].sqrt().add(epsilon) })
    }
}

/// The part of an update from entry `first` on.
pub(crate) struct Update<'a, E> {
    pub(crate) op: Op<'a>,
    pub(crate) first: usize,
    pub(crate) value: &'a mut [E],
    pub(crate) gradient: &'a [E],
    pub(crate) state: [Option<&'a mut [E]>; 2],
}

impl<E: Lanes> Kernel<E> for Update<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let op = self.op;
        match op.rule {
            Rule::Sgd { momentum: 0.0, .. } => self.masked::<V, _>(Plain),
            Rule::Sgd { momentum, nesterov } => {
                self.masked::<V, _>(Momentum { momentum: E::of(momentum), nesterov });
            }
            Rule::Adam { beta1, beta2, epsilon } => self.masked::<V, _>(adam(&op, beta1, beta2, epsilon)),
            Rule::Adamax { beta1, beta2, epsilon } => self.masked::<V, _>(Adamax(adam(&op, beta1, beta2, epsilon))),
            Rule::RmsProp { rho, epsilon, epsilon_inside } => self.masked::<V, _>(RmsProp {
                keep: E::of(rho),
                take: E::of(1.0 - rho),
                epsilon: E::of(epsilon),
                inside: epsilon_inside,
            }),
        }
    }
}

fn adam<E: Lanes>(op: &Op<'_>, beta1: f64, beta2: f64, epsilon: f64) -> Adam<E> {
    Adam {
        keep: [E::of(beta1), E::of(beta2)],
        take: [E::of(1.0 - beta1), E::of(1.0 - beta2)],
        unbias: [E::of(1.0 / op.correction(beta1)), E::of(1.0 / op.correction(beta2).sqrt())],
        epsilon: E::of(epsilon),
    }
}

impl<E: Lanes> Update<'_, E> {
    #[inline(always)]
    fn masked<V: Vector<Elem = E>, S: Step<E>>(self, step: S) {
        let masked = self.op.pruned.is_some() || self.op.trainable.is_some();
        let pulled = self.op.l1 != 0.0 || self.op.l2 != 0.0 || self.op.decay != 0.0;
        match (masked, pulled) {
            (false, false) => self.all::<V, S, false, false>(step),
            (false, true) => self.all::<V, S, false, true>(step),
            (true, false) => self.all::<V, S, true, false>(step),
            (true, true) => self.all::<V, S, true, true>(step),
        }
    }

    /// `MASKED` entries are pruned or frozen, `PULLED` ones have a penalty or decay: most updates pay for neither.
    #[inline(always)]
    fn all<V: Vector<Elem = E>, S: Step<E>, const MASKED: bool, const PULLED: bool>(mut self, step: S) {
        let len = self.value.len();
        assert!(self.gradient.len() == len);
        let mut state = [std::ptr::null_mut(); 2];
        for (pointer, slot) in state.iter_mut().zip(&mut self.state).take(S::SLOTS) {
            let slot = slot.as_deref_mut().unwrap_or_default();
            assert!(slot.len() == len);
            *pointer = slot.as_mut_ptr();
        }
        let value = self.value.as_mut_ptr();
        let mut i = 0;
        while i < len {
            let count = (len - i).min(V::LANES);
            let inside = V::first(count);
            // SAFETY: the flagged lanes are below `len`, which is the length of all slices.
            unsafe {
                let (mut lanes, mut pruned) = (inside, V::first(0));
                if MASKED {
                    let trainable = self.op.trainable.map_or(u64::MAX, |m| bits(m, self.first + i));
                    let cut = self.op.pruned.map_or(0, |m| bits(m, self.first + i));
                    let inside = V::bits(inside);
                    lanes = V::mask((trainable | cut) & inside);
                    pruned = V::mask(cut & inside);
                }
                let w = V::load_masked(value.add(i), inside);
                let g = V::load_masked(self.gradient.as_ptr().add(i), inside);
                let mut s = [V::zero(); 2];
                for n in 0..S::SLOTS {
                    s[n] = V::load_masked(state[n].add(i), inside);
                }
                let mut w = self.entry::<V, S, PULLED>(w, g, &mut s, step);
                if MASKED {
                    w = V::select(pruned, V::zero(), w);
                    s = s.map(|s| V::select(pruned, V::zero(), s));
                }
                w.store_masked(value.add(i), lanes);
                for n in 0..S::SLOTS {
                    s[n].store_masked(state[n].add(i), lanes);
                }
            }
            i += V::LANES;
        }
    }

    /// The new value of one vector.
    #[inline(always)]
    fn entry<V: Vector<Elem = E>, S: Step<E>, const PULLED: bool>(&self, w: V, g: V, s: &mut [V; 2], step: S) -> V {
        let of = |x: f64| V::splat(E::of(x));
        let penalty = if PULLED { w.fma(of(2.0 * self.op.l2), signed(of(self.op.l1), w)) } else { V::zero() };
        let g = g.fma(of(self.op.gradient_scale), penalty);
        let step = step.step(g, s);
        for s in s {
            *s = cut(*s);
        }
        let kept = if PULLED { V::zero().sub(w).fma(of(self.op.rate * self.op.decay), w) } else { w };
        cut(kept.sub(step.mul(of(self.op.rate))))
    }
}

/// `size` with the sign of `x`; 0 where `x` is.
#[inline(always)]
fn signed<V: Vector>(size: V, x: V) -> V {
    V::select(x.gt(V::zero()), size, V::select(V::zero().gt(x), V::zero().sub(size), V::zero()))
}

/// 0 for what is closer to it than [`SUBNORMAL_CUT`].
#[inline(always)]
fn cut<V: Vector>(x: V) -> V {
    let limit = V::splat(<V::Elem as spectral_core::Element>::of(SUBNORMAL_CUT));
    V::select(limit.gt(x.abs()), V::zero(), x)
}

/// The bits of 64 entries from `at` on.
#[inline(always)]
fn bits(mask: &Mask, at: usize) -> u64 {
    let word = |i: usize| mask.words().get(i).copied().unwrap_or(0);
    // Shifted in two steps: by 64 where `at` is the start of a word.
    word(at / 64) >> (at % 64) | word(at / 64 + 1) << (63 - at % 64) << 1
}
