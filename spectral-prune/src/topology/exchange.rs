//! What methods have in common: what goes by magnitude, and patterns made of what stays and what comes.

use crate::Result;
use spectral_core::{Mask, Pattern, Values};

/// The stored weights of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) pattern: &'a Pattern,
    /// In the pattern's order.
    pub(super) values: Values<'a>,
    /// Entries that may train, if not all do; the others must stay.
    pub(super) trainable: Option<&'a Mask>,
    /// Entries the layer had when training began.
    pub(super) budget: usize,
    /// Whether units may lose all their inputs: not those of the network's output.
    pub(super) may_ablate: bool,
}

impl Stored<'_> {
    /// How many entries a share of them is, as far as there are absent ones to take instead.
    pub(super) fn count(&self, share: f64) -> usize {
        let count = (share * self.pattern.nonzeros() as f64) as usize;
        count.min(usize::try_from(self.pattern.absent()).unwrap_or(usize::MAX))
    }

    pub(super) fn magnitude(&self, entry: usize) -> f64 {
        self.values.get(entry).abs()
    }

    /// The `count` entries of least magnitude that may go, ties to the first.
    pub(super) fn smallest(&self, count: usize) -> Mask {
        let mut gone = Mask::none(self.pattern.nonzeros());
        let may_go = |i: &usize| self.trainable.is_none_or(|m| m.contains(*i));
        let entries = || (0..self.pattern.nonzeros()).filter(may_go);
        let mut magnitudes: Vec<f64> = entries().map(|i| self.magnitude(i)).collect();
        let count = count.min(magnitudes.len());
        if count == 0 {
            return gone;
        }
        let (below, &mut limit, _) = magnitudes.select_nth_unstable_by(count - 1, f64::total_cmp);
        let mut ties = count - below.iter().filter(|m| **m < limit).count();
        for i in entries() {
            let m = self.magnitude(i);
            if m < limit || m == limit && ties > 0 {
                ties -= usize::from(m == limit);
                gone.insert(i);
            }
        }
        gone
    }
}

/// `old` without the entries in `gone` and with those at the ascending positions `grown`; what stays and comes is
/// stored once.
pub(super) fn exchanged(old: &Pattern, gone: &Mask, grown: &[u64]) -> Result<Pattern> {
    let mut starts = Vec::with_capacity(old.rows() + 1);
    starts.push(0);
    let mut indices = Vec::with_capacity(old.nonzeros() - gone.count() + grown.len());
    let (mut kept, mut rest) = (Vec::new(), grown);
    for row in 0..old.rows() {
        // What stays and what comes is as good as random, so that branches on it would be foreseen wrongly.
        let (entries, first) = (old.row(row), old.starts()[row] as usize);
        kept.resize(kept.len().max(entries.len() + 1), 0);
        let mut count = 0;
        for (i, &column) in entries.iter().enumerate() {
            kept[count] = column;
            count += usize::from(!gone.contains(first + i));
        }
        let before = row as u64 * old.columns() as u64;
        let (mut coming, later) = rest.split_at(rest.partition_point(|&g| g < before + old.columns() as u64));
        let mut staying = &kept[..count];
        rest = later;
        while let (Some(&stays), Some(&comes)) = (staying.first(), coming.first()) {
            let comes = (comes - before) as u32;
            indices.push(stays.min(comes));
            staying = &staying[usize::from(stays <= comes)..];
            coming = &coming[usize::from(comes <= stays)..];
        }
        indices.extend_from_slice(staying);
        indices.extend(coming.iter().map(|g| (g - before) as u32));
        starts.push(indices.len() as u32);
    }
    Ok(Pattern::new(old.rows(), old.columns(), starts, indices)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Seed;

    #[test]
    fn the_smallest_go_with_ties_to_the_first_and_frozen_ones_never() {
        let pattern = Pattern::from_fn(2, 4, |_, _| true).unwrap();
        let values = [0.5, -0.1, 0.1, 3.0, -0.1, 0.0, 2.0, -0.5];
        let layer =
            Stored { pattern: &pattern, values: Values::F64(&values), trainable: None, budget: 8, may_ablate: true };
        let smallest = |layer: &Stored<'_>, n| layer.smallest(n).iter().collect::<Vec<_>>();
        assert!(smallest(&layer, 0).is_empty());
        assert_eq!(smallest(&layer, 3), [1, 2, 5]);
        assert_eq!(smallest(&layer, 5), [0, 1, 2, 4, 5]);
        assert_eq!(smallest(&layer, 99).len(), 8);
        let may_train = Mask::from_fn(8, |i| i != 5 && i != 1);
        let layer = Stored { trainable: Some(&may_train), ..layer };
        assert_eq!(smallest(&layer, 3), [0, 2, 4]);
        assert_eq!(smallest(&layer, 99).len(), 6);
    }

    #[test]
    fn what_stays_and_comes_is_stored_once() {
        let old = Pattern::from_positions(2, 3, &[0, 2, 4]).unwrap();
        let new = exchanged(&old, &Mask::from_fn(3, |i| i == 1), &[0, 2, 4, 5]).unwrap();
        assert_eq!(new, Pattern::from_positions(2, 3, &[0, 2, 4, 5]).unwrap());
    }

    /// Against the same with sets, over random patterns with empty and full rows.
    #[test]
    fn exchanged_patterns_hold_what_stays_and_what_comes() {
        for seed in 0..20 {
            let mut stream = Seed(seed).stream("test", 0);
            let (rows, columns) = (1 + stream.below(6), 1 + stream.below(9));
            let old = Pattern::from_fn(rows, columns, |r, _| r % 3 != 0 && stream.below(2) == 0 || r == 4).unwrap();
            let gone = Mask::from_fn(old.nonzeros(), |_| stream.below(3) == 0);
            let ranks = stream.choose(old.absent(), stream.clone().below(5));
            let grown = old.absent_at(&ranks);
            let new = exchanged(&old, &gone, &grown).unwrap();
            let position = |(r, c): (usize, usize)| (r * columns + c) as u64;
            let kept = old.iter().enumerate().filter(|(i, _)| !gone.contains(*i)).map(|(_, e)| position(e));
            let mut wanted: Vec<u64> = kept.chain(grown.iter().copied()).collect();
            wanted.sort_unstable();
            assert_eq!(new.iter().map(position).collect::<Vec<_>>(), wanted, "seed {seed}");
        }
    }
}
