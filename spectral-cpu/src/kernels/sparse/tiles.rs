//! A pattern cut into blocks of rows and tiles of columns.
//!
//! Where all rows come in groups of [`HEIGHT`] that store the same columns, as after pruning in blocks, a group takes
//! the place of a row.

use spectral_core::Pattern;
use std::ops::Range;

/// Rows of a group.
pub(crate) const HEIGHT: usize = 4;
/// Most rows of a block: their accumulators stay in the second cache.
const BLOCK_ROWS: usize = 1024;
/// Rows of a block in the mean, where rows hold equally many entries.
const MEAN_ROWS: usize = 512;
/// A tile grows until a row has this many entries in it, or [`MOST_INPUTS`].
const SEGMENT: usize = 4;
/// Inputs of the largest tile: a panel of them stays in the second cache.
const MOST_INPUTS: usize = 2048;

/// How many segments ahead the values are brought near.
const AHEAD: usize = 8;

/// Where the entries of a pattern are, tile by tile.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// Columns of a tile that fits the first cache, as asked for.
    least: usize,
    /// Columns of a tile.
    width: usize,
    columns: usize,
    /// Block `b` is rows `blocks[b]..blocks[b + 1]`.
    blocks: Vec<u32>,
    /// Block by block, tile by tile, then the end of the last one.
    parts: Vec<Start>,
    /// Part by part, then [`AHEAD`] empty ones.
    segments: Vec<Segment>,
    /// Column within its tile, of each entry, segment by segment.
    indices: Vec<u16>,
    /// With groups, where the columns of each begin, counted once a group.
    groups: Option<Vec<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    segment: u32,
    entry: u32,
}

/// The entries of one row in one tile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// Position of the first entry in the pattern's order; the others follow it. In a group, that of its columns.
    pub(crate) start: u32,
    /// Row, or group, within the block.
    pub(crate) row: u16,
    /// Number of entries, at least 1.
    pub(crate) count: u16,
}

/// One tile of one block.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// By number of entries, so that branches on it are foreseen, then by row.
    pub(crate) segments: &'a [Segment],
    /// For each segment, the one that is so many further on that its values should be on their way.
    pub(crate) ahead: &'a [Segment],
    /// Column within the tile, of the entries of one segment after the other.
    pub(crate) indices: &'a [u16],
}

impl Tiles {
    /// The width of tiles for `pattern`, `least` or more; `None` where rows are so thin that even the widest tile holds
    /// hardly more than one entry of each.
    pub(crate) fn worth(pattern: &Pattern, least: usize) -> Option<usize> {
        let cells = pattern.rows() as u64 * pattern.columns() as u64;
        let in_a_row = |width: usize| pattern.nonzeros() as u64 * width as u64 / cells.max(1);
        let mut width = least;
        while in_a_row(width) < SEGMENT as u64 && width < MOST_INPUTS && width < pattern.columns() {
            width *= 2;
        }
        (in_a_row(width) > 1).then_some(width)
    }

    /// Cuts `pattern` into tiles of `width` columns, at most [`MOST_INPUTS`].
    pub(crate) fn new(pattern: &Pattern, least: usize, width: usize) -> Self {
        Self::with_height(pattern, 1, least, width)
    }

