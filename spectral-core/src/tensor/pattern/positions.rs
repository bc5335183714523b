//! Patterns as sets of positions: construction, comparison, and the entries that are not stored.

use super::Pattern;
use crate::base::{Error, Result};

impl Pattern {
    /// The pattern of the entries at `positions` (`row * columns + column`), which must ascend.
    ///
    /// # Errors
    /// A position is outside the matrix, the positions do not ascend, or there are more than `u32::MAX`.
    pub fn from_positions(rows: usize, columns: usize, positions: &[u64]) -> Result<Self> {
        let bad = |problem: &str| Error::config("sparse pattern", problem);
        if u32::try_from(positions.len()).is_err() || u32::try_from(columns).is_err() {
            return Err(bad("more than 2^32 - 1 stored entries or columns"));
        }
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        let mut indices = Vec::with_capacity(positions.len());
        for row in 0..rows as u64 {
            let first = row * columns as u64;
            while let Some(&position) = positions.get(indices.len()).filter(|p| **p < first + columns as u64) {
                let column = position.checked_sub(first).ok_or_else(|| bad("positions must ascend"))?;
                indices.push(column as u32);
            }
            starts.push(indices.len() as u32);
        }
        if indices.len() < positions.len() {
            return Err(bad("a position is outside the matrix"));
        }
        Self::new(rows, columns, starts, indices)
    }

    /// Number of entries that are not stored.
    pub fn absent(&self) -> u64 {
        self.rows() as u64 * self.columns() as u64 - self.nonzeros() as u64
    }

    /// Positions of absent entries by rank: rank `n` names the absent entry that `n` others come before, row by row.
    /// `ranks` must ascend; ranks past the end are skipped.
    ///
    /// Takes time proportional to the stored entries and the ranks, not to the matrix.
    pub fn absent_at(&self, ranks: &[u64]) -> Vec<u64> {
        let mut positions = Vec::with_capacity(ranks.len());
        let (mut ranks, mut before) = (ranks.iter().peekable(), 0);
        for row in 0..self.rows() {
            let stored = self.row(row);
            let absent = (self.columns() - stored.len()) as u64;
            let mut passed = 0;
            while let Some(rank) = ranks.next_if(|r| **r < before + absent) {
                let within = rank - before;
                while stored.get(passed).is_some_and(|&c| u64::from(c) <= within + passed as u64) {
                    passed += 1;
                }
                positions.push(row as u64 * self.columns() as u64 + within + passed as u64);
            }
            before += absent;
        }
        positions
    }

    /// Calls `both(index here, index in other)` for every entry that both patterns store, in order.
    ///
    /// Both patterns must belong to matrices of the same size.
    pub fn in_common(&self, other: &Self, mut both: impl FnMut(usize, usize)) {
        debug_assert_eq!((self.rows(), self.columns()), (other.rows(), other.columns()));
        let mut found: Vec<(usize, usize)> = Vec::new();
        for row in 0..self.rows().min(other.rows()) {
            let (mine, theirs) = (self.row(row), other.row(row));
            let (first, first_other) = (self.starts()[row] as usize, other.starts()[row] as usize);
            // A branch on equal columns is hard to predict. So each pair is written, and kept only if the columns are
            // equal.
            found.resize(found.len().max(mine.len().min(theirs.len()) + 1), (0, 0));
            let (mut i, mut j, mut count) = (0, 0, 0);
            while i < mine.len() && j < theirs.len() {
                let (a, b) = (mine[i], theirs[j]);
                found[count] = (first + i, first_other + j);
                count += usize::from(a == b);
                i += usize::from(a <= b);
                j += usize::from(b <= a);
            }
            found[..count].iter().for_each(|&(i, j)| both(i, j));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    fn checkered() -> Pattern {
        Pattern::from_fn(5, 7, |r, c| (r * 3 + c) % 4 == 0 || r == 2 && c > 3).unwrap()
    }

    #[test]
    fn positions_and_patterns_are_the_same_thing() {
        let p = checkered();
        let positions: Vec<u64> = p.iter().map(|(r, c)| (r * 7 + c) as u64).collect();
        assert_eq!(Pattern::from_positions(5, 7, &positions).unwrap(), p);
        for bad in [vec![3, 2], vec![8, 3], vec![4, 4], vec![35]] {
            assert!(Pattern::from_positions(5, 7, &bad).is_err(), "{bad:?}");
        }
        assert_eq!(Pattern::from_positions(3, 2, &[]).unwrap().nonzeros(), 0);
    }

    #[test]
    fn ranks_name_the_absent_entries_in_order() {
        let p = checkered();
        let stored: Vec<u64> = p.iter().map(|(r, c)| (r * 7 + c) as u64).collect();
        let absent: Vec<u64> = (0..35).filter(|i| !stored.contains(i)).collect();
        assert_eq!(p.absent(), absent.len() as u64);
        let ranks: Vec<u64> = (0..40).collect();
        assert_eq!(p.absent_at(&ranks), absent);
        assert_eq!(p.absent_at(&[3, 9]), [absent[3], absent[9]]);
    }

    #[test]
    fn common_entries_are_found_at_both_indices() {
        let (a, b) = (checkered(), Pattern::from_fn(5, 7, |r, c| (r + c) % 2 == 0).unwrap());
        let (all_a, all_b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
        let mut found = Vec::new();
        a.in_common(&b, |i, j| {
            assert_eq!(all_a[i], all_b[j]);
            found.push(all_a[i]);
        });
        let wanted: Vec<_> = all_a.iter().filter(|e| all_b.contains(e)).copied().collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn huge_matrices_take_memory_for_what_is_stored() {
        let side = 600_000usize;
        let mut stream = Seed(1).stream("test", 0);
        let positions = stream.choose((side * side) as u64, 1_000);
        let p = Pattern::from_positions(side, side, &positions).unwrap();
        assert_eq!((p.nonzeros(), p.absent()), (1_000, 360_000_000_000 - 1_000));
        let last = p.absent_at(&[p.absent() - 1]);
        assert!(last[0] >= (side * side - 1_001) as u64);
    }
}
