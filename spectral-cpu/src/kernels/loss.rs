//! Losses with their gradients, a vector of samples at a time.

use super::math::Math;
use super::vector::{Kernel, Vector};
use super::{SharedMut, column_panel};
use crate::Cpu;
use spectral_core::{Accum, LossKind};
use std::ops::Range;

/// A loss over `[rows, columns]`, row-major.
pub(crate) struct Loss<'a, E> {
    pub(crate) kind: LossKind,
    pub(crate) outputs: &'a [E],
    pub(crate) targets: &'a [E],
    pub(crate) columns: usize,
    pub(crate) scale: E,
    pub(crate) accum: Accum,
}

/// The loss summed over the samples and the number of hits; writes the gradient where asked for.
pub(crate) fn loss<E: Math>(cpu: &Cpu, op: &Loss<'_, E>, gradient: Option<&mut [E]>) -> [f64; 2] {
    let rows = op.outputs.len() / op.columns.max(1);
    assert!(op.targets.len() == op.outputs.len() && rows * op.columns == op.outputs.len());
    assert!(gradient.as_ref().is_none_or(|g| g.len() == op.outputs.len()));
    let gradient = gradient.map(|g| SharedMut(g.as_mut_ptr()));
    let run = |columns: Range<usize>| {
        cpu.simd().run(Panel { op, rows, columns, gradient: gradient.as_ref().map(SharedMut::get) })
    };
    let width = column_panel(rows);
    let panels = op.columns.div_ceil(width);
    if panels <= 1 {
        return run(0..op.columns);
    }
    cpu.scratch().with(2 * panels, |sums: &mut [f64]| {
        let shared = SharedMut(sums.as_mut_ptr());
        cpu.crew().each(panels, |i| {
            let part = run(i * width..op.columns.min((i + 1) * width));
            // SAFETY: `sums` holds one pair for each panel.
            unsafe { shared.get().cast::<[f64; 2]>().add(i).write(part) };
        });
        sums.chunks_exact(2).fold([0.0; 2], |t, s| [t[0] + s[0], t[1] + s[1]])
    })
}

struct Panel<'a, E> {
    op: &'a Loss<'a, E>,
    rows: usize,
    columns: Range<usize>,
    gradient: Option<*mut E>,
}

impl<E: Math> Kernel<E> for Panel<'_, E> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) -> [f64; 2] {
        let mut totals = [0.0; 2];
        let mut column = self.columns.start;
        while column < self.columns.end {
            let count = (self.columns.end - column).min(V::LANES);
            // SAFETY: `column + count` is at most the end of the panel.
            let [sum, hits] = unsafe { self.samples::<V>(column, count) };
            totals = [totals[0] + sum, totals[1] + hits];
            column += V::LANES;
        }
        totals
    }
}

impl<E: Math> Panel<'_, E> {
    /// `count` samples from `column` on.
    #[inline(always)]
    unsafe fn samples<V: Vector<Elem = E>>(&self, column: usize, count: usize) -> [f64; 2] {
        let lanes = V::first(count);
        let at = |r: usize| r * self.op.columns + column;
        let (y, t) = (self.op.outputs.as_ptr(), self.op.targets.as_ptr());
        // SAFETY: rows and flagged lanes are inside both slices, whose lengths `loss` has checked.
        unsafe {
            let hits = self.hits::<V>(column, lanes);
            let mut sums = [0.0; 16];
            match self.op.kind {
                LossKind::SoftmaxCrossEntropy => {
                    let mut top = V::splat(E::neg_infinity());
                    for r in 0..self.rows {
                        top = V::load_masked(y.add(at(r)), lanes).max(top);
                    }
                    let (mut sum, mut mass, mut aligned) = (V::zero(), V::zero(), V::zero());
                    for r in 0..self.rows {
                        let below = V::load_masked(y.add(at(r)), lanes).sub(top);
                        let t = V::load_masked(t.add(at(r)), lanes);
                        sum = sum.add(E::exp_lanes(below));
                        mass = mass.add(t);
                        aligned = t.fma(below, aligned);
                    }
                    // -sum t (y - top - ln sum) = mass ln sum - sum t (y - top).
                    let (sum_of, mass_of, aligned_of) = (spread(sum), spread(mass), spread(aligned));
                    for i in 0..count {
                        sums[i] = mass_of[i].wide() * sum_of[i].wide().ln() - aligned_of[i].wide();
                    }
                    let share = mass.div(sum);
                    for r in 0..self.rows {
                        let p = E::exp_lanes(V::load_masked(y.add(at(r)), lanes).sub(top));
                        let d = p.mul(share).sub(V::load_masked(t.add(at(r)), lanes));
                        self.put(at(r), d.mul(V::splat(self.op.scale)), lanes);
                    }
                }
                LossKind::MeanSquaredError => {
                    let factor = V::splat(self.op.scale * E::of(2.0 / self.rows as f64));
                    let mut sum = V::zero();
                    for r in 0..self.rows {
                        let d = V::load_masked(y.add(at(r)), lanes).sub(V::load_masked(t.add(at(r)), lanes));
                        sum = d.fma(d, sum);
                        self.put(at(r), d.mul(factor), lanes);
                    }
                    for (total, sum) in sums.iter_mut().zip(spread(sum)) {
                        *total = sum.wide() / self.rows as f64;
                    }
                }
            }
            [sums[..count].iter().sum(), f64::from(hits)]
        }
    }

    /// Samples whose first largest output is in the row of their first largest target.
    #[inline(always)]
    unsafe fn hits<V: Vector<Elem = E>>(&self, column: usize, lanes: V::Mask) -> u32 {
        let first = |values: &[E]| {
            let mut row = V::zero();
            if self.rows == 0 {
                return row;
            }
            // SAFETY: as for `samples`.
            unsafe {
                let mut best = V::load_masked(values.as_ptr().add(column), lanes);
                for r in 1..self.rows {
                    let v = V::load_masked(values.as_ptr().add(r * self.op.columns + column), lanes);
                    let larger = v.gt(best);
                    best = V::select(larger, v, best);
                    row = V::select(larger, V::splat(E::of(r as f64)), row);
                }
            }
            row
        };
        let apart = first(self.op.outputs).sub(first(self.op.targets)).abs();
        (V::bits(apart.le(V::zero())) & V::bits(lanes)).count_ones()
    }

    /// Stores a part of the gradient, if it is wanted.
    #[inline(always)]
    unsafe fn put<V: Vector<Elem = E>>(&self, at: usize, d: V, lanes: V::Mask) {
        let Some(gradient) = self.gradient else { return };
        // SAFETY: `at` and the flagged lanes are in this panel's part of the gradient.
        unsafe {
            let to = gradient.add(at);
            let d = if self.op.accum == Accum::Add { V::load_masked(to, lanes).add(d) } else { d };
            d.store_masked(to, lanes);
        }
    }
}

/// The lanes as an array.
#[inline(always)]
fn spread<V: Vector>(v: V) -> [V::Elem; 16] {
    let mut lanes = [<V::Elem as spectral_core::Element>::of(0.0); 16];
    // SAFETY: no level has more than 16 lanes.
    unsafe { v.store(lanes.as_mut_ptr()) };
    lanes
}
