//! Which of the scored candidates go, so that a budget is hit.
//!
//! The order is total: lower scores first, equal ones by their position in the network. Nothing here knows models.

use crate::budget::percentile_cut;
use crate::{Budget, Error, Result};
use spectral_core::DType;
use std::cmp::Ordering;

/// Candidates that compete for one budget.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The layer, or the network, for messages.
    pub(crate) place: String,
    /// `units` or `weights`.
    pub(crate) what: &'static str,
    /// Score of every candidate, in the order of the network.
    pub(crate) scores: Vec<f64>,
    /// What percentiles are taken over, pruned entries included, if not the scores.
    pub(crate) percentiles: Option<Vec<f64>>,
    /// The layers of every candidate's entries.
    pub(crate) members: Members,
    /// How many entries each layer may lose.
    pub(crate) spare: Vec<usize>,
    /// Entries there ever were.
    pub(crate) total: usize,
    /// Entries that are pruned already.
    pub(crate) pruned: usize,
    /// Entries that the criterion protects: neither pruned nor candidates.
    pub(crate) protected: usize,
    /// Element type of the model.
    pub(crate) dtype: DType,
}

/// The layers (as indices into [`Pool::spare`]) that candidates take entries from.
#[derive(Debug)]
pub(crate) enum Members {
    /// Every candidate is one entry, of this layer.
    One(Vec<u32>),
    /// Every candidate is several entries of one layer: the layer and how many. A number that cannot be hit is fallen
    /// short of by less than the largest.
    Blocks(Vec<(u32, u32)>),
    /// Every candidate is several entries, one of each listed layer.
    Many(Vec<Vec<u32>>),
}

/// How a number that cannot be hit is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is an error that names the closest one.
    Exact,
    /// The largest feasible number up to it is taken: between two steps of a schedule.
    AtMost,
    /// As [`Exact`](Self::Exact), but nothing is done where more is pruned already.
    AtLeast,
}

/// Largest table, in bits, that the search for an exact sum of group sizes may take.
const TABLE_BITS: usize = 1 << 31;

impl Pool {
    /// The candidates to prune, ascending.
    ///
    /// # Errors
    /// [`Error::Infeasible`].
    pub(crate) fn choose(&self, budget: Budget, fit: Fit) -> Result<Vec<usize>> {
        let mut chosen = match budget.check()? {
            Budget::Fraction(share) => self.by_share(share, fit)?,
            Budget::Count(count) => self.by_count(&[count], fit)?,
            Budget::Threshold(cut) => self.below(cut, true)?,
            Budget::Percentile(percentile) => {
                let scores = (0..self.scores.len()).flat_map(|i| std::iter::repeat_n(self.scores[i], self.size(i)));
                let (mut sorted, pruned) = match &self.percentiles {
                    Some(values) => (values.clone(), 0),
                    None => (scores.collect::<Vec<f64>>(), self.pruned),
                };
                sorted.sort_unstable_by(f64::total_cmp);
                let from_scores = self.percentiles.is_none();
                match percentile_cut(&sorted, pruned, percentile) {
                    None => Vec::new(),
                    // A cut between two f32 scores is an f32 (spectraltools, facts from running the originals); means
                    // of them are no f32, and a rounded cut could be above the largest.
                    Some(cut) if self.dtype == DType::F32 && sorted.iter().all(|s| f64::from(*s as f32) == *s) => {
                        self.below(f64::from(cut as f32), from_scores)?
                    }
                    Some(cut) => self.below(cut, from_scores)?,
                }
            }
        };
        chosen.sort_unstable();
        Ok(chosen)
    }

    fn by_share(&self, share: f64, fit: Fit) -> Result<Vec<usize>> {
        // Where all groups have the same size, that size is the unit to which the share is hit.
        let step = match &self.members {
            Members::One(_) | Members::Blocks(_) => 1,
            Members::Many(groups) => groups.iter().map(Vec::len).fold(0, gcd).max(1),
        };
        let offset = self.pruned % step;
        let exact = (share * self.total as f64 - offset as f64) / step as f64;
        let number = |steps: f64| steps.max(0.0) as usize * step + offset;
        if fit == Fit::AtMost {
            return self.by_count(&[number(exact.round_ties_even())], fit);
        }
        self.by_count(&[number(exact.round_ties_even()), number(exact.floor()), number(exact.ceil())], fit)
    }

