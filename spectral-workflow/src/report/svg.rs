//! A small writer of SVG: what the plots need and no more.
//!
//! Looks are in the page's style sheet, so that one drawing serves light and dark. A coordinate that is not finite is
//! written as 0, so that no input can break the page.

mod axes;
mod scale;

pub(crate) use axes::{Axes, Frame};
pub(crate) use scale::Scale;

use std::fmt::Write;

/// `x` to the right, `y` down.
pub type Point = (f64, f64);

/// A rectangle, from its upper left corner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    /// Between two opposite corners, whichever way round.
    pub(crate) fn between(a: Point, b: Point) -> Self {
        Self { x: a.0.min(b.0), y: a.1.min(b.1), width: (a.0 - b.0).abs(), height: (a.1 - b.1).abs() }
    }

    pub(crate) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

/// A drawing.
pub struct Svg {
    text: String,
}

impl Svg {
    /// An empty drawing; `label` is what a screen reader says.
    pub fn new(width: f64, height: f64, label: &str) -> Self {
        let (width, height, label) = (number(width), number(height), escape(label));
        Self { text: format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">"#) }
    }

    /// A rectangle. Empty titles are left out, here and below.
    pub(crate) fn rect(&mut self, class: &str, area: Area, title: &str) {
        let Area { x, y, width, height } = area;
        let (x, y, width, height) = (number(x), number(y), number(width.max(0.0)), number(height.max(0.0)));
        let shape = format!(r#"rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}""#);
        self.element(&shape, "rect", title);
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, from: Point, to: Point) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        let shape = format!(r#"line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}""#);
        self.element(&shape, "line", "");
    }

    /// Straight lines from point to point.
    pub(crate) fn polyline(&mut self, class: &str, points: &[Point]) {
        let points = points.iter().map(|&(x, y)| format!("{},{}", number(x), number(y))).collect::<Vec<_>>().join(" ");
        self.element(&format!(r#"polyline class="{class}" points="{points}""#), "polyline", "");
    }

    /// Any outline.
    pub(crate) fn path(&mut self, class: &str, outline: &Outline, title: &str) {
        self.element(&format!(r#"path class="{class}" d="{}""#, outline.0.trim_end()), "path", title);
    }

    /// A filled circle.
    pub fn dot(&mut self, class: &str, at: Point, radius: f64, title: &str) {
        let [x, y, r] = [at.0, at.1, radius].map(number);
        self.element(&format!(r#"circle class="{class}" cx="{x}" cy="{y}" r="{r}""#), "circle", title);
    }

    /// One line of text on its baseline. Classes `m` and `e` centre it and right-align it.
    pub fn text(&mut self, class: &str, at: Point, text: &str) {
        let [x, y] = [at.0, at.1].map(number);
        let _ = write!(self.text, r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#, escape(text));
    }

    /// The markup.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }

    fn element(&mut self, shape: &str, name: &str, title: &str) {
        let _ = match title {
            "" => write!(self.text, "<{shape}/>"),
            _ => write!(self.text, "<{shape}><title>{}</title></{name}>", escape(title)),
        };
    }
}

/// The `d` of a path.
#[derive(Default)]
pub(crate) struct Outline(String);

impl Outline {
    pub(crate) fn to(&mut self, at: Point) -> &mut Self {
        let command = if self.0.is_empty() { 'M' } else { 'L' };
        let _ = write!(self.0, "{command}{} {} ", number(at.0), number(at.1));
        self
    }

    /// An S from where the pen is, level at both ends.
    pub(crate) fn ease(&mut self, from: Point, to: Point) -> &mut Self {
        let middle = number((from.0 + to.0) / 2.0);
        let [y0, x1, y1] = [from.1, to.0, to.1].map(number);
        let _ = write!(self.0, "C{middle} {y0} {middle} {y1} {x1} {y1} ");
        self
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        self.0.push('Z');
        self
    }
}

/// Two decimals at most.
pub(crate) fn number(v: f64) -> String {
    if !v.is_finite() {
        return "0".into();
    }
    let text = format!("{v:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text as it may stand between tags and in attributes. Control characters that XML forbids become spaces.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_safe_and_short() {
        let mut svg = Svg::new(10.0, 20.5, "a \"b\"");
        svg.rect("r", Area { x: f64::NAN, y: -0.001, width: -3.0, height: 1.0 / 3.0 }, "<t>");
        svg.text("m", (1.0, f64::INFINITY), "a & b\u{0}");
        let mut outline = Outline::default();
        outline.to((0.0, 0.0)).ease((0.0, 0.0), (10.0, 4.0)).close();
        svg.path("p", &outline, "");
        assert_eq!(
            svg.finish(),
            concat!(
                r#"<svg viewBox="0 0 10 20.5" role="img" aria-label="a &quot;b&quot;">"#,
                r#"<rect class="r" x="0" y="0" width="0" height="0.33"><title>&lt;t&gt;</title></rect>"#,
                r#"<text class="m" x="1" y="0">a &amp; b </text>"#,
                r#"<path class="p" d="M0 0 C5 0 5 4 10 4 Z"/></svg>"#
            )
        );
    }
}
