//! Products with stored entries for very few samples, without reading inputs one by one.
//!
//! At batch 1 an entry of CSR costs what it takes to fetch its input. Here inputs are fetched two vectors at a time: a
//! *slice* is as many rows as a vector has lanes, a *step* a window of two vectors of inputs that lie side by side, and
//! in it for each row up to two entries, whose inputs one instruction each picks out of the window. Lanes are rows, so
//! a slice needs no sum across lanes.
//!
//! Steps are made greedily: the window begins where the row that is furthest behind has its next entry, and every row
//! takes its next two entries if they are inside. Rows that have none get padding: zeros, of which random patterns have
//! 0.7 for each entry at 90 % sparsity and 1.3 at 95 %.

use super::SharedMut;
use super::activation::Activate;
use super::math::Math;
use super::vector::{Kernel, Vector};
use crate::Cpu;
use spectral_core::{Activation, Element, Pattern, Result, Shape, Tensor};
use std::ops::Range;

/// The most samples that are multiplied with at a time.
pub(crate) const SAMPLES: usize = 4;
/// Entries of a row that a step takes. With one, windows are loaded twice as often; with three there is more padding.
const DEPTH: usize = 2;
/// Where a row has no entry in a step.
const PADDING: u8 = 0x80;
/// The most places for each entry: with more, rows are read faster.
const MOST_PLACES: usize = 6;
/// Steps worth a thread, one sample: some microseconds.
const PANEL_STEPS: usize = 1_500;

/// The entries of a pattern in slices, with values.
#[derive(Debug)]
pub(crate) struct Slices {
    rows: usize,
    columns: usize,
    lanes: usize,
    /// Slice `s` is steps `starts[s]..starts[s + 1]`.
    starts: Vec<u32>,
    /// Where the window of each step begins, in vectors.
    windows: Vec<u16>,
    /// Step by step, [`DEPTH`] times, the input of the window that each row picks, or [`PADDING`].
    picks: Vec<u8>,
    /// The same for the weights, 0 where there is none. A tensor, for its alignment.
    values: Tensor,
}

impl Slices {
    /// The entries of `pattern` with their `values`, for vectors of `lanes` elements; `None` for patterns that would
    /// be mostly padding, or have too many columns.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn new<E: Element>(pattern: &Pattern, values: &[E], lanes: usize) -> Result<Option<Self>> {
        let (rows, columns) = (pattern.rows(), pattern.columns());
        let last_window = columns.div_ceil(lanes).saturating_sub(2);
        if last_window > usize::from(u16::MAX) {
            return Ok(None);
        }
        let (mut starts, mut windows, mut picks, mut placed) = (vec![0], Vec::new(), Vec::new(), Vec::new());
        let most = MOST_PLACES * pattern.nonzeros() + DEPTH * lanes;
        for slice in (0..rows).step_by(lanes) {
            let mut rest: Vec<Range<usize>> = (slice..rows.min(slice + lanes))
                .map(|r| pattern.starts()[r] as usize..pattern.starts()[r + 1] as usize)
                .collect();
            let column = |entry: usize| pattern.indices()[entry] as usize;
            while let Some(behind) = rest.iter().filter(|r| !r.is_empty()).map(|r| column(r.start)).min() {
                let window = (behind / lanes).min(last_window);
                let first = window * lanes;
                windows.push(window as u16);
                for place in 0..DEPTH * lanes {
                    let here = |r: &&mut Range<usize>| r.start < r.end && column(r.start) < first + 2 * lanes;
                    let entry = rest.get_mut(place % lanes).filter(here).and_then(Iterator::next);
                    picks.push(entry.map_or(PADDING, |k| (column(k) - first) as u8));
                    placed.push(entry.map_or(E::of(0.0), |k| values[k]));
                }
                if placed.len() > most {
                    return Ok(None);
                }
            }
            starts.push(windows.len() as u32);
        }
        let mut laid_out = Tensor::try_host_zeros(Shape::vector(placed.len()), E::DTYPE)?;
        laid_out.host_mut::<E>()?.copy_from_slice(&placed);
        Ok(Some(Self { rows, columns, lanes, starts, windows, picks, values: laid_out }))
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape::matrix(self.rows, self.columns)
    }

    pub(crate) fn bytes(&self) -> usize {
        4 * self.starts.len() + 2 * self.windows.len() + self.picks.len() * (1 + self.values.dtype().bytes())
    }

    /// Elements of one sample, up to the end of the last window.
    fn width(&self) -> usize {
        self.columns.next_multiple_of(self.lanes).max(2 * self.lanes)
    }

    /// Part `i` of the slices, cut into `parts` with about equally many steps.
    fn part(&self, i: usize, parts: usize) -> Range<usize> {
        let slices = self.starts.len() - 1;
        let end = |i: usize| match i {
            0 => 0,
            i if i == parts => slices,
            i => self.starts.partition_point(|&s| (s as usize) < self.windows.len() * i / parts).min(slices),
        };
        end(i)..end(i + 1)
    }
}

