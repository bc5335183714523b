//! Activation functions and their slopes.

use super::math::Math;
use super::vector::{Kernel, Vector};
use spectral_core::Activation;
use std::marker::PhantomData;

/// An element-wise activation on vectors; formulas and arguments as in [`Activation`].
trait Pointwise<E: Math>: Copy {
    fn value<V: Vector<Elem = E>>(self, x: V) -> V;
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V;
}

#[derive(Clone, Copy)]
struct Identity;
#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct LeakyRelu(f64);
#[derive(Clone, Copy)]
struct Elu(f64);
#[derive(Clone, Copy)]
struct Gelu;
#[derive(Clone, Copy)]
struct Sigmoid;
#[derive(Clone, Copy)]
struct Tanh;
#[derive(Clone, Copy)]
struct Softplus;

#[derive(Clone, Copy)]
struct Silu;
#[derive(Clone, Copy)]
struct HardSigmoid;
#[derive(Clone, Copy)]
struct HardSwish;
#[derive(Clone, Copy)]
struct Clip(f64, f64);

#[inline(always)]
fn constant<V: Vector>(value: f64) -> V {
    V::splat(spectral_core::Element::of(value))
}

impl<E: Math> Pointwise<E> for Identity {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        x
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, _: V) -> V {
        constant(1.0)
    }
}

impl<E: Math> Pointwise<E> for Relu {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        // The second operand is what a NaN leaves.
        V::zero().max(x)
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        V::select(at.gt(V::zero()), constant(1.0), V::zero())
    }
}

impl<E: Math> Pointwise<E> for LeakyRelu {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        V::select(x.gt(V::zero()), x, x.mul(constant(self.0)))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        V::select(at.gt(V::zero()), constant(1.0), constant(self.0))
    }
}

impl<E: Math> Pointwise<E> for Elu {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        V::select(x.gt(V::zero()), x, E::exp_m1_lanes(V::zero().min(x)).mul(constant(self.0)))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        V::select(at.gt(V::zero()), constant(1.0), at.add(constant(self.0)))
    }
}

impl<E: Math> Pointwise<E> for Gelu {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        x.mul(E::normal_cdf_lanes(x))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        let density =
            E::exp_lanes(at.mul(at).mul(constant(-0.5))).mul(constant(1.0 / (2.0 * std::f64::consts::PI).sqrt()));
        at.fma(density, E::normal_cdf_lanes(at))
    }
}

impl<E: Math> Pointwise<E> for Sigmoid {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        let small = E::exp_lanes(V::zero().sub(x.abs()));
        let upper = constant::<V>(1.0).div(small.add(constant(1.0)));
        V::select(x.gt(V::zero()), upper, small.mul(upper))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        at.mul(constant::<V>(1.0).sub(at))
    }
}

impl<E: Math> Pointwise<E> for Tanh {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        E::tanh_lanes(x)
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        constant::<V>(1.0).sub(at.mul(at))
    }
}

impl<E: Math> Pointwise<E> for Softplus {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        V::zero().max(x).add(E::ln_1p_lanes(E::exp_lanes(V::zero().sub(x.abs()))))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        V::zero().sub(E::exp_m1_lanes(V::zero().sub(at)))
    }
}

impl<E: Math> Pointwise<E> for Silu {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        x.mul(Pointwise::<E>::value(Sigmoid, x))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        let s: V = Pointwise::<E>::value(Sigmoid, at);
        s.mul(at.fma(constant::<V>(1.0).sub(s), constant(1.0)))
    }
}

/// `(x + 3) / 6`: the sum is exact near -3, where `x / 6 + 1/2` would cancel.
#[inline(always)]
fn sixth<V: Vector>(x: V) -> V
where
    V::Elem: Math,
{
    x.add(constant(3.0)).mul(constant(1.0 / 6.0))
}

impl<E: Math> Pointwise<E> for HardSigmoid {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        // The second operand is what a NaN leaves.
        constant::<V>(1.0).min(V::zero().max(sixth(x)))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        let below = V::select(constant::<V>(1.0).gt(at), constant(1.0 / 6.0), V::zero());
        V::select(at.gt(V::zero()), below, V::zero())
    }
}

impl<E: Math> Pointwise<E> for HardSwish {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        let inner = x.mul(sixth(x));
        let above = V::select(constant::<V>(3.0).le(x), x, inner);
        V::select(x.le(constant(-3.0)), V::zero(), above)
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        let inner = at.fma(constant(1.0 / 3.0), constant(0.5));
        let above = V::select(constant::<V>(3.0).le(at), constant(1.0), inner);
        V::select(at.le(constant(-3.0)), V::zero(), above)
    }
}

