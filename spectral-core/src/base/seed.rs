//! Seeds and independent streams of random numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The source of all randomness in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream for `purpose` (for example `"init"`) and `index` (for example a layer number).
    ///
    /// Streams of different purposes or indices are independent; the same three inputs give the same
    /// numbers on every machine and for any number of threads.
    pub fn stream(self, purpose: &str, index: u64) -> Stream {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..16].copy_from_slice(&name_hash(purpose).to_le_bytes());
        key[16..24].copy_from_slice(&index.to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }

    /// A key for a counter-based kernel, see [`hash64`].
    pub fn key(self, purpose: &str, index: u64) -> u64 {
        hash64(hash64(self.0, name_hash(purpose)), index)
    }
}

/// FNV-1a hash, so that code can name purposes with words.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A well-mixed 64-bit function of `(key, counter)`: the random source of kernels.
///
/// Counter-based, so that every element can be drawn on any thread, lane or device in any order.
/// Source: the SplitMix64 finaliser (Steele, Lea, Flood 2014) over a Weyl sequence.
#[inline]
pub const fn hash64(key: u64, counter: u64) -> u64 {
    let mut z = key.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sequence of random numbers; made by [`Seed::stream`].
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Standard normal, by the Box-Muller transform.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Uniform in `0..n`, without bias. `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0);
        let n = n as u64;
        // Lemire 2019: multiply, and reject the values that would cause a bias.
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Draws `k` different numbers below `n` and returns them in ascending order. Every such set is equally likely. If
    /// `k` is `n` or more, it returns all numbers below `n`.
    ///
    /// Uses memory for at most `3 k` numbers, whatever `n` is.
    pub fn choose(&mut self, n: u64, k: usize) -> Vec<u64> {
        let mut chosen = Vec::with_capacity(k);
        if k as u64 > n / 8 {
            // Knuth's algorithm S: with so many numbers, drawing again after repeats would take longer.
            let mut wanted = (k as u64).min(n);
            for i in 0..n {
                if wanted > 0 && (self.below((n - i) as usize) as u64) < wanted {
                    chosen.push(i);
                    wanted -= 1;
                }
            }
            return chosen;
        }
        while chosen.len() < k {
            let missing = k - chosen.len();
            chosen.extend((0..missing).map(|_| self.below(n as usize) as u64));
            sort_even(&mut chosen, n);
            chosen.dedup();
        }
        chosen
    }

    /// Puts `items` into random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Sorts uniformly drawn numbers below `n` in linear time on average: first into buckets, then by insertion. Uses
/// memory for at most twice as many numbers.
fn sort_even(numbers: &mut [u64], n: u64) {
    let digits = |x: u64| u64::BITS - x.leading_zeros();
    // Each bucket gets one to four numbers on average.
    let shift = digits(n.saturating_sub(1)).saturating_sub(digits((numbers.len() / 2).max(1) as u64));
    let place = |x: u64| (x >> shift) as usize;
    let mut ends = vec![0; place(n.saturating_sub(1)) + 2];
    numbers.iter().for_each(|&x| ends[place(x) + 1] += 1);
    for i in 1..ends.len() {
        ends[i] += ends[i - 1];
    }
    let drawn = numbers.to_vec();
    for x in drawn {
        let at = &mut ends[place(x)];
        numbers[*at] = x;
        *at += 1;
    }
    for end in 1..numbers.len() {
        let mut at = end;
        while at > 0 && numbers[at - 1] > numbers[at] {
            numbers.swap(at - 1, at);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_however_many_and_however_large() {
        let mut stream = Seed(3).stream("test", 0);
        for n in [1, 2, 7, 100, 1 << 40, u64::MAX] {
            for count in [0, 1, 2, 63, 64, 65, 1000] {
                let mut numbers: Vec<u64> = (0..count).map(|_| stream.bits() % n).collect();
                let mut want = numbers.clone();
                want.sort_unstable();
                sort_even(&mut numbers, n);
                assert_eq!(numbers, want, "{count} below {n}");
            }
        }
    }

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed: u64, purpose: &str, index| Seed(seed).stream(purpose, index).bits();
        assert_eq!(draw(7, "init", 0), draw(7, "init", 0));
        for (a, b) in
            [((7, "init", 0), (8, "init", 0)), ((7, "init", 0), (7, "init", 1)), ((7, "init", 0), (7, "data", 0))]
        {
            assert_ne!(draw(a.0, a.1, a.2), draw(b.0, b.1, b.2));
        }
    }

    #[test]
    fn moments_are_right() {
        let mut stream = Seed(1).stream("test", 0);
        let n = 100_000;
        let normal: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = normal.iter().sum::<f64>() / n as f64;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let low = (0..n).filter(|_| stream.below(3) == 0).count();
        assert!((low as f64 / n as f64 - 1.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn chosen_numbers_ascend_are_as_many_as_asked_and_spread_evenly() {
        for (n, k) in [(0, 0), (0, 3), (10, 0), (10, 10), (10, 12), (1000, 3), (1000, 500), (u64::MAX / 2, 2000)] {
            let chosen = Seed(5).stream("test", 0).choose(n, k);
            assert_eq!(chosen.len() as u64, (k as u64).min(n), "{k} of {n}");
            assert!(chosen.windows(2).all(|w| w[0] < w[1]) && chosen.last().is_none_or(|c| *c < n));
        }
        for (n, k) in [(40, 4), (40, 20)] {
            let mut hits = vec![0; n];
            for draw in 0..4000 {
                Seed(2).stream("test", draw).choose(n as u64, k).into_iter().for_each(|i| hits[i as usize] += 1);
            }
            let mean = 4000.0 * k as f64 / n as f64;
            assert!(hits.iter().all(|h| (f64::from(*h) - mean).abs() < 5.0 * mean.sqrt()), "{hits:?}");
        }
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Seed(3).stream("test", 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
