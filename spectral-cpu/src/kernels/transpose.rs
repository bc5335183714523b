//! Samples, one behind the other, as features with the batch innermost.

use super::crew::Rows;
use super::vector::{Kernel, Lanes, Vector};
use crate::Cpu;
use crate::families::row_grain;

/// `to[f * batch + b] = table[sample(b) * features + f]`, `to` being `[features, batch]`.
pub(crate) fn transpose<E: Lanes>(
    cpu: &Cpu,
    (table, features): (&[E], usize),
    sample: &(dyn Fn(usize) -> usize + Sync),
    to: &mut [E],
) {
    if to.is_empty() {
        return;
    }
    assert!(to.len().is_multiple_of(features));
    let batch = to.len() / features;
    cpu.crew().share(features, row_grain(batch), Rows { values: to, width: batch }, |first, end, to| {
        cpu.simd().run(Transpose { table, features, sample, range: (first, end), batch, to: to.values });
    });
}

/// The features of `range`.
struct Transpose<'a, E> {
    table: &'a [E],
    features: usize,
    sample: &'a (dyn Fn(usize) -> usize + Sync),
    range: (usize, usize),
    batch: usize,
    to: &'a mut [E],
}

/// Samples of a vector from which on it is worth filling.
const SOME: usize = 4;

impl<E: Lanes> Kernel<E> for Transpose<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        let (first, end) = self.range;
        // What of a sample is in the range.
        let row = |b: usize| &self.table[(self.sample)(b) * self.features..][first..end];
        if self.batch == 1 {
            return self.to.copy_from_slice(row(0));
        }
        let filled = if self.batch % V::LANES < SOME { self.batch / V::LANES * V::LANES } else { self.batch };
        for b in (0..filled).step_by(V::LANES) {
            let count = V::LANES.min(filled - b);
            // Those past the last are copies of it.
            let rows: [&[E]; 16] = std::array::from_fn(|i| row(b + i.min(count - 1)));
            let whole = (end - first) / 4 * 4;
            for f in (0..whole).step_by(4) {
                // SAFETY: each row has 4 elements from `f` on; the flagged lanes of a feature are its samples from `b`
                // on.
                unsafe {
                    let rows: [*const E; 16] = std::array::from_fn(|i| rows[i].as_ptr().add(f));
                    let to = self.to.as_mut_ptr().add(f * self.batch + b);
                    for (k, v) in V::columns4(&rows).into_iter().enumerate() {
                        v.store_masked(to.add(k * self.batch), V::first(count));
                    }
                }
            }
            for f in whole..end - first {
                for (to, row) in self.to[f * self.batch + b..][..count].iter_mut().zip(&rows) {
                    *to = row[f];
                }
            }
        }
        for b in filled..self.batch {
            for (to, from) in self.to[b..].iter_mut().step_by(self.batch).zip(row(b)) {
                *to = *from;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CpuOptions, Simd};

    #[test]
    fn every_element_goes_to_its_place() {
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let cpu = Cpu::with_options(CpuOptions { threads: Some(2), simd: Some(simd) }).unwrap();
            for (batch, features) in [(1, 7), (2, 3), (3, 9), (5, 4), (16, 17), (19, 30), (33, 50), (130, 785)] {
                let from: Vec<f32> = (0..batch * features).map(|i| i as f32).collect();
                let mut to = vec![f32::NAN; from.len()];
                let sample = |b: usize| (7 * b + 1) % batch;
                transpose(&cpu, (&from, features), &sample, &mut to);
                let wrong = (0..to.len()).find(|&i| to[i] != from[sample(i % batch) * features + i / batch]);
                assert_eq!(wrong, None, "{simd}, {batch} samples of {features}");
            }
        }
    }
}