    /// As [`new`](Self::new), a row of `pattern` standing for `height` rows.
    fn with_height(pattern: &Pattern, height: usize, least: usize, width: usize) -> Self {
        let width = width.clamp(1, MOST_INPUTS);
        let (rows, columns) = (pattern.rows(), pattern.columns());
        let blocks = blocks(pattern, height);
        let tiles = columns.div_ceil(width);
        let mut parts = Vec::with_capacity((blocks.len() - 1) * tiles + 1);
        let mut segments = Vec::new();
        let mut indices = Vec::with_capacity(pattern.nonzeros());
        let mut next = pattern.starts()[..rows].to_vec();
        for block in blocks.windows(2) {
            for tile in 0..tiles {
                parts.push(Start { segment: segments.len() as u32, entry: indices.len() as u32 });
                let first = segments.len();
                for row in block[0]..block[1] {
                    let start = next[row as usize];
                    let end = pattern.starts()[row as usize + 1];
                    let rest = &pattern.indices()[start as usize..end as usize];
                    let count = rest.partition_point(|&c| (c as usize) < (tile + 1) * width);
                    if count > 0 {
                        segments.push(Segment { start, row: (row - block[0]) as u16, count: count as u16 });
                    }
                    next[row as usize] += count as u32;
                }
                segments[first..].sort_by_key(|s| s.count);
                for s in &segments[first..] {
                    let entries = &pattern.indices()[s.start as usize..][..usize::from(s.count)];
                    indices.extend(entries.iter().map(|&c| (c as usize - tile * width) as u16));
                }
            }
        }
        parts.push(Start { segment: segments.len() as u32, entry: indices.len() as u32 });
        segments.extend([Segment { start: 0, row: 0, count: 0 }; AHEAD]);
        Self { least, width, columns, blocks, parts, segments, indices, groups: None }
    }

    /// As [`new`](Self::new) by groups of rows, where all rows are in such groups and tiles pay.
    pub(crate) fn in_groups(pattern: &Pattern, least: usize) -> Option<Self> {
        let (rows, columns) = (pattern.rows(), pattern.columns());
        let alike = |group: usize| (1..HEIGHT).all(|r| pattern.row(group + r) == pattern.row(group));
        if !rows.is_multiple_of(HEIGHT) || !(0..rows).step_by(HEIGHT).all(alike) {
            return None;
        }
        let starts: Vec<u32> = pattern.starts().iter().step_by(HEIGHT).map(|s| s / HEIGHT as u32).collect();
        let indices = (0..rows).step_by(HEIGHT).flat_map(|r| pattern.row(r).iter().copied()).collect();
        let by_group = Pattern::new(rows / HEIGHT, columns, starts.clone(), indices).ok()?;
        let width = Self::worth(&by_group, least)?;
        Some(Self { groups: Some(starts), ..Self::with_height(&by_group, HEIGHT, least, width) })
    }

    /// Where the columns of each group begin, counted once a group; none where rows are on their own.
    pub(crate) fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    /// Rows of a group, or 1.
    fn height(&self) -> usize {
        if self.groups.is_some() { HEIGHT } else { 1 }
    }

    /// The width that was asked for.
    pub(crate) fn least(&self) -> usize {
        self.least
    }

    pub(crate) fn entries(&self) -> usize {
        self.indices.len() * self.height()
    }

    pub(crate) fn rows(&self) -> usize {
        self.blocks.last().map_or(0, |&end| end as usize * self.height())
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len() - 1
    }

    /// Rows of block `b`.
    pub(crate) fn block(&self, b: usize) -> Range<usize> {
        self.blocks[b] as usize * self.height()..self.blocks[b + 1] as usize * self.height()
    }

    /// Rows of the largest block.
    pub(crate) fn most_rows(&self) -> usize {
        (0..self.blocks()).map(|b| self.block(b).len()).max().unwrap_or(0)
    }

    /// Number of tiles.
    pub(crate) fn tiles(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// Columns of tile `t`.
    pub(crate) fn tile(&self, t: usize) -> Range<usize> {
        t * self.width..self.columns.min((t + 1) * self.width)
    }

    /// The entries of block `b` in tile `t`.
    #[inline(always)]
    pub(crate) fn part(&self, b: usize, t: usize) -> Part<'_> {
        let at = b * self.tiles() + t;
        let (from, to) = (self.parts[at], self.parts[at + 1]);
        let segments = from.segment as usize..to.segment as usize;
        Part {
            ahead: &self.segments[segments.start + AHEAD..segments.end + AHEAD],
            segments: &self.segments[segments],
            indices: &self.indices[from.entry as usize..to.entry as usize],
        }
    }
}

