//! Accuracy against the share pruned.

use super::{Figure, Mark, line};
use crate::report::format;
use crate::report::schema::Report;
use crate::report::svg::{Axes, Frame, Scale};

/// The figure, or none without points.
pub(crate) fn figure(report: &Report) -> Option<Figure> {
    let points = &report.sweep;
    if points.is_empty() {
        return None;
    }
    let dense = report.baseline().and_then(|s| s.accuracy).map(|a| a * 100.0).filter(|a| a.is_finite());
    let values = points.iter().flat_map(|p| [Some(p.accuracy_pruned), p.accuracy_finetuned]).flatten();
    let y = Scale::linear(values.map(|a| a * 100.0).chain(dense)).nice(4).within(0.0, 100.0);
    let x = Scale::linear(points.iter().map(|p| p.amount * 100.0).chain([0.0, 100.0]));
    let axes =
        Axes { name: "Accuracy against share pruned", x: "share pruned, %", y: "test accuracy, %", whole: false };
    let mut frame = Frame::new(&axes, x, y);
    if let Some(chosen) = chosen(report) {
        let at = frame.x.at(chosen * 100.0);
        frame.svg.line("divide", (at, frame.area.y), (at, frame.area.bottom()));
        frame.svg.text("note e", (at - 6.0, frame.area.bottom() - 8.0), "this run");
    }
    if let Some(dense) = dense {
        let at = frame.y.at(dense);
        frame.svg.line("level", (frame.area.x, at), (frame.area.right(), at));
    }
    let series = |pick: &dyn Fn(usize) -> Option<f64>, name: &str| -> Vec<Mark> {
        let with = points.iter().enumerate().filter_map(|(i, p)| Some((p, pick(i)?)));
        with.map(|(p, accuracy)| Mark {
            x: p.amount * 100.0,
            y: accuracy * 100.0,
            title: format!("{} pruned, {name}: {}", format::percent(p.amount, 0), format::percent(accuracy, 2)),
        })
        .collect()
    };
    line(&mut frame, "removed", &series(&|i| Some(points[i].accuracy_pruned), "not fine-tuned"));
    let tuned = series(&|i| points[i].accuracy_finetuned, "fine-tuned");
    line(&mut frame, "after", &tuned);
    let mut legend = vec![("removed", "pruned".into()), ("after", "fine-tuned".into()), ("level", "dense".into())];
    legend.retain(|(class, _)| match *class {
        "after" => !tuned.is_empty(),
        "level" => dense.is_some(),
        _ => true,
    });
    let note = "How much can go before it hurts".into();
    Some(Figure { title: "Accuracy against share pruned".into(), note, legend, svg: frame.svg.finish() })
}

/// The share that this run removed, in all steps of the kind it began with.
fn chosen(report: &Report) -> Option<f64> {
    let first = report.pruning.first()?;
    let last = report.pruning.iter().rev().find(|step| step.granularity == first.granularity)?;
    let whole = first.removed.checked_add(first.kept)?;
    (whole > 0 && last.kept <= whole).then(|| 1.0 - last.kept as f64 / whole as f64)
}
