//! Rows with a factor, a constant, a mean and a variance of their own.

use super::vector::{Kernel, Lanes, Vector};
use spectral_core::Accum;

/// Some rows of `to (+)= factor * x + bias`.
pub(crate) struct Scale<'a, E> {
    pub(crate) x: &'a [E],
    pub(crate) factor: &'a [E],
    pub(crate) bias: Option<&'a [E]>,
    pub(crate) to: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for Scale<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = self.to.len() / self.factor.len().max(1);
        for (u, &factor) in self.factor.iter().enumerate() {
            let (factor, bias) = (V::splat(factor), V::splat(self.bias.map_or(E::of(0.0), |b| b[u])));
            let row = u * n..(u + 1) * n;
            map::<V>(&self.x[row.clone()], &self.x[row.clone()], &mut self.to[row], self.accum, |x, _| {
                x.fma(factor, bias)
            });
        }
    }
}

/// Some rows of `out[u] (+)= sum over i of a[u, i] * b[u, i]`.
pub(crate) struct RowDots<'a, E> {
    pub(crate) a: &'a [E],
    pub(crate) b: &'a [E],
    pub(crate) columns: usize,
    pub(crate) out: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for RowDots<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        for (u, out) in self.out.iter_mut().enumerate() {
            let row = u * self.columns..(u + 1) * self.columns;
            *out = self.accum.apply(*out, sum::<V>(&self.a[row.clone()], &self.b[row], |a, b, sum| a.fma(b, sum)));
        }
    }
}

/// Some rows of `to (+)= of` where `x > 0`, else `slope * of`.
pub(crate) struct Bent<'a, E> {
    pub(crate) x: &'a [E],
    pub(crate) of: &'a [E],
    pub(crate) slope: &'a [E],
    pub(crate) to: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for Bent<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = self.to.len() / self.slope.len().max(1);
        for (u, &slope) in self.slope.iter().enumerate() {
            let (slope, row) = (V::splat(slope), u * n..(u + 1) * n);
            map::<V>(&self.x[row.clone()], &self.of[row.clone()], &mut self.to[row], self.accum, |x, of| {
                V::select(x.gt(V::zero()), of, of.mul(slope))
            });
        }
    }
}

/// Some rows of `out[u] (+)= sum of x[u, i] * d[u, i]` over the values of `x` that are not above 0.
pub(crate) struct BentDots<'a, E> {
    pub(crate) x: &'a [E],
    pub(crate) d: &'a [E],
    pub(crate) columns: usize,
    pub(crate) out: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for BentDots<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        for (u, out) in self.out.iter_mut().enumerate() {
            let row = u * self.columns..(u + 1) * self.columns;
            let sum = sum::<V>(&self.x[row.clone()], &self.d[row], |x, d, sum| {
                V::select(x.gt(V::zero()), sum, x.fma(d, sum))
            });
            *out = self.accum.apply(*out, sum);
        }
    }
}

/// Some rows of `y = (x - mean) / sqrt(variance + epsilon)`, with the rows' own mean and variance.
pub(crate) struct Standard<'a, E> {
    pub(crate) x: &'a [E],
    pub(crate) columns: usize,
    pub(crate) epsilon: E,
    pub(crate) y: &'a mut [E],
    pub(crate) mean: &'a mut [E],
    pub(crate) variance: &'a mut [E],
}

impl<E: Lanes> Kernel<E> for Standard<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = E::of(self.columns as f64);
        for (u, (mean, variance)) in self.mean.iter_mut().zip(self.variance).enumerate() {
            let row = u * self.columns..(u + 1) * self.columns;
            let x = &self.x[row.clone()];
            if x.is_empty() {
                (*mean, *variance) = (E::of(0.0), E::of(0.0));
                continue;
            }
            *mean = sum::<V>(x, x, |x, _, sum| sum.add(x)) / n;
            let centre = V::splat(*mean);
            let square = |x: V, _: V, sum: V| {
                let off = x.sub(centre);
                off.fma(off, sum)
            };
            *variance = sum::<V>(x, x, square) / n;
            let factor = V::splat(E::of(1.0) / (*variance + self.epsilon).sqrt());
            map::<V>(x, x, &mut self.y[row], Accum::Replace, |x, _| x.sub(centre).mul(factor));
        }
    }
}

/// Some rows of `dx (+)= factor / sqrt(variance + epsilon) * (dy - mean(dy) - y * mean(y * dy))`.
pub(crate) struct StandardVjp<'a, E> {
    pub(crate) y: &'a [E],
    pub(crate) dy: &'a [E],
    pub(crate) columns: usize,
    pub(crate) variance: &'a [E],
    pub(crate) factor: &'a [E],
    pub(crate) epsilon: E,
    pub(crate) dx: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for StandardVjp<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let n = E::of(self.columns as f64);
        for (u, (&variance, &factor)) in self.variance.iter().zip(self.factor).enumerate() {
            let row = u * self.columns..(u + 1) * self.columns;
            let (y, dy) = (&self.y[row.clone()], &self.dy[row.clone()]);
            if y.is_empty() {
                continue;
            }
            let mean = V::splat(sum::<V>(dy, dy, |d, _, sum| sum.add(d)) / n);
            let along = V::splat(sum::<V>(y, dy, |y, d, sum| y.fma(d, sum)) / n);
            let factor = V::splat(factor / (variance + self.epsilon).sqrt());
            let value = |y: V, d: V| d.sub(mean).sub(y.mul(along)).mul(factor);
            map::<V>(y, dy, &mut self.dx[row], self.accum, value);
        }
    }
}

/// `to (+)= f(a, b)`; all slices are of the same length.
#[inline(always)]
fn map<V: Vector>(a: &[V::Elem], b: &[V::Elem], to: &mut [V::Elem], accum: Accum, f: impl Fn(V, V) -> V) {
    let len = to.len().min(a.len()).min(b.len());
    let mut i = 0;
    while i < len {
        let lanes = V::first((len - i).min(V::LANES));
        // SAFETY: the flagged lanes stay below `len`.
        unsafe {
            let v = f(V::load_masked(a.as_ptr().add(i), lanes), V::load_masked(b.as_ptr().add(i), lanes));
            let to = to.as_mut_ptr().add(i);
            let v = if accum == Accum::Add { V::load_masked(to, lanes).add(v) } else { v };
            v.store_masked(to, lanes);
        }
        i += V::LANES;
    }
}

/// `f` folded over both slices, which are of the same length, in four sums.
#[inline(always)]
fn sum<V: Vector>(a: &[V::Elem], b: &[V::Elem], f: impl Fn(V, V, V) -> V) -> V::Elem {
    let len = a.len().min(b.len());
    let mut sums = [V::zero(); 4];
    let mut i = 0;
    // SAFETY: `i` and the flagged lanes stay below `len`.
    unsafe {
        while i + 4 * V::LANES <= len {
            for (k, sum) in sums.iter_mut().enumerate() {
                let at = i + k * V::LANES;
                *sum = f(V::load(a.as_ptr().add(at)), V::load(b.as_ptr().add(at)), *sum);
            }
            i += 4 * V::LANES;
        }
        while i < len {
            let lanes = V::first((len - i).min(V::LANES));
            let (x, y) = (V::load_masked(a.as_ptr().add(i), lanes), V::load_masked(b.as_ptr().add(i), lanes));
            // Lanes past the end must keep their sum, whatever `f` makes of zeros.
            sums[0] = V::select(lanes, f(x, y, sums[0]), sums[0]);
            i += V::LANES;
        }
    }
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
}
