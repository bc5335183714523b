//! Sets of positions in a matrix as bytes: the part of a tensor's encoding that says where its values are.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use serde::{Deserialize, Serialize};

/// How a set of positions is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Coding {
    /// One bit a position, lowest bit of a byte first, bits past the end 0.
    Bitmask,
    /// `rows + 1` row starts of 32 bits, then a 16-bit column for each entry.
    CsrU16,
    /// `rows + 1` row starts of 32 bits, then a 32-bit column for each entry.
    CsrU32,
    /// Row-major, a byte `b` below 255 skips `b` positions and takes the next one, 255 skips 255 and takes none.
    /// Fewer than 255 positions after the last byte are not in the set.
    Gaps,
}

/// The positions there are: row-major, `rows * columns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    len: usize,
}

const SKIP: u8 = u8::MAX;
const SKIP_LEN: usize = 255;

impl Grid {
    /// `None` if the number of positions overflows.
    pub(crate) fn new(rows: usize, columns: usize) -> Option<Self> {
        Some(Self { rows, columns, len: rows.checked_mul(columns)? })
    }

    /// A single row.
    pub(crate) fn vector(len: usize) -> Self {
        Self { rows: 1, columns: len, len }
    }

    /// Number of positions.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Coding {
    /// All codings, those that are simpler to read first.
    pub(crate) const ALL: [Self; 4] = [Self::Bitmask, Self::CsrU16, Self::CsrU32, Self::Gaps];

    /// Bytes for `count` positions whose gaps take `gaps` bytes; `None` if the coding cannot hold them.
    pub(crate) fn size(self, grid: Grid, count: usize, gaps: usize) -> Option<usize> {
        let csr = |width: usize| {
            u32::try_from(count).ok()?;
            grid.rows.checked_add(1)?.checked_mul(4)?.checked_add(count.checked_mul(width)?)
        };
        let fits = |bits: u32| grid.columns.checked_sub(1).is_none_or(|last| last >> bits == 0);
        match self {
            Self::Bitmask => Some(grid.len.div_ceil(8)),
            Self::CsrU16 => csr(2).filter(|_| fits(16)),
            Self::CsrU32 => csr(4).filter(|_| fits(32)),
            Self::Gaps => Some(gaps),
        }
    }

    /// The bytes of ascending `positions`, all inside the grid, for which [`size`](Self::size) is not `None`.
    pub(crate) fn encode(self, grid: Grid, positions: impl Iterator<Item = usize>) -> Vec<u8> {
        match self {
            Self::Bitmask => {
                let mut bytes = vec![0; grid.len.div_ceil(8)];
                for p in positions {
                    if let Some(byte) = bytes.get_mut(p / 8) {
                        *byte |= 1 << (p % 8);
                    }
                }
                bytes
            }
            Self::CsrU16 => csr_bytes(grid, positions, |column| u16::try_from(column).unwrap_or(0).to_le_bytes()),
            Self::CsrU32 => csr_bytes(grid, positions, |column| u32::try_from(column).unwrap_or(0).to_le_bytes()),
            Self::Gaps => {
                let mut bytes = Vec::new();
                gaps(grid, positions, |b| bytes.push(b));
                bytes
            }
        }
    }

    /// Calls `visit` with every position, ascending, and returns how many there are.
    ///
    /// `count` is how many there should be. Whatever the bytes are, positions are inside the grid and ascend.
    pub(crate) fn decode(
        self,
        bytes: &[u8],
        grid: Grid,
        count: usize,
        mut visit: impl FnMut(usize),
    ) -> Result<(), &'static str> {
        let mut seen = 0usize;
        let mut take = |position: usize| {
            seen = seen.saturating_add(1);
            visit(position);
        };
        match self {
            Self::Bitmask => {
                if bytes.len() != grid.len.div_ceil(8) {
                    return Err("its bitmask has the wrong length");
                }
                let tail = grid.len % 8;
                if tail != 0 && bytes.last().is_some_and(|b| b >> tail != 0) {
                    return Err("its bitmask has bits past the end");
                }
                for (i, &byte) in bytes.iter().enumerate() {
                    (0..8).filter(|bit| byte >> bit & 1 == 1).for_each(|bit| take(i * 8 + bit));
                }
            }
            Self::CsrU16 => csr_visit::<2>(bytes, grid, count, |b| usize::from(u16::from_le_bytes(b)), take)?,
            Self::CsrU32 => {
                let wide = |b| usize::try_from(u32::from_le_bytes(b)).unwrap_or(usize::MAX);
                csr_visit::<4>(bytes, grid, count, wide, take)?;
            }
            Self::Gaps => {
                let mut next = 0usize;
                for &byte in bytes {
                    next = next.saturating_add(usize::from(byte));
                    if byte != SKIP {
                        if next >= grid.len {
                            return Err("a position is outside the tensor");
                        }
                        take(next);
                        next += 1;
                    }
                }
                if grid.len.checked_sub(next).is_none_or(|rest| rest >= SKIP_LEN) {
                    return Err("its positions end before the tensor does");
                }
            }
        }
        if seen == count { Ok(()) } else { Err("it has another number of positions than of values") }
    }
}

/// Bytes that [`Coding::Gaps`] takes for these positions.
pub(crate) fn gaps_size(grid: Grid, positions: impl Iterator<Item = usize>) -> usize {
    let mut size = 0;
    gaps(grid, positions, |_| size += 1);
    size
}

