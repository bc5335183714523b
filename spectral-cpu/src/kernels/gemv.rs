//! Products with very few samples, bound by how fast the weights arrive.
//!
//! Forward, every row of the weights meets every sample as a dot product of two contiguous vectors. Backward, with one
//! sample, rows are added up, a panel of columns at a time.

use super::activation::Activate;
use super::math::Math;
use super::vector::{Kernel, Vector};
use super::{SharedMut, column_panels};
use crate::Cpu;
use crate::families::row_grain;
use crate::kernels::crew::Rows;
use spectral_core::{Accum, Activation};

/// The most samples for which [`gemv`] is the better choice.
pub(crate) const SAMPLES: usize = 8;

/// `y = act(W x + bias)` for up to [`SAMPLES`] samples; `x` is `[inputs, samples]`, `w` is `[rows, inputs]`.
pub(crate) struct Gemv<'a, E> {
    pub(crate) w: &'a [E],
    pub(crate) x: &'a [E],
    pub(crate) inputs: usize,
    pub(crate) samples: usize,
    pub(crate) bias: Option<&'a [E]>,
    pub(crate) activation: Activation,
}

/// Writes `op` to `y`, `[rows, samples]`; with `activated`, that gets the activated values and `y` keeps the others.
pub(crate) fn gemv<E: Math>(cpu: &Cpu, op: &Gemv<'_, E>, y: &mut [E], activated: Option<&mut [E]>) {
    let (inputs, samples) = (op.inputs, op.samples);
    assert!((1..=SAMPLES).contains(&samples) && op.x.len() == inputs * samples);
    let rows = y.len() / samples;
    assert!(op.w.len() == rows * inputs && y.len() == rows * samples);
    assert!(op.bias.is_none_or(|b| b.len() == rows));
    let width = samples;
    let results = (Rows { values: y, width }, activated.map(|values| Rows { values, width }));
    cpu.scratch().with(if samples == 1 { 0 } else { op.x.len() }, |transposed: &mut [E]| {
        let x = if samples == 1 {
            op.x
        } else {
            for (sample, row) in transposed.chunks_exact_mut(inputs.max(1)).enumerate() {
                row.iter_mut().zip(op.x[sample..].iter().step_by(samples)).for_each(|(to, from)| *to = *from);
            }
            &*transposed
        };
        cpu.crew().share(rows, row_grain(inputs), results, |top, bottom, (y, activated)| {
            let w = &op.w[top * inputs..bottom * inputs];
            let bias = op.bias.map(|b| &b[top..bottom]);
            let len = y.values.len();
            cpu.simd().run(Dots { w, x, inputs, samples, bias, y: &mut *y.values });
            // Taken after the products are written: nothing else borrows the rows from here on.
            let from = y.values.as_mut_ptr();
            // SAFETY: both are this panel's rows, `len` values.
            unsafe {
                match activated {
                    Some(to) => cpu.simd().run(Activate::raw(op.activation, from, to.values.as_mut_ptr(), len)),
                    None if op.activation == Activation::Identity => {}
                    None => cpu.simd().run(Activate::raw(op.activation, from, from, len)),
                }
            }
        });
    });
}

/// Some rows; `x` is `[samples, inputs]`.
struct Dots<'a, E> {
    w: &'a [E],
    x: &'a [E],
    inputs: usize,
    samples: usize,
    bias: Option<&'a [E]>,
    y: &'a mut [E],
}

impl<E: Math> Kernel<E> for Dots<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(mut self) {
        match self.samples {
            1 => self.rows::<V, 4, 1>(),
            2 => self.rows::<V, 4, 2>(),
            3 => self.rows::<V, 4, 3>(),
            4 => self.rows::<V, 4, 4>(),
            5 => self.rows::<V, 2, 5>(),
            6 => self.rows::<V, 2, 6>(),
            7 => self.rows::<V, 2, 7>(),
            _ => self.rows::<V, 2, 8>(),
        }
    }
}

