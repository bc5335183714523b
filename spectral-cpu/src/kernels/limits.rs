//! What the machine can do at best: multiply-adds on registers, and reads of more memory than its caches hold.

use super::reduce::RowSums;
use super::vector::{Kernel, Vector};
use crate::Cpu;
use spectral_core::{Accum, RowSum};
use std::hint::black_box;
use std::time::Instant;

/// The most that a backend's threads reach together, as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Floating-point operations a second in f32; a multiply-add is two.
    pub flops: f64,
    /// Bytes a second that can be read from memory.
    pub bytes: f64,
}

/// Independent sums: more than the latency of a multiply-add times what is issued a cycle.
const SUMS: usize = 12;
/// Multiply-adds of each sum in one go.
const STEPS: usize = 200_000;
/// Elements that each thread reads: far beyond the last cache.
const ELEMENTS: usize = 48 << 20;
/// Tries, of which the best counts.
const TRIES: usize = 8;

impl Cpu {
    /// Measures what this backend's threads reach at best, in about half a second. Not deterministic.
    pub fn limits(&self) -> Limits {
        let threads = self.threads();
        let best = |work: &(dyn Fn(usize) + Sync)| {
            (0..TRIES).fold(f64::INFINITY, |least, _| {
                let start = Instant::now();
                self.crew().each(threads, work);
                least.min(start.elapsed().as_secs_f64())
            })
        };
        let seconds = best(&|_| {
            black_box(self.simd().run(MultiplyAdd));
        });
        let flops = (threads * 2 * SUMS * STEPS * super::sparse::lanes::<f32>(self)) as f64 / seconds;
        let memory = vec![1f32; threads * ELEMENTS];
        let seconds = best(&|i| {
            let x = &memory[i * ELEMENTS..(i + 1) * ELEMENTS];
            let (mut sum, columns) = ([0.0], ELEMENTS);
            self.simd().run(RowSums { sum: RowSum::Plain, x, columns, sums: &mut sum, accum: Accum::Replace });
            black_box(sum);
        });
        Limits { flops, bytes: (size_of::<f32>() * memory.len()) as f64 / seconds }
    }
}

struct MultiplyAdd;

impl Kernel<f32> for MultiplyAdd {
    type Output = f32;
    #[inline(always)]
    fn run<V: Vector<Elem = f32>>(self) -> f32 {
        let (a, b) = (V::splat(black_box(0.999)), V::splat(black_box(1e-3)));
        let mut sums: [V; SUMS] = std::array::from_fn(|i| V::splat(i as f32));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = sum.fma(a, b);
            }
        }
        sums.into_iter().fold(V::zero(), V::add).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_a_machine() {
        let limits = Cpu::with_threads(1).unwrap().limits();
        // Anything between a calculator and a data centre; the loop must not have been optimised away.
        assert!((1e8..1e13).contains(&limits.flops) && (1e7..1e13).contains(&limits.bytes), "{limits:?}");
    }
}
