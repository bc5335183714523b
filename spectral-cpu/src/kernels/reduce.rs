//! Sums along rows, and the largest of all.

use super::vector::{Kernel, Lanes, Vector};
use spectral_core::{Accum, RowSum};

/// `sums[r] (+)= factor * sum f(x[r, :])` over rows of `columns` elements.
pub(crate) struct RowSums<'a, E> {
    pub(crate) sum: RowSum,
    pub(crate) x: &'a [E],
    pub(crate) columns: usize,
    pub(crate) sums: &'a mut [E],
    pub(crate) accum: Accum,
}

impl<E: Lanes> Kernel<E> for RowSums<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(mut self) {
        let done = if self.columns == 2 {
            match self.sum {
                RowSum::Plain => self.pairs::<V, 0>(),
                RowSum::Absolute => self.pairs::<V, 1>(),
                RowSum::Square => self.pairs::<V, 2>(),
            }
        } else {
            0
        };
        for (r, total) in self.sums.iter_mut().enumerate().skip(done) {
            let row = &self.x[r * self.columns..(r + 1) * self.columns];
            let new = match self.sum {
                RowSum::Plain => row_sum::<V, 0>(row),
                RowSum::Absolute => row_sum::<V, 1>(row),
                RowSum::Square => row_sum::<V, 2>(row),
            };
            *total = self.accum.apply(*total, new);
        }
    }
}

impl<E: Lanes> RowSums<'_, E> {
    /// Rows of two elements, a vector of rows at a time, as far as whole vectors go; returns how far.
    #[inline(always)]
    fn pairs<V: Vector<Elem = E>, const F: u8>(&mut self) -> usize {
        let whole = self.sums.len() / V::LANES * V::LANES;
        for r in (0..whole).step_by(V::LANES) {
            // SAFETY: there are sums for the rows of a vector from `r` on, and twice as many elements.
            unsafe {
                let x = self.x[2 * r..2 * r + 2 * V::LANES].as_ptr();
                let terms = [V::load(x), V::load(x.add(V::LANES))].map(|x| term::<V, F>(x, V::zero()));
                let to = self.sums.as_mut_ptr().add(r);
                let sums = V::pair_sums(terms);
                if self.accum == Accum::Add { V::load(to).add(sums) } else { sums }.store(to);
            }
        }
        whole
    }
}

/// `F` is 0 for the values themselves, 1 for their sizes, 2 for their squares.
#[inline(always)]
fn row_sum<V: Vector, const F: u8>(row: &[V::Elem]) -> V::Elem {
    let mut sums = [V::zero(); 4];
    let mut i = 0;
    // SAFETY: `i` and the flagged lanes stay inside the row.
    unsafe {
        while i + 4 * V::LANES <= row.len() {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = term::<V, F>(V::load(row.as_ptr().add(i + n * V::LANES)), *sum);
            }
            i += 4 * V::LANES;
        }
        while i < row.len() {
            let lanes = V::first((row.len() - i).min(V::LANES));
            sums[0] = term::<V, F>(V::load_masked(row.as_ptr().add(i), lanes), sums[0]);
            i += V::LANES;
        }
    }
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
}

#[inline(always)]
fn term<V: Vector, const F: u8>(x: V, sum: V) -> V {
    match F {
        0 => sum.add(x),
        1 => sum.add(x.abs()),
        _ => x.fma(x, sum),
    }
}

/// The largest size of an element; NaN where one is not finite.
pub(crate) struct Largest<'a, E>(pub(crate) &'a [E]);

impl<E: Lanes> Kernel<E> for Largest<'_, E> {
    type Output = E;
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) -> E {
        // `max` drops NaN; x - x is 0 for finite x and NaN for others, and NaN stays in a sum.
        let (mut most, mut finite) = ([V::zero(); 4], [V::zero(); 4]);
        let mut i = 0;
        while i + 4 * V::LANES <= self.0.len() {
            for n in 0..4 {
                // SAFETY: four vectors from `i` on are inside the slice.
                let x = unsafe { V::load(self.0.as_ptr().add(i)) };
                (most[n], finite[n]) = (most[n].max(x.abs()), finite[n].add(x.sub(x)));
                i += V::LANES;
            }
        }
        while i < self.0.len() {
            for n in 0..4 {
                let lanes = V::first(self.0.len().saturating_sub(i).min(V::LANES));
                // SAFETY: the flagged lanes are inside the slice.
                let x = unsafe { V::load_masked(self.0.as_ptr().wrapping_add(i), lanes) };
                (most[n], finite[n]) = (most[n].max(x.abs()), finite[n].add(x.sub(x)));
                i += V::LANES;
            }
        }
        let finite = finite[0].add(finite[1]).add(finite[2].add(finite[3]));
        let mut lanes = [E::of(0.0); 16];
        // SAFETY: no level has more than 16 lanes.
        unsafe { most[0].max(most[1]).max(most[2].max(most[3])).store(lanes.as_mut_ptr()) };
        lanes.into_iter().fold(E::of(0.0), |a, b| if b > a { b } else { a }) + finite.sum()
    }
}