/// Ends of the blocks: about equally many entries in each, but not too many rows, of which a row of `pattern` stands
/// for `height`.
fn blocks(pattern: &Pattern, height: usize) -> Vec<u32> {
    let (rows, starts) = (pattern.rows(), pattern.starts());
    let share = pattern.nonzeros() / rows.div_ceil(MEAN_ROWS / height).max(1) + 1;
    let mut ends = vec![0];
    let mut first = 0;
    while first < rows {
        let limit = starts[first] as usize + share;
        let full = starts[first + 1..].partition_point(|&s| (s as usize) < limit) + 1;
        first = (first + full.min(BLOCK_ROWS / height)).min(rows);
        ends.push(first as u32);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::hash64;

    #[test]
    fn rows_that_store_the_same_are_groups() {
        let stored = |r: usize, c: usize| hash64((r / HEIGHT) as u64, c as u64).is_multiple_of(5);
        let pattern = Pattern::from_fn(40, 300, stored).unwrap();
        let tiles = Tiles::in_groups(&pattern, 64).unwrap();
        assert_eq!((tiles.rows(), tiles.entries(), tiles.block(0)), (40, pattern.nonzeros(), 0..40));
        assert_eq!(tiles.groups().unwrap().len(), 11);
        let absent = (0..300).find(|c| !stored(7, *c)).unwrap();
        let one_off = Pattern::from_fn(40, 300, |r, c| stored(r, c) || (r, c) == (7, absent)).unwrap();
        assert!(Tiles::in_groups(&one_off, 64).is_none());
        assert!(Tiles::in_groups(&Pattern::from_fn(42, 300, stored).unwrap(), 64).is_none());
    }

    #[test]
    fn parts_hold_every_entry_once() {
        for (rows, columns, width, one_in) in [(1, 1, 1, 1), (3000, 70, 16, 9), (40, 900, 256, 2), (7, 5, 64, 3)] {
            let stored = |r: usize, c: usize| hash64(r as u64, c as u64).is_multiple_of(one_in) && r % 11 != 4;
            let pattern = Pattern::from_fn(rows, columns, stored).unwrap();
            let tiles = Tiles::new(&pattern, width, width);
            assert_eq!((tiles.rows(), tiles.columns(), tiles.entries()), (rows, columns, pattern.nonzeros()));
            let mut found = Vec::new();
            for (b, t) in (0..tiles.blocks()).flat_map(|b| (0..tiles.tiles()).map(move |t| (b, t))) {
                let part = tiles.part(b, t);
                let mut indices = part.indices.iter();
                for s in part.segments {
                    for k in 0..u32::from(s.count) {
                        let row = tiles.block(b).start + usize::from(s.row);
                        let column = tiles.tile(t).start + usize::from(*indices.next().unwrap());
                        assert!(tiles.block(b).contains(&row) && tiles.tile(t).contains(&column));
                        found.push((s.start + k, (row, column)));
                    }
                }
                assert!(indices.next().is_none() && part.segments.is_sorted_by_key(|s| s.count));
            }
            found.sort_unstable();
            let want: Vec<_> = pattern.iter().enumerate().map(|(k, at)| (k as u32, at)).collect();
            assert_eq!(found, want);
        }
    }

    #[test]
    fn blocks_balance_entries_and_bound_rows() {
        // One full row, then thousands of thin ones.
        let pattern = Pattern::from_fn(5000, 400, |r, c| r == 0 || c == r % 400).unwrap();
        let ends = blocks(&pattern, 1);
        assert_eq!((ends[0], *ends.last().unwrap()), (0, 5000));
        assert!(ends.windows(2).all(|w| w[0] < w[1] && (w[1] - w[0]) as usize <= BLOCK_ROWS), "{ends:?}");
        assert_eq!(blocks(&Pattern::from_fn(0, 3, |_, _| true).unwrap(), 1), [0]);
        let fours = blocks(&pattern, 4);
        assert!(fours.windows(2).all(|w| w[1] - w[0] <= BLOCK_ROWS as u32 / 4));
    }

    #[test]
    fn thin_patterns_get_wide_tiles_or_none() {
        let every = |n: usize| Pattern::from_fn(10, 10_000, |_, c| c % n == 0).unwrap();
        assert_eq!(Tiles::worth(&every(10), 256), Some(256));
        assert_eq!(Tiles::worth(&every(100), 256), Some(512));
        assert_eq!(Tiles::worth(&every(5_000), 256), None);
    }
}