impl<E: Math> Pointwise<E> for Clip {
    #[inline(always)]
    fn value<V: Vector<Elem = E>>(self, x: V) -> V {
        // The second operand is what a NaN leaves.
        constant::<V>(self.1).min(constant::<V>(self.0).max(x))
    }
    #[inline(always)]
    fn slope<V: Vector<Elem = E>>(self, at: V) -> V {
        let below = V::select(constant::<V>(self.1).gt(at), constant(1.0), V::zero());
        V::select(at.gt(constant(self.0)), below, V::zero())
    }
}

/// Evaluates `$e` with `$p` bound to the [`Pointwise`] of `$activation`.
macro_rules! pointwise {
    ($activation:expr, $p:ident => $e:expr) => {
        match $activation {
            Activation::Identity | Activation::Softmax => pointwise!(@ Identity, $p => $e),
            Activation::Relu => pointwise!(@ Relu, $p => $e),
            Activation::LeakyRelu { slope } => pointwise!(@ LeakyRelu(slope), $p => $e),
            Activation::Elu { alpha } => pointwise!(@ Elu(alpha), $p => $e),
            Activation::Gelu => pointwise!(@ Gelu, $p => $e),
            Activation::Sigmoid => pointwise!(@ Sigmoid, $p => $e),
            Activation::Tanh => pointwise!(@ Tanh, $p => $e),
            Activation::Softplus => pointwise!(@ Softplus, $p => $e),
            Activation::Silu => pointwise!(@ Silu, $p => $e),
            Activation::HardSigmoid => pointwise!(@ HardSigmoid, $p => $e),
            Activation::HardSwish => pointwise!(@ HardSwish, $p => $e),
            Activation::Clip { min, max } => pointwise!(@ Clip(min, max), $p => $e),
        }
    };
    (@ $value:expr, $p:ident => $e:expr) => {{
        let $p = $value;
        $e
    }};
}

/// `to = act(from)` for an element-wise activation.
pub(crate) struct Activate<'a, E> {
    activation: Activation,
    from: *const E,
    to: *mut E,
    len: usize,
    borrow: PhantomData<&'a mut E>,
}

impl<'a, E> Activate<'a, E> {
    /// From one slice to another of the same length.
    pub(crate) fn new(activation: Activation, from: &'a [E], to: &'a mut [E]) -> Self {
        assert_eq!(from.len(), to.len());
        Self { activation, from: from.as_ptr(), to: to.as_mut_ptr(), len: to.len(), borrow: PhantomData }
    }

    /// Where it is.
    pub(crate) fn in_place(activation: Activation, values: &'a mut [E]) -> Self {
        let (len, to) = (values.len(), values.as_mut_ptr());
        Self { activation, from: to, to, len, borrow: PhantomData }
    }

    /// On memory that may be the same for both.
    ///
    /// # Safety
    /// `from` is valid for reads and `to` for writes of `len` elements; they are equal or apart.
    pub(crate) unsafe fn raw(activation: Activation, from: *const E, to: *mut E, len: usize) -> Self {
        Self { activation, from, to, len, borrow: PhantomData }
    }

    #[inline(always)]
    fn map<V: Vector<Elem = E>, P: Pointwise<E>>(&self, p: P)
    where
        E: Math,
    {
        let mut i = 0;
        // SAFETY: `i` and the flagged lanes stay below `len`; each vector is read before it is written.
        unsafe {
            while i + V::LANES <= self.len {
                p.value(V::load(self.from.add(i))).store(self.to.add(i));
                i += V::LANES;
            }
            if i < self.len {
                let rest = V::first(self.len - i);
                p.value(V::load_masked(self.from.add(i), rest)).store_masked(self.to.add(i), rest);
            }
        }
    }
}

impl<E: Math> Kernel<E> for Activate<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        pointwise!(self.activation, p => self.map::<V, _>(p));
    }
}

/// `dy = dy * act'(at)` in place for an element-wise activation.
pub(crate) struct ActivateVjp<'a, E> {
    pub(crate) activation: Activation,
    pub(crate) at: &'a [E],
    pub(crate) dy: &'a mut [E],
}

impl<E: Math> ActivateVjp<'_, E> {
    #[inline(always)]
    fn map<V: Vector<Elem = E>, P: Pointwise<E>>(&mut self, p: P) {
        let len = self.dy.len().min(self.at.len());
        let (at, dy) = (self.at.as_ptr(), self.dy.as_mut_ptr());
        let mut i = 0;
        // SAFETY: `i` and the flagged lanes stay below `len`.
        unsafe {
            while i + V::LANES <= len {
                V::load(dy.add(i)).mul(p.slope(V::load(at.add(i)))).store(dy.add(i));
                i += V::LANES;
            }
            if i < len {
                let rest = V::first(len - i);
                let slope = p.slope(V::load_masked(at.add(i), rest));
                V::load_masked(dy.add(i), rest).mul(slope).store_masked(dy.add(i), rest);
            }
        }
    }
}

impl<E: Math> Kernel<E> for ActivateVjp<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(mut self) {
        pointwise!(self.activation, p => self.map::<V, _>(p));
    }
}
