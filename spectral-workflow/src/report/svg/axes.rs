//! The frame of a plot: grid, ticks and axis titles.

use super::{Area, Scale, Svg};

/// What stands along the axes.
pub(crate) struct Axes<'a> {
    /// What the plot shows, for screen readers.
    pub(crate) name: &'a str,
    /// Title of the horizontal axis.
    pub(crate) x: &'a str,
    /// Title of the vertical axis, written above it.
    pub(crate) y: &'a str,
    /// Whether only whole numbers make sense along x.
    pub(crate) whole: bool,
}

/// A drawing with axes; draw on `svg` through `x` and `y`.
pub(crate) struct Frame {
    pub(crate) svg: Svg,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    pub(crate) area: Area,
}

impl Frame {
    /// Width of every plot, in its own units; close to what it gets on a page, so that text keeps its size.
    pub(crate) const WIDTH: f64 = 500.0;
    /// Height of plots with axes.
    pub(crate) const HEIGHT: f64 = 270.0;

    /// Draws the grid; `x` and `y` are the ranges of values.
    pub(crate) fn new(axes: &Axes<'_>, x: Scale, y: Scale) -> Self {
        let area = Area { x: 46.0, y: 30.0, width: Self::WIDTH - 46.0 - 12.0, height: Self::HEIGHT - 30.0 - 44.0 };
        let (x, y) = (x.onto(area.x, area.right()), y.onto(area.bottom(), area.y));
        let mut svg = Svg::new(Self::WIDTH, Self::HEIGHT, axes.name);
        for tick in y.ticks(4) {
            let at = y.at(tick.value);
            svg.line("grid", (area.x, at), (area.right(), at));
            svg.text("tick e", (area.x - 8.0, at + 4.0), &tick.label);
        }
        for tick in if axes.whole { x.whole_ticks(6) } else { x.ticks(6) } {
            let at = x.at(tick.value);
            svg.line("stub", (at, area.bottom()), (at, area.bottom() + 4.0));
            svg.text("tick m", (at, area.bottom() + 18.0), &tick.label);
        }
        svg.line("base", (area.x, area.bottom()), (area.right(), area.bottom()));
        svg.text("axis m", (area.x + area.width / 2.0, Self::HEIGHT - 6.0), axes.x);
        svg.text("axis", (4.0, 12.0), axes.y);
        Self { svg, x, y, area }
    }
}