impl<E: Math> Dots<'_, E> {
    /// `R` rows at a time, then one.
    #[inline(always)]
    fn rows<V: Vector<Elem = E>, const R: usize, const N: usize>(&mut self) {
        let rows = self.y.len() / N;
        let mut row = 0;
        while row + R <= rows {
            self.block::<V, R, N>(row);
            row += R;
        }
        while row < rows {
            self.block::<V, 1, N>(row);
            row += 1;
        }
    }

    #[inline(always)]
    fn block<V: Vector<Elem = E>, const R: usize, const N: usize>(&mut self, row: usize) {
        let (w, x) = (self.w[row * self.inputs..(row + R) * self.inputs].as_ptr(), self.x.as_ptr());
        let mut sums = [[V::zero(); N]; R];
        let mut i = 0;
        // SAFETY: R rows of `w` and N of `x` hold `inputs` elements each; masked lanes are not touched.
        unsafe {
            while i + V::LANES <= self.inputs {
                let x: [V; N] = std::array::from_fn(|n| V::load(x.add(n * self.inputs + i)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = V::load(w.add(r * self.inputs + i));
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = w.fma(x, *sum);
                    }
                }
                i += V::LANES;
            }
            if i < self.inputs {
                let rest = V::first(self.inputs - i);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = V::load_masked(w.add(r * self.inputs + i), rest);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = w.fma(V::load_masked(x.add(n * self.inputs + i), rest), *sum);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let bias = self.bias.map_or(E::of(0.0), |b| b[row + r]);
            for (n, sum) in sums.iter().enumerate() {
                self.y[(row + r) * N + n] = bias + sum.sum();
            }
        }
    }
}

/// `out (+)= W^T d` for one sample; `w` is `[d.len(), out.len()]`.
pub(crate) fn gemv_transposed<E: Math>(cpu: &Cpu, w: &[E], d: &[E], out: &mut [E], accum: Accum) {
    let columns = out.len();
    assert!(w.len() == d.len() * columns);
    let out = SharedMut(out.as_mut_ptr());
    column_panels(cpu, d.len(), columns, |panel| {
        cpu.simd().run(AddRows { w, d, columns, from: panel.start, to: panel.end, out: out.get(), accum });
    });
}

struct AddRows<'a, E> {
    w: &'a [E],
    d: &'a [E],
    columns: usize,
    from: usize,
    to: usize,
    out: *mut E,
    accum: Accum,
}

impl<E: Math> Kernel<E> for AddRows<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let mut column = self.from;
        // SAFETY: the columns stay inside the panel.
        unsafe {
            while column + 8 * V::LANES <= self.to {
                self.block::<V, 8>(column, V::first(V::LANES));
                column += 8 * V::LANES;
            }
            while column < self.to {
                self.block::<V, 1>(column, V::first((self.to - column).min(V::LANES)));
                column += V::LANES;
            }
        }
    }
}

impl<E: Math> AddRows<'_, E> {
    /// `N` vectors of columns, of the last one the lanes `last`.
    #[inline(always)]
    unsafe fn block<V: Vector<Elem = E>, const N: usize>(&self, column: usize, last: V::Mask) {
        let mut sums = [V::zero(); N];
        // SAFETY: the columns are in every row of `w`, and in this panel of `out`.
        unsafe {
            for (row, d) in self.d.iter().enumerate() {
                let (d, from) = (V::splat(*d), self.w.as_ptr().add(row * self.columns + column));
                for (n, sum) in sums.iter_mut().enumerate() {
                    let from = from.wrapping_add(n * V::LANES);
                    *sum = d.fma(if N > 1 { V::load(from) } else { V::load_masked(from, last) }, *sum);
                }
            }
            for (n, sum) in sums.into_iter().enumerate() {
                let to = self.out.add(column + n * V::LANES);
                let sum = if self.accum == Accum::Add { V::load_masked(to, last).add(sum) } else { sum };
                sum.store_masked(to, last);
            }
        }
    }
}
