//! The shape of the network: the dense one as a shadow, what is left of it in front.

use super::Figure;
use crate::report::format;
use crate::report::schema::{Report, Stage};
use crate::report::svg::{Area, Frame, Outline, Point, Svg};

const HEIGHT: f64 = 256.0;
const MIDDLE: f64 = 112.0;
const TALLEST: f64 = 200.0;

/// The figure, or none if there are no layers or the stages have different ones.
pub(crate) fn figure(report: &Report) -> Option<Figure> {
    let (dense, last) = (report.baseline()?, report.stages.last()?);
    let most = dense.units.iter().chain(&last.units).copied().max().unwrap_or(0);
    if dense.units.len() < 2 || dense.units.len() != last.units.len() || most == 0 {
        return None;
    }
    let steps = dense.units.len() - 1;
    let x = |i: usize| 34.0 + (Frame::WIDTH - 68.0) * i as f64 / steps as f64;
    // Area would do 784 inputs and 10 outputs justice; heights as square roots keep both in sight.
    let height = |units: usize| if units == 0 { 0.0 } else { TALLEST * (units as f64 / most as f64).sqrt().max(0.02) };
    let outline =
        |units: &[usize]| -> Vec<Point> { units.iter().enumerate().map(|(i, &n)| (x(i), height(n) / 2.0)).collect() };

    let mut svg = Svg::new(Frame::WIDTH, HEIGHT, "The network before and after pruning");
    let density = densities(report, last);
    for (class, stage) in [("ghost", dense), ("live", last)] {
        let shape = outline(&stage.units);
        for (i, pair) in shape.windows(2).enumerate() {
            let title = format!("{} x {} weights between", stage.units[i], stage.units[i + 1]);
            let faint = if class == "live" { level(density.get(i)) } else { "" };
            svg.path(&format!("ribbon {class}{faint}"), &ribbon(pair[0], pair[1]), &title);
        }
        for ((at, half), units) in shape.into_iter().zip(&stage.units) {
            let area = Area::between((at - 4.0, MIDDLE - half), (at + 4.0, MIDDLE + half));
            svg.rect(&format!("pillar {class}"), area, &format!("{}: {} units", stage.name, format::count(*units)));
        }
    }
    let room = x(1) - x(0);
    for (i, (&old, &new)) in dense.units.iter().zip(&last.units).enumerate() {
        let changed = old != new;
        if changed && room > 62.0 {
            svg.text("was m", (x(i), HEIGHT - 25.0), &format::count(old));
        }
        if room > 26.0 {
            svg.text("units m", (x(i), HEIGHT - 5.0), &format::count(new));
        }
    }
    for (i, &share) in density.iter().enumerate().filter(|(_, d)| **d < 0.995 && room > 62.0) {
        let at = ((x(i) + x(i + 1)) / 2.0, MIDDLE + 4.5);
        let share = format::percent(share, usize::from(share < 0.02));
        svg.text("share m", at, &if room > 118.0 { format!("{share} of weights") } else { share });
    }
    let legend = vec![("ghost", "dense".into()), ("live", "what is left".into())];
    let note = "Units of each layer, heights as square roots; share of weights kept between them".into();
    Some(Figure { title: "The network".into(), note, legend, svg: svg.finish() })
}

/// The share of weights left in each layer, where the layers are one after the other.
fn densities(report: &Report, last: &Stage) -> Vec<f64> {
    if report.layers.len() + 1 != last.units.len() {
        return Vec::new();
    }
    let density = |l: &crate::report::LayerRow| l.nonzeros as f64 / l.weights().max(1) as f64;
    report.layers.iter().map(density).collect()
}

/// Thinner layers are paler.
fn level(density: Option<&f64>) -> &'static str {
    match density {
        Some(d) if *d < 0.15 => " sparser",
        Some(d) if *d < 0.6 => " sparse",
        _ => "",
    }
}

/// The band between two pillars; a point is a place along x and half a height.
fn ribbon(left: Point, right: Point) -> Outline {
    let up = |p: Point| (p.0, MIDDLE - p.1);
    let down = |p: Point| (p.0, MIDDLE + p.1);
    let mut outline = Outline::default();
    outline.to(up(left)).ease(up(left), up(right)).to(down(right)).ease(down(right), down(left)).close();
    outline
}