    /// Prunes the first of `targets` that can be hit; the totals pruned afterwards.
    fn by_count(&self, targets: &[usize], fit: Fit) -> Result<Vec<usize>> {
        let asked = targets[0];
        let refuse = |closest: usize, reason: &str| Error::Infeasible {
            asked,
            closest,
            total: self.total,
            what: self.what,
            place: self.place.clone(),
            reason: reason.into(),
        };
        if asked < self.pruned {
            return match fit {
                Fit::AtMost | Fit::AtLeast => Ok(Vec::new()),
                Fit::Exact => Err(refuse(self.pruned, &format!("{} are pruned already", self.pruned))),
            };
        }
        let mut missed = None;
        for target in targets.iter().filter(|t| **t >= self.pruned && (**t < self.total || **t == self.pruned)) {
            match self.take(target - self.pruned) {
                Ok(chosen) => return Ok(chosen),
                Err(found) => missed = missed.or(Some((target - self.pruned, found))),
            }
        }
        let closest = match missed {
            Some((count, found)) if count - found.below.0 < self.slack() => return Ok(found.below.1),
            Some((_, found)) => found,
            None => self.most(),
        };
        if fit == Fit::AtMost {
            return Ok(closest.below.1);
        }
        let reason = match &self.members {
            _ if asked >= self.total => "that would prune everything",
            Members::Many(_) if closest.above.is_some() => "coupled units go together",
            _ if self.protected > 0 => "the criterion protects the others",
            _ => "every layer keeps its least number (`min_keep`)",
        };
        let below = closest.below.0 + self.pruned;
        let number = closest
            .above
            .map(|a| a + self.pruned)
            .filter(|a| *a < self.total && a.abs_diff(asked) < below.abs_diff(asked));
        Err(refuse(number.unwrap_or(below), reason))
    }

    /// The most that can go without pruning everything.
    fn most(&self) -> Closest {
        let count = (self.total - self.pruned - self.protected).saturating_sub(usize::from(self.protected == 0));
        match self.take(count) {
            Ok(chosen) => Closest { below: (count, chosen), above: None },
            Err(closest) => Closest { above: None, ..closest },
        }
    }

    /// By how much less than asked may be pruned.
    fn slack(&self) -> usize {
        match &self.members {
            Members::One(_) | Members::Many(_) => 1,
            Members::Blocks(blocks) => blocks.iter().map(|b| b.1 as usize).max().unwrap_or(1),
        }
    }

    /// `count` more entries, or what could be taken instead.
    fn take(&self, count: usize) -> Result<Vec<usize>, Closest> {
        match &self.members {
            Members::One(layers) => self.take_single(count, layers),
            Members::Blocks(_) | Members::Many(_) => self.take_groups(count),
        }
    }

    fn take_single(&self, count: usize, layers: &[u32]) -> Result<Vec<usize>, Closest> {
        let mut by_layer = vec![Vec::new(); self.spare.len()];
        layers.iter().enumerate().for_each(|(i, &l)| by_layer[l as usize].push(i));
        let mut free = Vec::with_capacity(layers.len());
        for (mut own, &spare) in by_layer.into_iter().zip(&self.spare) {
            if spare < own.len() {
                own.select_nth_unstable_by(spare, |a, b| self.order(*a, *b));
                own.truncate(spare);
            }
            free.extend(own);
        }
        if count > free.len() {
            return Err(Closest { below: (free.len(), free), above: None });
        }
        if count < free.len() {
            free.select_nth_unstable_by(count, |a, b| self.order(*a, *b));
            free.truncate(count);
        }
        Ok(free)
    }

