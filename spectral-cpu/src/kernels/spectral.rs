//! Spectral weights `basis * (lambda_in - lambda_out)`.

use super::vector::{Kernel, Lanes, Vector};
use super::{SharedMut, column_panels};
use crate::Cpu;
use spectral_core::Accum;
use std::ops::Range;

/// Some rows of `to (+)= from * (lambda_in - lambda_out)`: the weight from the basis, or the gradient of the basis
/// from that of the weight.
pub(crate) struct Scale<'a, E> {
    pub(crate) from: &'a [E],
    pub(crate) inner: &'a [E],
    pub(crate) outer: &'a [E],
    pub(crate) to: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for Scale<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = self.inner.len();
        assert!(self.from.len() == n * self.outer.len() && self.to.len() == self.from.len());
        for (o, outer) in self.outer.iter().enumerate() {
            let outer = V::splat(*outer);
            let mut i = 0;
            while i < n {
                let lanes = V::first((n - i).min(V::LANES));
                // SAFETY: the flagged lanes are in row `o` of both matrices.
                unsafe {
                    let gap = V::load_masked(self.inner.as_ptr().add(i), lanes).sub(outer);
                    let v = V::load_masked(self.from.as_ptr().add(o * n + i), lanes).mul(gap);
                    let to = self.to.as_mut_ptr().add(o * n + i);
                    let v = if self.accum == Accum::Add { V::load_masked(to, lanes).add(v) } else { v };
                    v.store_masked(to, lanes);
                }
                i += V::LANES;
            }
        }
    }
}

/// Some rows of `out[o] (+)= -sum over i of a[o, i] * b[o, i]`.
pub(crate) struct OuterGradient<'a, E> {
    pub(crate) a: &'a [E],
    pub(crate) b: &'a [E],
    pub(crate) columns: usize,
    pub(crate) out: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for OuterGradient<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = self.columns;
        assert!(self.a.len() == n * self.out.len() && self.b.len() == self.a.len());
        for (o, out) in self.out.iter_mut().enumerate() {
            let mut sums = [V::zero(); 2];
            let mut i = 0;
            while i < n {
                // SAFETY: the flagged lanes are in row `o` of both matrices.
                unsafe {
                    for (k, sum) in sums.iter_mut().enumerate() {
                        let from = i + k * V::LANES;
                        let lanes = V::first(n.saturating_sub(from).min(V::LANES));
                        let a = V::load_masked(self.a.as_ptr().wrapping_add(o * n + from), lanes);
                        *sum = a.fma(V::load_masked(self.b.as_ptr().wrapping_add(o * n + from), lanes), *sum);
                    }
                }
                i += 2 * V::LANES;
            }
            *out = self.accum.apply(*out, E::of(0.0) - sums[0].add(sums[1]).sum());
        }
    }
}

/// `out[i] (+)= sum over o of a[o, i] * b[o, i]`; panels are columns, so that each sum has one order.
pub(crate) fn inner_gradient<E: Lanes>(cpu: &Cpu, a: &[E], b: &[E], out: &mut [E], accum: Accum) {
    let columns = out.len();
    let rows = a.len() / columns.max(1);
    assert!(a.len() == rows * columns && b.len() == a.len());
    let out = SharedMut(out.as_mut_ptr());
    column_panels(cpu, rows, columns, |panel| {
        cpu.simd().run(InnerGradient { a, b, rows, columns, panel, out: out.get(), accum });
    });
}

struct InnerGradient<'a, E> {
    a: &'a [E],
    b: &'a [E],
    rows: usize,
    columns: usize,
    panel: Range<usize>,
    out: *mut E,
    accum: Accum,
}

impl<E: Lanes> Kernel<E> for InnerGradient<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        const WIDE: usize = 4;
        let mut column = self.panel.start;
        while column < self.panel.end {
            let mut sums = [V::zero(); WIDE];
            let mut lanes = [V::first(0); WIDE];
            for (k, lanes) in lanes.iter_mut().enumerate() {
                *lanes = V::first(self.panel.end.saturating_sub(column + k * V::LANES).min(V::LANES));
            }
            // SAFETY: flagged lanes are columns of this panel.
            unsafe {
                for r in 0..self.rows {
                    for k in 0..WIDE {
                        let at = r * self.columns + column + k * V::LANES;
                        let a = V::load_masked(self.a.as_ptr().wrapping_add(at), lanes[k]);
                        sums[k] = a.fma(V::load_masked(self.b.as_ptr().wrapping_add(at), lanes[k]), sums[k]);
                    }
                }
                for k in 0..WIDE {
                    let to = self.out.wrapping_add(column + k * V::LANES);
                    let old = if self.accum == Accum::Add { V::load_masked(to, lanes[k]) } else { V::zero() };
                    old.add(sums[k]).store_masked(to, lanes[k]);
                }
            }
            column += WIDE * V::LANES;
        }
    }
}
