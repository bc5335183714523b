//! Where the stored entries of a sparse matrix are: CSR without the values.

mod positions;

use crate::base::{Error, Result};
use std::any::Any;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The positions of the stored entries of an `[out, in]` matrix, row by row, columns ascending.
///
/// Values live elsewhere (a parameter of length [`Pattern::nonzeros`], in the same order), so that
/// training, pruning and saving treat them like any other parameter.
#[derive(Debug)]
pub struct Pattern {
    rows: usize,
    columns: usize,
    starts: Vec<u32>,
    indices: Vec<u32>,
    by_column: OnceLock<ByColumn>,
    forms: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// The same entries ordered by column, for the input gradient.
#[derive(Debug)]
pub struct ByColumn {
    /// Entries of column `c` are `starts[c]..starts[c + 1]`.
    pub starts: Vec<u32>,
    /// The row of each entry, ascending within a column.
    pub rows: Vec<u32>,
    /// Position of each entry's value in row order.
    pub positions: Vec<u32>,
}

impl Pattern {
    /// A pattern from CSR arrays.
    ///
    /// # Errors
    /// `starts` does not rise from 0 to the number of indices over `rows + 1` entries, a column is out of
    /// range, or the columns of a row are not strictly ascending.
    pub fn new(rows: usize, columns: usize, starts: Vec<u32>, indices: Vec<u32>) -> Result<Self> {
        let bad = |problem: &str| Error::config("sparse pattern", problem);
        if rows.checked_add(1) != Some(starts.len()) || starts.first() != Some(&0) {
            return Err(bad("row starts must be 0 followed by one end for each row"));
        }
        if starts.last().map(|&e| e as usize) != Some(indices.len()) || starts.windows(2).any(|w| w[0] > w[1]) {
            return Err(bad("row starts must rise to the number of stored entries"));
        }
        for row in starts.windows(2) {
            let row = &indices[row[0] as usize..row[1] as usize];
            if row.windows(2).any(|w| w[0] >= w[1]) || row.last().is_some_and(|&c| c as usize >= columns) {
                return Err(bad("the columns of a row must ascend and stay inside the matrix"));
            }
        }
        Ok(Self { rows, columns, starts, indices, by_column: OnceLock::new(), forms: Mutex::default() })
    }

    /// The pattern of the entries of a row-major `[rows, columns]` matrix for which `stored` holds.
    ///
    /// # Errors
    /// More than `u32::MAX` entries are stored.
    pub fn from_fn(rows: usize, columns: usize, mut stored: impl FnMut(usize, usize) -> bool) -> Result<Self> {
        let mut starts = vec![0];
        let mut indices = Vec::new();
        for r in 0..rows {
            indices.extend((0..columns).filter(|&c| stored(r, c)).map(|c| c as u32));
            let end = u32::try_from(indices.len());
            starts.push(end.map_err(|_| Error::config("sparse pattern", "more than 2^32 - 1 stored entries"))?);
        }
        Self::new(rows, columns, starts, indices)
    }

    /// Rows of the matrix: output units.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix: inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of stored entries.
    pub fn nonzeros(&self) -> usize {
        self.indices.len()
    }

    /// Entries of row `r` are `starts[r]..starts[r + 1]`.
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The column of each stored entry.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The columns stored in row `r`.
    pub fn row(&self, r: usize) -> &[u32] {
        &self.indices[self.starts[r] as usize..self.starts[r + 1] as usize]
    }

    /// The positions of all stored entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.rows).flat_map(|r| self.row(r).iter().map(move |&c| (r, c as usize)))
    }

    /// The form of type `T` for which `fits` holds: data that a backend derives from the positions for its own use. It
    /// is built once and kept.
    ///
    /// A form holds no values, because values change while a layer trains.
    pub fn form<T: Any + Send + Sync>(&self, fits: impl Fn(&T) -> bool, build: impl FnOnce(&Self) -> T) -> Arc<T> {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms.iter().filter_map(|form| form.clone().downcast::<T>().ok()).find(|form| fits(form));
        known.unwrap_or_else(|| {
            let form = Arc::new(build(self));
            forms.push(form.clone());
            form
        })
    }

    /// The same entries ordered by column, computed once.
    pub fn by_column(&self) -> &ByColumn {
        self.by_column.get_or_init(|| {
            let mut starts = vec![0u32; self.columns + 1];
            for &c in &self.indices {
                starts[c as usize + 1] += 1;
            }
            for c in 0..self.columns {
                starts[c + 1] += starts[c];
            }
            let mut next = starts.clone();
            let mut rows = vec![0; self.indices.len()];
            let mut positions = rows.clone();
            for (position, (r, c)) in self.iter().enumerate() {
                let at = next[c] as usize;
                rows[at] = r as u32;
                positions[at] = position as u32;
                next[c] += 1;
            }
            ByColumn { starts, rows, positions }
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (self.rows, self.columns, &self.starts, &self.indices)
            == (other.rows, other.columns, &other.starts, &other.indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_the_same_entries() {
        let p = Pattern::from_fn(3, 4, |r, c| (r + c) % 2 == 0 && r != 1).unwrap();
        assert_eq!(p.nonzeros(), 4);
        let by = p.by_column();
        assert_eq!(by.starts, [0, 2, 2, 4, 4]);
        assert_eq!(by.rows, [0, 2, 0, 2]);
        assert_eq!(by.positions, [0, 2, 1, 3]);
    }

    #[test]
    fn forms_are_built_once_for_each_type_and_parameter() {
        struct Every(usize, Vec<u32>);
        let pattern = Pattern::from_fn(3, 4, |_, _| true).unwrap();
        let every = |n: usize| {
            let build = |p: &Pattern| Every(n, p.indices().iter().copied().step_by(n).collect());
            pattern.form(|f: &Every| f.0 == n, build)
        };
        assert_eq!(every(4).1, [0, 0, 0]);
        assert!(Arc::ptr_eq(&every(4), &every(4)) && every(2).1.len() == 6);
        assert_eq!(*pattern.form(|_: &usize| true, Pattern::nonzeros), 12);
    }

    #[test]
    fn malformed_arrays_are_refused() {
        for (starts, indices) in [
            (vec![0, 1], vec![0, 1]),
            (vec![0, 2, 1], vec![0, 1]),
            (vec![1, 1, 2], vec![0, 1]),
            (vec![0, 2, 2], vec![1, 0]),
            (vec![0, 2, 2], vec![1, 1]),
            (vec![0, 1, 2], vec![0, 9]),
        ] {
            assert!(Pattern::new(2, 3, starts, indices).is_err());
        }
        assert!(Pattern::new(usize::MAX, 3, vec![], vec![]).is_err());
    }
}
