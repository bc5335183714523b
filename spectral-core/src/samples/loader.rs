//! Minibatches for your own training loops, with exact counts of epochs.

use super::Samples;
use crate::base::{Error, Result, Seed};

/// Deals minibatches from a set.
///
/// Every epoch deals each sample exactly once. A batch that starts at the end of an epoch is filled up from the next
/// epoch, and no batch holds a sample twice. Epoch `e` follows [`Samples::epoch_order`], except that samples that such
/// a batch already holds come later.
///
/// Determinism: the batches depend only on the set, the seed and the requested sizes. Source: Sparana.
#[derive(Debug, Clone)]
pub struct Loader<'a> {
    samples: &'a Samples,
    seed: Seed,
    order: Vec<usize>,
    /// Samples of the current epoch that were dealt.
    dealt: usize,
    epochs: u64,
    batches: u64,
    random_batches: u64,
}

impl<'a> Loader<'a> {
    /// A loader at the start of its first epoch.
    pub fn new(samples: &'a Samples, seed: Seed) -> Self {
        let order = samples.epoch_order(seed, 0);
        Self { samples, seed, order, dealt: 0, epochs: 0, batches: 0, random_batches: 0 }
    }

    /// Completed epochs, in which every sample was dealt.
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Batches dealt, without random ones.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The next `batch` samples.
    ///
    /// # Errors
    /// `batch` is 0 or larger than the set.
    pub fn minibatch(&mut self, batch: usize) -> Result<Samples> {
        let rows = self.rows(batch)?;
        self.samples.subset(&rows)
    }

    /// Draws `batch` samples at random without replacement. This does not change the epoch.
    ///
    /// # Errors
    /// `batch` is 0 or larger than the set.
    pub fn random_minibatch(&mut self, batch: usize) -> Result<Samples> {
        self.check(batch)?;
        let mut stream = self.seed.stream("random batch", self.random_batches);
        let mut rows: Vec<usize> = (0..self.samples.len()).collect();
        for i in 0..batch {
            let other = i + stream.below(rows.len() - i);
            rows.swap(i, other);
        }
        self.random_batches += 1;
        self.samples.subset(&rows[..batch])
    }

    /// The rows of the next batch.
    fn rows(&mut self, batch: usize) -> Result<Vec<usize>> {
        self.check(batch)?;
        let mut rows = Vec::with_capacity(batch);
        rows.extend_from_slice(&self.order[self.dealt..(self.dealt + batch).min(self.order.len())]);
        self.dealt += rows.len();
        let missing = batch - rows.len();
        if self.dealt == self.order.len() {
            self.epochs += 1;
            self.order = self.samples.epoch_order(self.seed, self.epochs);
            self.put_back(&rows, missing);
            rows.extend_from_slice(&self.order[..missing]);
            self.dealt = missing;
        }
        self.batches += 1;
        Ok(rows)
    }

    /// Moves samples that are not in `held` to the first `count` places of the order. The set has enough of them.
    fn put_back(&mut self, held: &[usize], count: usize) {
        let mut is_held = vec![false; self.order.len()];
        held.iter().for_each(|&row| is_held[row] = true);
        let mut later = count;
        for i in 0..count {
            if is_held[self.order[i]] {
                later += self.order[later..].iter().take_while(|&&row| is_held[row]).count();
                self.order.swap(i, later);
            }
        }
    }

    fn check(&self, batch: usize) -> Result<()> {
        let (name, len) = (&self.samples.name, self.samples.len());
        if batch == 0 || batch > len {
            let problem = format!("a batch of {batch} cannot be dealt from {len} samples; ask for 1 to {len}");
            return Err(Error::Data(format!("{name}: {problem}")));
        }
        Ok(())
    }
}

/// Deals batches that mix several sets at fixed shares, such as known and new classes.
///
/// Each set counts its own epochs, see [`Loader`]. The samples of a batch are shuffled.
#[derive(Debug, Clone)]
pub struct MixedLoader<'a> {
    parts: Vec<(Loader<'a>, f64)>,
    seed: Seed,
    batches: u64,
}