/// `y = act(W x + bias)`, `x` being `[columns, samples]` and `y` `[rows, samples]`, up to [`SAMPLES`] samples.
///
/// # Errors
/// `w` is of another element type.
pub(crate) fn multiply<E: Math>(
    cpu: &Cpu,
    w: &Slices,
    x: &[E],
    samples: usize,
    bias: Option<&[E]>,
    activation: Activation,
    y: &mut [E],
) -> Result<()> {
    assert!((1..=SAMPLES).contains(&samples) && w.lanes == super::sparse::lanes::<E>(cpu));
    assert!(x.len() == w.columns * samples && y.len() == w.rows * samples);
    assert!(bias.is_none_or(|b| b.len() == w.rows));
    let (values, width) = (w.values.host::<E>()?, w.width());
    cpu.scratch().with(width * samples, |by_sample: &mut [E]| {
        let mut finite = true;
        for (s, to) in by_sample.chunks_exact_mut(width).enumerate() {
            let (inputs, behind) = to.split_at_mut(w.columns);
            match samples {
                1 => inputs.copy_from_slice(x),
                _ => inputs.iter_mut().zip(x.iter().skip(s).step_by(samples)).for_each(|(to, from)| *to = *from),
            }
            // Without a way out, so that the compiler makes vectors of it.
            finite &= inputs.iter().fold(true, |finite, x| finite & x.is_finite());
            behind.fill(E::of(0.0));
        }
        let (x, y) = (&*by_sample, SharedMut(y.as_mut_ptr()));
        let parts = (w.windows.len() * samples / PANEL_STEPS).clamp(1, w.starts.len().max(2) - 1);
        cpu.crew().each(parts, |i| {
            let slices = w.part(i, parts);
            let rows = (slices.start * w.lanes).min(w.rows)..(slices.end * w.lanes).min(w.rows);
            cpu.simd().run(Multiply { w, values, x, samples, finite, bias, y: y.get(), slices });
            // SAFETY: these rows are this part's alone.
            unsafe {
                let from = y.get().add(rows.start * samples);
                cpu.simd().run(Activate::raw(activation, from, from, rows.len() * samples));
            }
        });
    });
    Ok(())
}

/// Some slices. Writes the rows of these, and no others.
struct Multiply<'a, E> {
    w: &'a Slices,
    values: &'a [E],
    /// `[samples, width]`.
    x: &'a [E],
    samples: usize,
    /// Whether all of `x` is: then padding, which multiplies some input with 0, changes nothing.
    finite: bool,
    bias: Option<&'a [E]>,
    y: *mut E,
    slices: Range<usize>,
}

impl<E: Math> Kernel<E> for Multiply<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Vector<Elem = E>>(self) {
        // SAFETY: `multiply` has checked the extents.
        unsafe {
            match (self.finite, self.samples) {
                (false, 1) => self.slices::<V, 1, false>(),
                (false, 2) => self.slices::<V, 2, false>(),
                (false, 3) => self.slices::<V, 3, false>(),
                (false, _) => self.slices::<V, 4, false>(),
                (true, 1) => self.slices::<V, 1, true>(),
                (true, 2) => self.slices::<V, 2, true>(),
                (true, 3) => self.slices::<V, 3, true>(),
                (true, _) => self.slices::<V, 4, true>(),
            }
        }
    }
}