    /// Lowest scores first, leaving out what does not fit; if that misses the number, the sum is searched for.
    fn take_groups(&self, count: usize) -> Result<Vec<usize>, Closest> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_unstable_by(|a, b| self.order(*a, *b));
        let greedy = self.in_order(&order, count);
        let sum = |chosen: &[usize]| chosen.iter().map(|&i| self.size(i)).sum::<usize>();
        let reached = sum(&greedy);
        if reached == count {
            return Ok(greedy);
        }
        let free = self.in_order(&order, usize::MAX);
        let sizes: Vec<usize> = free.iter().map(|&i| self.size(i)).collect();
        let widest = sizes.iter().copied().max().unwrap_or(0);
        if (0..self.scores.len()).all(|i| self.size(i) == widest) {
            // Any as many make the same sum, so the first are as good as it gets.
            let above = (free.len() > greedy.len()).then_some(reached + widest);
            return Err(Closest { below: (reached, greedy), above });
        }
        if count.saturating_add(widest).saturating_mul(sizes.len() + 1) > TABLE_BITS {
            return Err(Closest { below: (reached, greedy), above: None });
        }
        let sums = Sums::of(&sizes, count + widest);
        match sums.subset(&sizes, count) {
            Some(subset) => Ok(subset.into_iter().map(|k| free[k]).collect()),
            None => {
                let below = (0..count).rev().find_map(|s| sums.subset(&sizes, s)).unwrap_or_default();
                let below: Vec<usize> = below.into_iter().map(|k| free[k]).collect();
                let above = (count + 1..=count + widest).find(|&s| sums.reaches(0, s));
                Err(Closest { below: (sum(&below), below), above })
            }
        }
    }

    /// Walks `order` and takes every group that fits into `count` and into what its layers may lose.
    fn in_order(&self, order: &[usize], count: usize) -> Vec<usize> {
        let (mut spare, mut left) = (self.spare.clone(), count);
        let mut chosen = Vec::new();
        for &i in order {
            if self.size(i) <= left && self.take_from(&mut spare, i) {
                left -= self.size(i);
                chosen.push(i);
            }
        }
        chosen
    }

    /// Everything that scores below `cut`, as far as layers may lose it. A cut that does not come from the scores may
    /// well be above all of them; what every layer keeps stays then.
    fn below(&self, cut: f64, from_scores: bool) -> Result<Vec<usize>> {
        let everything = |low: &[usize]| low.len() == self.scores.len() && !low.is_empty() && self.protected == 0;
        let mut low: Vec<usize> = (0..self.scores.len()).filter(|&i| self.scores[i] < cut).collect();
        let asked_for_all = from_scores && everything(&low);
        low.sort_unstable_by(|a, b| self.order(*a, *b));
        let mut spare = self.spare.clone();
        low.retain(|&i| self.take_from(&mut spare, i));
        if asked_for_all || everything(&low) {
            return Err(Error::Infeasible {
                asked: self.total,
                closest: self.pruned + self.most().below.0,
                total: self.total,
                what: self.what,
                place: self.place.clone(),
                reason: format!("every score is below the cut of {cut}, and that would prune everything"),
            });
        }
        Ok(low)
    }

    fn size(&self, candidate: usize) -> usize {
        match &self.members {
            Members::One(_) => 1,
            Members::Blocks(blocks) => blocks[candidate].1 as usize,
            Members::Many(groups) => groups[candidate].len(),
        }
    }

    /// Takes all entries of a candidate from what layers may lose, or nothing if one of them may not.
    fn take_from(&self, spare: &mut [usize], candidate: usize) -> bool {
        match &self.members {
            Members::One(layers) => take_all(spare, &layers[candidate..=candidate]),
            Members::Blocks(blocks) => {
                let (layer, size) = blocks[candidate];
                let left = spare[layer as usize].checked_sub(size as usize);
                left.inspect(|left| spare[layer as usize] = *left).is_some()
            }
            Members::Many(groups) => take_all(spare, &groups[candidate]),
        }
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        // Adding 0 makes one zero of the two.
        (self.scores[a] + 0.0).total_cmp(&(self.scores[b] + 0.0)).then(a.cmp(&b))
    }
}

/// What can be taken where a number cannot.
#[derive(Debug, Default)]
struct Closest {
    /// The largest feasible number below, and the candidates that make it.
    below: (usize, Vec<usize>),
    /// The smallest feasible number above.
    above: Option<usize>,
}

/// Takes one entry of each of `layers`, or nothing if one of them may not lose it.
fn take_all(spare: &mut [usize], layers: &[u32]) -> bool {
    for (k, &l) in layers.iter().enumerate() {
        if spare[l as usize] == 0 {
            layers[..k].iter().for_each(|&l| spare[l as usize] += 1);
            return false;
        }
        spare[l as usize] -= 1;
    }
    true
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Which sums the sizes from each one on can make.
struct Sums {
    words: usize,
    bits: Vec<u64>,
}

impl Sums {
    fn of(sizes: &[usize], most: usize) -> Self {
        let words = most / 64 + 1;
        let mut this = Self { words, bits: vec![0; words * (sizes.len() + 1)] };
        this.bits[words * sizes.len()] = 1;
        for (k, &size) in sizes.iter().enumerate().rev() {
            let (row, rest) = this.bits[words * k..].split_at_mut(words);
            let (skip, shift) = (size / 64, size % 64);
            for w in 0..words {
                let at = |i: usize| i.checked_sub(skip).map_or(0, |i| rest[i]);
                let carried = if shift == 0 || w == 0 { 0 } else { at(w - 1) >> (64 - shift) };
                row[w] = rest[w] | at(w) << shift | carried;
            }
        }
        this
    }

    fn reaches(&self, from: usize, sum: usize) -> bool {
        sum / 64 < self.words && self.bits[self.words * from + sum / 64] >> (sum % 64) & 1 == 1
    }

    /// Indices of sizes that make `sum`, early ones first.
    fn subset(&self, sizes: &[usize], mut sum: usize) -> Option<Vec<usize>> {
        if !self.reaches(0, sum) {
            return None;
        }
        let mut chosen = Vec::new();
        for (k, &size) in sizes.iter().enumerate() {
            if sum >= size && self.reaches(k + 1, sum - size) {
                sum -= size;
                chosen.push(k);
            }
        }
        Some(chosen)
    }
}

#[cfg(test)]
mod tests;
