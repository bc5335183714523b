//! Windows that slide over images, for convolutions and pooling.

use serde::{Deserialize, Serialize};

/// How a rectangular window slides over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Values it has, down and across.
    pub kernel: [usize; 2],
    /// Steps between places, down and across.
    pub stride: [usize; 2],
    /// Rows above and below, then columns left and right of the image.
    pub padding: [usize; 4],
    /// Steps between neighbouring values of the window, down and across; 1 if they touch.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square window with steps of one, without padding or gaps.
    pub const fn square(kernel: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [1; 2], padding: [0; 4], dilation: [1; 2] }
    }

    /// Values it has.
    pub fn taps(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// Down and across.
    pub fn axes(&self) -> [WindowAxis; 2] {
        [0, 1].map(|i| WindowAxis {
            kernel: self.kernel[i],
            stride: self.stride[i],
            before: self.padding[2 * i],
            after: self.padding[2 * i + 1],
            dilation: self.dilation[i],
        })
    }

    /// Places in an image of this height and width, down and across; `None` if the window does not fit, has no values,
    /// or makes no steps.
    pub fn places(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        let [down, across] = self.axes();
        Some([down.places(height)?, across.places(width)?])
    }

    /// Values of the window at `place` that are in an image of these extents.
    #[inline]
    pub fn values_at(&self, place: [usize; 2], extents: [usize; 2]) -> usize {
        let axes = self.axes();
        axes[0].values_at(place[0], extents[0]) * axes[1].values_at(place[1], extents[1])
    }

    /// Whether it holds at least one value of an image of these extents at every place.
    pub fn meets(&self, extents: [usize; 2]) -> bool {
        let Some(places) = self.places(extents) else { return false };
        self.axes()
            .iter()
            .zip(extents)
            .zip(places)
            .all(|((axis, extent), places)| (0..places).all(|place| axis.values_at(place, extent) > 0))
    }

    /// Whether any value of the window can lie in the padding.
    pub fn is_padded(&self) -> bool {
        self.padding != [0; 4]
    }
}

/// A [`Window`] along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowAxis {
    /// Values.
    pub kernel: usize,
    /// Steps between places.
    pub stride: usize,
    /// Padding before the image.
    pub before: usize,
    /// Padding behind it.
    pub after: usize,
    /// Steps between neighbouring values.
    pub dilation: usize,
}

impl WindowAxis {
    /// What the window covers, gaps included; `None` if it has no values.
    pub fn span(&self) -> Option<usize> {
        if self.dilation == 0 {
            return None;
        }
        self.kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)
    }

    /// Places along `extent` values; `None` if the window does not fit, has no values, or makes no steps.
    pub fn places(&self, extent: usize) -> Option<usize> {
        let padded = extent.checked_add(self.before)?.checked_add(self.after)?;
        let room = padded.checked_sub(self.span()?)?;
        Some(room.checked_div(self.stride)? + 1)
    }

    /// Where in the image the value at `offset` of the window at `place` is; `None` in the padding.
    #[inline]
    pub fn at(&self, place: usize, offset: usize, extent: usize) -> Option<usize> {
        (place * self.stride + offset * self.dilation).checked_sub(self.before).filter(|i| *i < extent)
    }

    /// Values of the window at `place` that are in the image.
    #[inline]
    pub fn values_at(&self, place: usize, extent: usize) -> usize {
        (0..self.kernel).filter(|offset| self.at(place, *offset, extent).is_some()).count()
    }

    /// The places, below `places`, whose value at `offset` is in the image and not in the padding.
    #[inline]
    pub fn inside(&self, offset: usize, extent: usize, places: usize) -> std::ops::Range<usize> {
        let shift = offset * self.dilation;
        let first = self.before.saturating_sub(shift).div_ceil(self.stride).min(places);
        let end = (extent + self.before).saturating_sub(shift).div_ceil(self.stride).min(places);
        first..end.max(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_count_their_places() {
        for (kernel, stride, padding, dilation, extent, places) in [
            (3, 1, [1, 1], 1, 8, Some(8)),
            (3, 2, [0, 0], 1, 8, Some(3)),
            (3, 2, [0, 1], 1, 8, Some(4)),
            (5, 1, [0, 0], 1, 4, None),
            (1, 3, [0, 0], 1, 7, Some(3)),
            (3, 1, [0, 0], 3, 7, Some(1)),
            (3, 1, [0, 0], 3, 6, None),
            (2, 0, [0, 0], 1, 4, None),
            (2, 1, [0, 0], 0, 4, None),
            (0, 1, [0, 0], 1, 4, None),
            (usize::MAX, 1, [1, usize::MAX], 2, 4, None),
        ] {
            let axis = WindowAxis { kernel, stride, before: padding[0], after: padding[1], dilation };
            assert_eq!(axis.places(extent), places, "{axis:?}");
        }
    }

    #[test]
    fn places_inside_are_those_that_meet_the_image() {
        for (kernel, stride, before, dilation) in [(3, 1, 1, 1), (3, 2, 2, 2), (2, 3, 0, 1), (5, 1, 4, 3), (1, 2, 3, 1)]
        {
            let axis = WindowAxis { kernel, stride, before, after: 4, dilation };
            for extent in 0..9 {
                let Some(places) = axis.places(extent) else { continue };
                for offset in 0..kernel {
                    let want: Vec<_> = (0..places).filter(|p| axis.at(*p, offset, extent).is_some()).collect();
                    let got: Vec<_> = axis.inside(offset, extent, places).collect();
                    assert_eq!(got, want, "{axis:?} {extent} {offset}");
                }
            }
        }
    }
}
