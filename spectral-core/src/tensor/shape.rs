//! Shapes of tensors: a few extents, copied freely.

use crate::base::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most axes a tensor may have.
pub const MAX_RANK: usize = 5;

/// Extents of a tensor, outermost axis first.
///
/// Inside the library the batch is the *last* axis (`[features, batch]`), so that every
/// element-wise kernel and every sparse product runs over contiguous samples.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Shape {
    extents: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these extents.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] axes, or a number of elements that overflows.
    pub fn new(extents: &[usize]) -> Result<Self> {
        // Counted in bytes of the widest element, so that no later size overflows. An extent of 0 counts as 1, so that
        // products of some of the axes do not overflow either.
        let elements = extents.iter().try_fold(size_of::<f64>(), |n, &e| n.checked_mul(e.max(1)));
        let elements = elements.filter(|&bytes| bytes <= isize::MAX as usize);
        if extents.len() > MAX_RANK || elements.is_none() {
            return Err(Error::shape("shape", format!("at most {MAX_RANK} axes"), format!("{extents:?}")));
        }
        let mut own = [1; MAX_RANK];
        own[..extents.len()].copy_from_slice(extents);
        Ok(Self { extents: own, rank: extents.len() as u8 })
    }

    /// One axis.
    pub const fn vector(n: usize) -> Self {
        Self { extents: [n, 1, 1, 1, 1], rank: 1 }
    }

    /// Two axes, row-major.
    pub const fn matrix(rows: usize, columns: usize) -> Self {
        Self { extents: [rows, columns, 1, 1, 1], rank: 2 }
    }

    /// The extents, outermost first.
    pub fn extents(&self) -> &[usize] {
        &self.extents[..usize::from(self.rank)]
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Number of elements; `usize::MAX` if there are more, which fit in no memory.
    pub fn len(&self) -> usize {
        product(self.extents())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Extent of the first axis: the rows of a matrix, the units of a layer's output.
    pub fn rows(&self) -> usize {
        self.extents[0]
    }

    /// Elements per row: the product of all extents except the first.
    pub fn columns(&self) -> usize {
        product(&self.extents[1..])
    }

    /// This shape with a batch axis appended.
    ///
    /// # Errors
    /// The shape already has [`MAX_RANK`] axes.
    pub fn with_batch(&self, batch: usize) -> Result<Self> {
        let mut extents = self.extents().to_vec();
        extents.push(batch);
        Self::new(&extents)
    }
}

fn product(extents: &[usize]) -> usize {
    extents.iter().fold(1, |n: usize, &e| n.saturating_mul(e))
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.extents())
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.extents())
    }
}

impl From<Shape> for Vec<u64> {
    fn from(shape: Shape) -> Self {
        shape.extents().iter().map(|&e| e as u64).collect()
    }
}

impl TryFrom<Vec<u64>> for Shape {
    type Error = Error;
    fn try_from(extents: Vec<u64>) -> Result<Self> {
        let extents: Result<Vec<usize>, _> = extents.iter().map(|&e| usize::try_from(e)).collect();
        Self::new(&extents.map_err(|_| Error::shape("shape", "extents that fit in memory", "a larger one"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_out_of_files_and_settings_do_not_overflow() {
        let huge = 1 << 40;
        for extents in [&[huge, huge][..], &[0, huge, huge], &[huge, 0, huge], &[usize::MAX]] {
            assert!(Shape::new(extents).is_err(), "{extents:?}");
        }
        assert_eq!(Shape::new(&[0, 7, 3]).map(|s| (s.len(), s.columns())).unwrap(), (0, 21));
        assert_eq!(Shape::matrix(usize::MAX, 2).len(), usize::MAX);
        assert_eq!(Shape::matrix(2, usize::MAX).columns(), usize::MAX);
    }
}