fn gaps(grid: Grid, positions: impl Iterator<Item = usize>, mut put: impl FnMut(u8)) {
    let mut next = 0;
    let skip = |gap: usize, put: &mut dyn FnMut(u8)| {
        (0..gap / SKIP_LEN).for_each(|_| put(SKIP));
        u8::try_from(gap % SKIP_LEN).unwrap_or(0)
    };
    for p in positions {
        let rest = skip(p.saturating_sub(next), &mut put);
        put(rest);
        next = p + 1;
    }
    skip(grid.len.saturating_sub(next), &mut put);
}

fn csr_bytes<const N: usize>(
    grid: Grid,
    positions: impl Iterator<Item = usize>,
    column: impl Fn(usize) -> [u8; N],
) -> Vec<u8> {
    let columns = grid.columns.max(1);
    let mut starts = Vec::new();
    let mut indices = Vec::new();
    let mut rows = 0;
    let mut end = 0u32;
    for p in positions {
        while rows <= p / columns {
            starts.extend(end.to_le_bytes());
            rows += 1;
        }
        indices.extend(column(p % columns));
        end = end.saturating_add(1);
    }
    while rows <= grid.rows {
        starts.extend(end.to_le_bytes());
        rows += 1;
    }
    starts.append(&mut indices);
    starts
}

fn csr_visit<const N: usize>(
    bytes: &[u8],
    grid: Grid,
    count: usize,
    column: impl Fn([u8; N]) -> usize,
    mut take: impl FnMut(usize),
) -> Result<(), &'static str> {
    let starts = grid.rows.checked_add(1).and_then(|n| n.checked_mul(4));
    let wanted = starts.and_then(|n| n.checked_add(count.checked_mul(N)?));
    let (Some(starts), true) = (starts, wanted == Some(bytes.len())) else {
        return Err("its row starts and columns have the wrong length");
    };
    let (starts, indices) = bytes.split_at_checked(starts).ok_or("its row starts are cut off")?;
    let mut starts = starts.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
    let mut indices = indices.as_chunks::<N>().0.iter().map(|b| column(*b));
    let mut start = starts.next().filter(|s| *s == 0).ok_or("its row starts do not begin at 0")?;
    for (row, end) in starts.enumerate() {
        let len = end.checked_sub(start).ok_or("its row starts do not ascend")?;
        let mut lowest = 0;
        for _ in 0..len {
            let c = indices.next().ok_or("its row starts go past its columns")?;
            if c < lowest || c >= grid.columns {
                return Err("the columns of a row do not ascend inside the matrix");
            }
            take(row * grid.columns + c);
            lowest = c + 1;
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(coding: Coding, bytes: &[u8], grid: Grid, count: usize) -> Result<Vec<usize>, &'static str> {
        let mut seen = Vec::new();
        coding.decode(bytes, grid, count, |p| seen.push(p)).map(|()| seen)
    }

    fn check(grid: Grid, set: &[usize]) {
        let gaps = gaps_size(grid, set.iter().copied());
        for coding in Coding::ALL {
            let bytes = coding.encode(grid, set.iter().copied());
            assert_eq!(coding.size(grid, set.len(), gaps), Some(bytes.len()), "{coding:?}");
            assert_eq!(decode(coding, &bytes, grid, set.len()).as_deref(), Ok(set), "{coding:?}");
            assert!(decode(coding, &bytes, grid, set.len() + 1).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn edges_round_trip() {
        for (rows, columns) in [(1, 1), (3, 5), (1, 255), (1, 256), (1, 511), (7, 300), (4, 0), (2, 65_536)] {
            let grid = Grid::new(rows, columns).unwrap();
            let n = grid.len();
            check(grid, &[]);
            check(grid, &(0..n).collect::<Vec<_>>());
            check(grid, &(0..n).skip(n.saturating_sub(1)).collect::<Vec<_>>());
            check(grid, &(0..n).step_by(254).collect::<Vec<_>>());
            check(grid, &(0..n).step_by(256).collect::<Vec<_>>());
        }
    }

    #[test]
    fn wide_matrices_need_wide_columns() {
        let grid = Grid::new(2, 65_537).unwrap();
        assert_eq!(Coding::CsrU16.size(grid, 3, 3), None);
        assert_eq!(Coding::CsrU32.size(grid, 3, 3), Some(24));
        assert_eq!(Grid::new(usize::MAX, 2), None);
    }

    proptest! {
        #[test]
        fn any_set_round_trips(rows in 1usize..9, columns in 1usize..400, seed: u64, odds in 1u64..60) {
            let grid = Grid::new(rows, columns).unwrap();
            let set: Vec<usize> =
                (0..grid.len()).filter(|&p| spectral_core::hash64(seed, p as u64).is_multiple_of(odds)).collect();
            check(grid, &set);
        }

        #[test]
        fn any_bytes_are_refused_or_stay_inside(
            bytes in proptest::collection::vec(any::<u8>(), 0..64), rows in 0usize..5, columns in 0usize..90, count in 0usize..40
        ) {
            let grid = Grid::new(rows, columns).unwrap();
            for coding in Coding::ALL {
                let mut seen = Vec::new();
                let result = coding.decode(&bytes, grid, count, |p| seen.push(p));
                prop_assert!(seen.iter().all(|p| *p < grid.len()) && seen.windows(2).all(|w| w[0] < w[1]));
                prop_assert!(result.is_err() || seen.len() == count);
            }
        }
    }
}
