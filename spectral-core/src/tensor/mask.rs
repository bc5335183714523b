//! Sets of parameter entries, one bit each.

use serde::{Deserialize, Serialize};

/// A set of entries of one parameter: the pruned ones, or those that may train.
///
/// Bit `i % 64` of word `i / 64` says whether entry `i` (row-major) is in the set; bits past the end are 0.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mask {
    len: usize,
    words: Vec<u64>,
}

impl Mask {
    /// The empty set over `len` entries.
    pub fn none(len: usize) -> Self {
        Self { len, words: vec![0; len.div_ceil(64)] }
    }

    /// The set of all `len` entries.
    pub fn all(len: usize) -> Self {
        let mut mask = Self { len, words: vec![u64::MAX; len.div_ceil(64)] };
        mask.trim();
        mask
    }

    /// The set of entries for which `member` holds.
    pub fn from_fn(len: usize, mut member: impl FnMut(usize) -> bool) -> Self {
        let mut mask = Self::none(len);
        for i in 0..len {
            if member(i) {
                mask.insert(i);
            }
        }
        mask
    }

    /// A set from its words. `None` if their number is wrong or a bit past the end is set.
    pub fn from_words(len: usize, words: Vec<u64>) -> Option<Self> {
        let tail = len % 64;
        let clean = tail == 0 || words.last().is_none_or(|w| w >> tail == 0);
        (words.len() == len.div_ceil(64) && clean).then_some(Self { len, words })
    }

    /// Number of entries of the parameter, in the set or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the parameter has no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bits, 64 entries a word, lowest bit first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether entry `index` is in the set.
    pub fn contains(&self, index: usize) -> bool {
        debug_assert!(index < self.len);
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Adds entry `index`.
    pub fn insert(&mut self, index: usize) {
        debug_assert!(index < self.len);
        self.words[index / 64] |= 1 << (index % 64);
    }

    /// Removes entry `index`.
    pub fn remove(&mut self, index: usize) {
        debug_assert!(index < self.len);
        self.words[index / 64] &= !(1 << (index % 64));
    }

    /// Number of entries in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The entries in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            std::iter::successors((word != 0).then_some(word), |w| {
                let rest = w & (w - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |w| i * 64 + w.trailing_zeros() as usize)
        })
    }

    /// Adds every entry of `other`, which must have the same length.
    pub fn union(&mut self, other: &Self) {
        debug_assert_eq!(self.len, other.len);
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// All entries that are not in this set.
    pub fn complement(&self) -> Self {
        let mut mask = Self { len: self.len, words: self.words.iter().map(|w| !w).collect() };
        mask.trim();
        mask
    }

    fn trim(&mut self) {
        if let (tail @ 1.., Some(last)) = (self.len % 64, self.words.last_mut()) {
            *last &= (1 << tail) - 1;
        }
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} of {})", self.count(), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_complements_and_iterates_at_word_edges() {
        for len in [0, 1, 63, 64, 65, 130] {
            let odd = Mask::from_fn(len, |i| i % 2 == 1);
            assert_eq!(odd.count(), len / 2);
            assert_eq!(odd.complement().count(), len - len / 2);
            assert_eq!(odd.iter().collect::<Vec<_>>(), (0..len).filter(|i| i % 2 == 1).collect::<Vec<_>>());
            assert_eq!(Mask::all(len).count(), len);
            assert_eq!(Mask::from_words(len, odd.words().to_vec()), Some(odd));
        }
    }

    #[test]
    fn stray_bits_are_refused() {
        assert_eq!(Mask::from_words(3, vec![0b1000]), None);
        assert_eq!(Mask::from_words(3, vec![]), None);
    }
}
