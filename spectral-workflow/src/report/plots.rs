//! The plots of the page. Each takes what it shows and gives nothing where there is nothing to show.

pub(crate) mod bars;
pub(crate) mod curves;
pub(crate) mod histogram;
pub(crate) mod lines;
pub(crate) mod network;
pub(crate) mod spectrum;
pub(crate) mod sweep;

use super::svg::{Frame, Point};
use std::borrow::Cow;

/// A drawing with the words around it.
pub(crate) struct Figure {
    pub(crate) title: String,
    /// What to see in it, in a line.
    pub(crate) note: String,
    /// Class of the mark, and what it stands for.
    pub(crate) legend: Vec<(&'static str, Cow<'static, str>)>,
    pub(crate) svg: String,
}

/// One point of a line, with its tooltip.
pub(crate) struct Mark {
    x: f64,
    y: f64,
    title: String,
}

/// A line with a dot at each mark; marks that are not finite interrupt it.
fn line(frame: &mut Frame, class: &str, marks: &[Mark]) {
    let drawn = |m: &Mark| m.x.is_finite() && m.y.is_finite();
    let place = |frame: &Frame, m: &Mark| -> Point { (frame.x.at(m.x), frame.y.at(m.y)) };
    for run in marks.split(|m| !drawn(m)).filter(|run| run.len() > 1) {
        let points: Vec<Point> = run.iter().map(|m| place(frame, m)).collect();
        frame.svg.polyline(&format!("line {class}"), &points);
    }
    let radius = (frame.area.width / marks.len().max(1) as f64 / 5.0).clamp(1.0, 2.6);
    for mark in marks.iter().filter(|m| drawn(m)) {
        let at = place(frame, mark);
        frame.svg.dot(&format!("dot {class}"), at, radius, &mark.title);
    }
}