impl<'a> MixedLoader<'a> {
    /// A loader of `parts`: sets with equal numbers of features and outputs, each with its share of a batch.
    ///
    /// # Errors
    /// There is no part, a share is not in `0..=1`, the shares do not add up to 1, or the sets cannot be mixed.
    pub fn new(parts: &[(&'a Samples, f64)], seed: Seed) -> Result<Self> {
        let sum: f64 = parts.iter().map(|(_, share)| share).sum();
        if parts.iter().any(|(_, share)| !(0.0..=1.0).contains(share)) || (sum - 1.0).abs() > 1e-9 {
            let shares: Vec<f64> = parts.iter().map(|(_, share)| *share).collect();
            return Err(Error::Data(format!("shares {shares:?} of a batch must be in 0..=1 and add up to 1")));
        }
        // Joining one sample of each finds sets that do not fit before the first batch.
        let first = parts.iter().map(|(set, _)| set.subset(&[0])).collect::<Result<Vec<_>>>()?;
        Samples::concat(&first.iter().collect::<Vec<_>>())?;
        let parts = parts.iter().enumerate();
        let parts = parts.map(|(i, (set, share))| (Loader::new(set, Seed(seed.key("mix", i as u64))), *share));
        Ok(Self { parts: parts.collect(), seed, batches: 0 })
    }

    /// The loaders of the parts, for their counts.
    pub fn parts(&self) -> impl Iterator<Item = &Loader<'a>> {
        self.parts.iter().map(|(loader, _)| loader)
    }

    /// The next `batch` samples, exactly that many: each part's share is rounded to whole samples.
    ///
    /// # Errors
    /// `batch` is 0, or a part has fewer samples than its share of the batch. No loader has advanced then.
    pub fn minibatch(&mut self, batch: usize) -> Result<Samples> {
        if batch == 0 {
            return Err(Error::Data("a batch of 0 samples cannot be dealt; ask for at least 1".into()));
        }
        // The rounding error is carried to the next part, so that the batch is complete.
        let (mut due, mut taken) = (0.0, 0);
        let last = self.parts.len() - 1;
        let mut counts = Vec::with_capacity(self.parts.len());
        for (i, (loader, share)) in self.parts.iter().enumerate() {
            due += share * batch as f64;
            let until = if i == last { batch } else { (due.round() as usize).clamp(taken, batch) };
            if until > taken {
                loader.check(until - taken)?;
            }
            counts.push(until - taken);
            taken = until;
        }
        let dealt = self.parts.iter_mut().zip(&counts).filter(|(_, count)| **count > 0);
        let sets = dealt.map(|((loader, _), count)| loader.minibatch(*count)).collect::<Result<Vec<_>>>()?;
        let all = Samples::concat(&sets.iter().collect::<Vec<_>>())?;
        let order = all.epoch_order(self.seed, self.batches);
        self.batches += 1;
        all.subset(&order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Targets;
    use ndarray::Array2;

    /// Sample `i` has the input `first + i`.
    fn set(n: usize, first: usize, label: u32) -> Samples {
        let targets = Targets::Classes { labels: vec![label; n], classes: 4 };
        Samples::new("set", Array2::from_shape_fn((n, 1), |(i, _)| (first + i) as f32), targets).unwrap()
    }

    fn ids(s: &Samples) -> Vec<usize> {
        s.inputs().column(0).iter().map(|v| *v as usize).collect()
    }

    fn sorted(mut ids: Vec<usize>) -> Vec<usize> {
        ids.sort_unstable();
        ids
    }

    /// Sparana drops the rest of an epoch that does not fill a batch.
    #[test]
    fn every_epoch_deals_every_sample_exactly_once() {
        let s = set(23, 0, 0);
        for batch in [1, 4, 7, 22, 23] {
            let mut loader = Loader::new(&s, Seed(5));
            let mut dealt = Vec::new();
            while dealt.len() < 23 * 40 {
                assert_eq!(loader.epochs(), dealt.len() as u64 / 23);
                let rows = ids(&loader.minibatch(batch).unwrap());
                let mut once = sorted(rows.clone());
                once.dedup();
                assert_eq!(once.len(), batch, "a sample twice in one batch");
                dealt.extend(rows);
            }
            assert_eq!(loader.batches(), dealt.len() as u64 / batch as u64);
            for epoch in dealt.chunks_exact(23) {
                assert_eq!(sorted(epoch.to_vec()), (0..23).collect::<Vec<_>>(), "batch {batch}");
            }
            assert_ne!(dealt[..23], dealt[23..46]);
        }
    }

    /// Sparana shuffles the order of the epoch for a random batch.
    #[test]
    fn random_batches_leave_the_epoch_alone() {
        let s = set(50, 0, 0);
        let (mut plain, mut disturbed) = (Loader::new(&s, Seed(3)), Loader::new(&s, Seed(3)));
        let mut random = Vec::new();
        for _ in 0..20 {
            let drawn = sorted(ids(&disturbed.random_minibatch(9).unwrap()));
            assert!(drawn.windows(2).all(|w| w[0] < w[1]), "drawn with replacement");
            random.push(drawn);
            assert_eq!(ids(&plain.minibatch(8).unwrap()), ids(&disturbed.minibatch(8).unwrap()));
        }
        assert_eq!((plain.epochs(), disturbed.epochs(), disturbed.batches()), (3, 3, 20));
        random.dedup();
        assert_eq!(random.len(), 20);
    }

    /// Sparana returns all samples and counts an epoch.
    #[test]
    fn a_batch_larger_than_the_data_is_refused() {
        let s = set(3, 0, 0);
        let mut loader = Loader::new(&s, Seed(0));
        for batch in [0, 4] {
            for error in [loader.minibatch(batch).unwrap_err(), loader.random_minibatch(batch).unwrap_err()] {
                assert_eq!(
                    error.to_string(),
                    format!("data: set: a batch of {batch} cannot be dealt from 3 samples; ask for 1 to 3")
                );
            }
        }
        assert_eq!((loader.batches(), loader.epochs()), (0, 0));
    }

    /// Sparana truncates both shares, so that 100 samples at .9 become 99.
    #[test]
    fn mixed_batches_have_exactly_the_size_asked_for() {
        let (known, new) = (set(300, 0, 0), set(200, 1000, 3));
        for (share, expected) in [(0.9, 90), (0.3, 30), (0.0, 0), (1.0, 100), (0.125, 13)] {
            let mut loader = MixedLoader::new(&[(&known, 1.0 - share), (&new, share)], Seed(2)).unwrap();
            let batch = loader.minibatch(100).unwrap();
            let of_new = batch.labels().unwrap().iter().filter(|l| **l == 3).count();
            assert_eq!(batch.len(), 100);
            assert!(of_new.abs_diff(expected) <= 1 && (share == 0.125 || of_new == expected), "{share}: {of_new}");
            assert!(ids(&batch).iter().zip(batch.labels().unwrap()).all(|(id, label)| (*id >= 1000) == (*label == 3)));
        }
    }

    /// The list form of Sparana runs out of samples; here every part continues with its next epoch.
    #[test]
    fn every_part_of_a_mix_keeps_its_own_epochs() {
        let sets = [set(10, 0, 0), set(7, 100, 1), set(5, 200, 2)];
        let third = 1.0 / 3.0;
        let mut loader = MixedLoader::new(&[(&sets[0], third), (&sets[1], third), (&sets[2], third)], Seed(1)).unwrap();
        let mut dealt = vec![Vec::new(); 3];
        for _ in 0..35 {
            let batch = loader.minibatch(9).unwrap();
            assert_eq!(batch.len(), 9);
            assert!(!batch.labels().unwrap().is_sorted(), "not shuffled together");
            ids(&batch).iter().for_each(|id| dealt[id / 100].push(id % 100));
        }
        for (i, (part, n)) in loader.parts().zip([10, 7, 5]).enumerate() {
            assert_eq!((dealt[i].len(), part.epochs()), (105, 105 / n as u64));
            // The parts are shuffled within a batch, so the test counts samples instead of comparing epochs.
            let counts: Vec<usize> = (0..n).map(|id| dealt[i].iter().filter(|d| **d == id).count()).collect();
            assert!(counts.iter().all(|c| *c == 105 / n || *c == 105 / n + 1), "{counts:?}");
        }
    }

    #[test]
    fn mixes_that_cannot_be_are_refused() {
        let (a, small) = (set(10, 0, 0), set(2, 0, 0));
        let other = a.relabel(5, |l| l).unwrap();
        for (parts, word) in [
            (vec![(&a, 0.5), (&small, 0.6)], "add up to 1"),
            (vec![(&a, 1.5), (&small, -0.5)], "in 0..=1"),
            (vec![(&a, f64::NAN)], "in 0..=1"),
            (vec![], "add up to 1"),
            (vec![(&a, 0.5), (&other, 0.5)], "cannot put together"),
        ] {
            let error = MixedLoader::new(&parts, Seed(0)).unwrap_err().to_string();
            assert!(error.contains(word), "`{word}` in {error}");
        }
        let mut loader = MixedLoader::new(&[(&a, 0.5), (&small, 0.5)], Seed(0)).unwrap();
        assert!(loader.minibatch(6).unwrap_err().to_string().contains("a batch of 3 cannot be dealt from 2"));
        assert!(loader.minibatch(0).unwrap_err().to_string().contains("at least 1"));
        assert!(loader.parts().all(|p| p.batches() == 0), "a refused batch moved a part");
        assert_eq!(loader.minibatch(4).unwrap().len(), 4);
    }
}
