//! File size and latency of each stage as bars.

use super::Figure;
use crate::report::format;
use crate::report::schema::{Report, Stage};
use crate::report::svg::{Area, Frame, Scale, Svg};
use std::collections::BTreeSet;

/// One bar.
struct Bar<'a> {
    stage: &'a str,
    value: f64,
    /// The 95th percentile, where there is one.
    reach: f64,
    text: String,
}

/// Bytes of the model file at each stage, or none if no size is known.
pub(crate) fn size(report: &Report) -> Option<Figure> {
    let dense = report.baseline().map_or(0.0, |s| s.file_bytes as f64);
    let bar = |s: &'_ Stage| (s.file_bytes as f64, s.file_bytes as f64, format::bytes(s.file_bytes));
    let svg = draw("File size of each stage", &bars(report, dense, bar), format::BYTES)?;
    Some(Figure { title: "File size".into(), note: "Bytes on disk, whole file".into(), legend: Vec::new(), svg })
}

/// Latency at each stage, a figure for each batch size that was measured.
pub(crate) fn latency(report: &Report) -> Vec<Figure> {
    let batches: BTreeSet<usize> = report.stages.iter().flat_map(|s| s.latency_us.keys().copied()).collect();
    let figure = |batch: usize| {
        let at = |s: &Stage| s.latency_us.get(&batch).copied().unwrap_or_default();
        let dense = report.baseline().map_or(0.0, |s| at(s).p50);
        let bar = |s: &'_ Stage| (at(s).p50, at(s).p95, format::micros(at(s).p50));
        let name = format!("Latency of each stage, batch {batch}");
        let svg = draw(&name, &bars(report, dense, bar), format::MICROS)?;
        let title = match batch {
            1 => "Latency, one sample".into(),
            n => format!("Latency, batch of {n}"),
        };
        Some(Figure {
            title,
            note: "Median of one call; the whisker ends at p95, or at the edge".into(),
            legend: Vec::new(),
            svg,
        })
    };
    batches.into_iter().filter_map(figure).collect()
}

/// Stages with a value, and how the value compares with the dense one.
fn bars<'a>(report: &'a Report, dense: f64, of: impl Fn(&'a Stage) -> (f64, f64, String)) -> Vec<Bar<'a>> {
    let bar = |stage: &'a Stage| {
        let (value, reach, text) = of(stage);
        let text = match value / dense {
            r if r.is_finite() && r != 1.0 => format!("{text}  {}×", format::ratio(r)),
            _ => text,
        };
        Bar { stage: &stage.name, value, reach: if reach.is_finite() { reach.max(value) } else { value }, text }
    };
    report.stages.iter().map(bar).filter(|b| b.value.is_finite() && b.value > 0.0).collect()
}

fn draw(name: &str, bars: &[Bar<'_>], units: [(f64, &'static str); 4]) -> Option<String> {
    // A call that was interrupted must not squeeze the bars.
    let longest = bars.iter().map(|b| b.value).reduce(f64::max)?;
    let most = bars.iter().map(|b| b.reach.min(1.5 * longest)).fold(0.0, f64::max);
    let (factor, unit) = format::unit(most, units);
    let (top, left, text) = (8.0, 82.0, 112.0);
    // As tall as the plots beside it, as long as the bars stay bars.
    let row = (Frame::HEIGHT / bars.len() as f64).clamp(28.0, 46.0);
    let half = row * 0.29;
    let bottom = top + row * bars.len() as f64;
    let mut svg = Svg::new(Frame::WIDTH, bottom + 26.0, name);
    let scale = Scale::linear([0.0, most / factor]).onto(left, Frame::WIDTH - text);
    for tick in scale.ticks(4) {
        let at = scale.at(tick.value);
        svg.line("grid", (at, top), (at, bottom));
        let label = if tick.value == 0.0 { tick.label } else { format!("{} {unit}", tick.label) };
        svg.text("tick m", (at, bottom + 18.0), &label);
    }
    for (i, bar) in bars.iter().enumerate() {
        let middle = top + row * (i as f64 + 0.5);
        let (end, reach) = (scale.at(bar.value / factor), scale.at(bar.reach.min(most) / factor));
        let area = Area::between((left, middle - half), (end.max(left + 1.0), middle + half));
        svg.text("name e", (left - 10.0, middle + 4.5), bar.stage);
        svg.rect(&format!("bar {}", class(bar.stage)), area, &format!("{}: {}", bar.stage, bar.text));
        if reach > end + 0.5 {
            svg.line("whisker", (end, middle), (reach, middle));
            svg.line("whisker", (reach, middle - 5.0), (reach, middle + 5.0));
        }
        svg.text("value", (reach.max(end) + 8.0, middle + 4.5), &bar.text);
    }
    svg.line("base", (left, top), (left, bottom));
    Some(svg.finish())
}

/// Stages that still have every unit in memory are grey; what is left at the end stands out.
fn class(stage: &str) -> &'static str {
    match stage {
        "compact" => "kept",
        "sparse" => "tuned",
        _ => "before",
    }
}
