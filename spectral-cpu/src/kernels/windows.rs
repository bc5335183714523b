//! Where the values of windows lie in images `[channels, height, width, batch]`.

use spectral_core::Window;
use std::ops::Range;

/// Extents of images, of places, and the window.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) window: Window,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) batch: usize,
}

/// A stretch of a row of places, at one offset of the window.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Its first element, counted from that of all places of a channel.
    pub(crate) at: usize,
    /// The element of the image that its first one sees; `None` if all see padding.
    pub(crate) from: Option<usize>,
    /// Elements.
    pub(crate) len: usize,
}

impl Grid {
    /// From shapes that were checked.
    pub(crate) fn new(window: Window, x: spectral_core::Shape, y: spectral_core::Shape) -> Self {
        let (&[_, height, width, batch], &[_, rows, columns, _]) = (x.extents(), y.extents()) else {
            return Self { window, height: 0, width: 0, rows: 0, columns: 0, batch: 0 };
        };
        Self { window, height, width, rows, columns, batch }
    }

    /// Elements of a channel's images.
    pub(crate) fn image(&self) -> usize {
        self.height * self.width * self.batch
    }

    /// Elements of all places of a channel.
    pub(crate) fn places(&self) -> usize {
        self.rows * self.columns * self.batch
    }

    /// Elements of a row of places.
    pub(crate) fn line(&self) -> usize {
        self.columns * self.batch
    }

    /// The offset in the window of its value `tap`.
    pub(crate) fn offset(&self, tap: usize) -> (usize, usize) {
        let [_, width] = self.window.kernel;
        (tap / width, tap % width)
    }

    /// Calls `f` with the runs of the row `i` of places at offset `(a, b)` of the window, from left to right.
    #[inline(always)]
    pub(crate) fn runs(&self, i: usize, (a, b): (usize, usize), mut f: impl FnMut(Run)) {
        let [down, across] = self.window.axes();
        let start = i * self.line();
        let Some(y) = down.at(i, a, self.height) else {
            return f(Run { at: start, from: None, len: self.line() });
        };
        let Range { start: first, end } = across.inside(b, self.width, self.columns);
        if first > 0 {
            f(Run { at: start, from: None, len: first * self.batch });
        }
        let from = |j: usize| (y * self.width + j * across.stride + b * across.dilation - across.before) * self.batch;
        if across.stride == 1 && first < end {
            f(Run { at: start + first * self.batch, from: Some(from(first)), len: (end - first) * self.batch });
        } else {
            for j in first..end {
                f(Run { at: start + j * self.batch, from: Some(from(j)), len: self.batch });
            }
        }
        if end < self.columns {
            f(Run { at: start + end * self.batch, from: None, len: (self.columns - end) * self.batch });
        }
    }

    /// As [`runs`](Self::runs), without those in the padding: calls `f(at, from, len)`.
    #[inline(always)]
    pub(crate) fn seen(&self, i: usize, offset: (usize, usize), mut f: impl FnMut(usize, usize, usize)) {
        self.runs(i, offset, |run| {
            if let Some(from) = run.from {
                f(run.at, from, run.len);
            }
        });
    }
}
