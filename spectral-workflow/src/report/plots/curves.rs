//! Loss and accuracy over the epochs of all training phases.

use super::{Figure, Mark, line};
use crate::report::schema::Curve;
use crate::report::svg::{Area, Axes, Frame, Scale};
use spectral_core::{EpochRecord, Metrics};

/// What of the metrics a figure shows.
struct Quantity {
    title: &'static str,
    axis: &'static str,
    of: fn(&Metrics) -> Option<f64>,
    text: fn(f64) -> String,
}

const LOSS: Quantity = Quantity { title: "Loss", axis: "loss", of: |m| Some(m.loss), text: |v| format!("{v:.4}") };

const ACCURACY: Quantity = Quantity {
    title: "Accuracy",
    axis: "accuracy, %",
    of: |m| m.accuracy.map(|a| a * 100.0),
    text: |v| format!("{v:.2} %"),
};

/// A figure for each quantity that the epochs have.
pub(crate) fn figures(curves: &[Curve]) -> Vec<Figure> {
    let known = |q: &&Quantity| curves.iter().flat_map(|c| &c.epochs).any(|e| (q.of)(&e.train).is_some());
    [LOSS, ACCURACY].iter().filter(known).map(|q| figure(curves, q)).collect()
}

fn figure(curves: &[Curve], quantity: &Quantity) -> Figure {
    let records = || curves.iter().flat_map(|c| &c.epochs);
    let values = || {
        let both = |r: &EpochRecord| [Some(r.train), r.validation];
        records().flat_map(both).flatten().filter_map(|m| (quantity.of)(&m)).filter(|v| v.is_finite())
    };
    let epochs = records().count();
    let x = Scale::linear([1.0, epochs.max(2) as f64]);
    let (least, most) = values().filter(|v| *v > 0.0).fold((f64::INFINITY, 0.0), |(l, m), v| (v.min(l), v.max(m)));
    let y = match quantity.axis == LOSS.axis {
        true if most > least * 60.0 => Scale::logarithmic(values()),
        true => Scale::linear(values().chain([0.0])).nice(4),
        false => Scale::linear(values()).nice(4).within(0.0, 100.0),
    };
    let axes = Axes { name: quantity.title, x: "epoch", y: quantity.axis, whole: true };
    let mut frame = Frame::new(&axes, x, y);
    let mut done = 0;
    for (phase, curve) in curves.iter().enumerate().filter(|(_, c)| !c.epochs.is_empty()) {
        band(&mut frame, phase, curve, done);
        let at = |i: usize| (done + i + 1) as f64;
        let series = |pick: &dyn Fn(&EpochRecord) -> Option<Metrics>, name: &str| -> Vec<Mark> {
            let mark = |(i, r): (usize, &EpochRecord)| {
                let y = pick(r).and_then(|m| (quantity.of)(&m)).unwrap_or(f64::NAN);
                let title = format!("{}, epoch {}: {name} {}", curve.phase, r.epoch, (quantity.text)(y));
                Mark { x: at(i), y, title }
            };
            curve.epochs.iter().enumerate().map(mark).collect()
        };
        line(&mut frame, "before", &series(&|r| Some(r.train), "training"));
        let validation = series(&|r| r.validation, "validation");
        line(&mut frame, "after", &validation);
        let best = curve.epochs.iter().position(|r| Some(r.epoch) == curve.best_epoch);
        if let Some(mark) = best.and_then(|i| validation.get(i)).filter(|m| m.y.is_finite()) {
            let at = (frame.x.at(mark.x), frame.y.at(mark.y));
            frame.svg.dot("ring", at, 5.5, &format!("{} (kept)", mark.title));
        }
        done += curve.epochs.len();
    }
    let mut legend = vec![("before", "training".into())];
    if records().any(|r| r.validation.is_some()) {
        legend.push(("after", "validation".into()));
        if curves.iter().any(|c| c.best_epoch.is_some()) {
            legend.push(("ring", "parameters kept".into()));
        }
    }
    Figure { title: quantity.title.into(), note: String::new(), legend, svg: frame.svg.finish() }
}

/// Names a phase above its epochs and shades every other one.
fn band(frame: &mut Frame, phase: usize, curve: &Curve, done: usize) {
    let edge = |epoch: f64, frame: &Frame| frame.x.at(epoch + 0.5);
    let (left, right) = (edge(done as f64, frame), edge((done + curve.epochs.len()) as f64, frame));
    let area = frame.area;
    if phase % 2 == 1 {
        frame.svg.rect("band", Area::between((left, area.y), (right, area.bottom())), "");
        frame.svg.line("divide", (left, area.y), (left, area.bottom()));
    }
    let (middle, half) = ((left + right) / 2.0, 3.5 * curve.phase.chars().count() as f64);
    // Above the plot, right of the title of the axis.
    if right - left > 2.0 * half && middle - half > 90.0 {
        frame.svg.text("note m", (middle, area.y - 8.0), &curve.phase);
    }
}