impl<E: Math> Multiply<'_, E> {
    #[inline(always)]
    unsafe fn slices<V: Vector<Elem = E>, const S: usize, const FINITE: bool>(&self) {
        let w = self.w;
        for slice in self.slices.clone() {
            let steps = w.starts[slice] as usize..w.starts[slice + 1] as usize;
            let row = slice * V::LANES;
            let rows = (w.rows - row).min(V::LANES);
            let first = match self.bias {
                // SAFETY: `bias` holds `rows` elements from `row` on.
                Some(bias) => unsafe { V::load_masked(bias.as_ptr().add(row), V::first(rows)) },
                None => V::zero(),
            };
            let (mut firsts, mut seconds) = ([first; S], [V::zero(); S]);
            for k in steps {
                // SAFETY: `k` is a step.
                unsafe { self.step::<V, S, FINITE>(k, [&mut firsts, &mut seconds]) };
            }
            for s in 0..S {
                let sum = firsts[s].add(seconds[s]);
                // SAFETY: rows of `y` from `row` on.
                unsafe {
                    if S == 1 {
                        sum.store_masked(self.y.add(row), V::first(rows));
                    } else {
                        let lanes = sum.lanes();
                        for (lane, value) in lanes[..rows].iter().enumerate() {
                            *self.y.add((row + lane) * S + s) = *value;
                        }
                    }
                }
            }
        }
    }

    /// Adds the products of step `k` to `sums`, which do not wait for each other.
    #[inline(always)]
    unsafe fn step<V: Vector<Elem = E>, const S: usize, const FINITE: bool>(
        &self,
        k: usize,
        sums: [&mut [V; S]; DEPTH],
    ) {
        let width = self.x.len() / S;
        // SAFETY: every step has a window inside the samples, and `DEPTH` times `LANES` picks and values.
        unsafe {
            let x = self.x.as_ptr().add(usize::from(*self.w.windows.get_unchecked(k)) * V::LANES);
            let windows: [[V; 2]; S] =
                std::array::from_fn(|s| [V::load(x.add(s * width)), V::load(x.add(s * width + V::LANES))]);
            for (d, sums) in sums.into_iter().enumerate() {
                let at = (k * DEPTH + d) * V::LANES;
                let picks = self.w.picks.as_ptr().add(at);
                let value = V::load(self.values.as_ptr().add(at));
                for (window, sum) in windows.into_iter().zip(sums) {
                    let mut input = V::pick(window, picks);
                    if !FINITE {
                        let taken = (0..V::LANES).fold(0, |bits, i| bits | u64::from(*picks.add(i) != PADDING) << i);
                        input = V::select(V::mask(taken), input, V::zero());
                    }
                    *sum = value.fma(input, *sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::hash64;

    #[test]
    fn steps_hold_every_entry_once() {
        for (rows, columns, lanes, one_in) in [(1, 1, 4, 1), (50, 70, 16, 9), (40, 900, 8, 2), (7, 5, 16, 3)] {
            let stored = |r: usize, c: usize| hash64(r as u64, c as u64).is_multiple_of(one_in) && r % 11 != 4;
            let pattern = Pattern::from_fn(rows, columns, stored).unwrap();
            let values: Vec<f64> = (1..=pattern.nonzeros()).map(|k| k as f64).collect();
            let slices = Slices::new(&pattern, &values, lanes).unwrap().unwrap();
            assert_eq!((slices.shape(), slices.starts.len()), (Shape::matrix(rows, columns), rows.div_ceil(lanes) + 1));
            let laid_out = slices.values.host::<f64>().unwrap();
            let mut found = Vec::new();
            for (slice, steps) in slices.starts.windows(2).enumerate() {
                let step = DEPTH * lanes;
                let places = steps[0] as usize * step..steps[1] as usize * step;
                for (place, value) in places.clone().zip(&laid_out[places]) {
                    let first = usize::from(slices.windows[place / step]) * lanes;
                    assert!(first + 2 * lanes <= slices.width());
                    match slices.picks[place] {
                        PADDING => assert_eq!(*value, 0.0),
                        pick => {
                            let at = (slice * lanes + place % lanes, first + usize::from(pick));
                            found.push((*value as usize - 1, at));
                        }
                    }
                }
            }
            found.sort_unstable();
            assert!(found.into_iter().eq(pattern.iter().enumerate()));
        }
    }

    #[test]
    fn patterns_that_would_be_padding_are_left_to_others() {
        let one_row = Pattern::from_fn(100, 4000, |r, _| r == 3).unwrap();
        assert!(Slices::new(&one_row, &[1.0f32; 4000], 16).unwrap().is_none());
        let wide = Pattern::from_fn(1, 1 << 21, |_, c| c % 1024 == 0).unwrap();
        assert!(Slices::new(&wide, &[1.0f32; 2048], 16).unwrap().is_none());
    }

    #[test]
    fn parts_are_all_slices() {
        let pattern = Pattern::from_fn(200, 50, |r, c| (r + c) % 3 == 0).unwrap();
        let slices = Slices::new(&pattern, &vec![1.0f32; pattern.nonzeros()], 16).unwrap().unwrap();
        for parts in 1..15 {
            let ends: Vec<_> = (0..parts).map(|i| slices.part(i, parts)).collect();
            assert!(ends.windows(2).all(|w| w[0].end == w[1].start));
            assert_eq!((ends[0].start, ends[parts - 1].end), (0, 13));
        }
    }
}
