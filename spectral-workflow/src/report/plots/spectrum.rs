//! The eigenvalues of a spectral layer, largest first, kept and removed told apart.

use super::Figure;
use crate::report::format;
use crate::report::schema::Spectrum;
use crate::report::svg::{Area, Axes, Frame, Scale};

/// Bars that can be told apart on a plot of this width.
const MOST: usize = 400;

/// The figure, or none without eigenvalues.
pub(crate) fn figure(spectrum: &Spectrum) -> Option<Figure> {
    let Spectrum { layer, before, after, removed } = spectrum;
    if before.is_empty() {
        return None;
    }
    let size = |v: f64| if v.is_finite() { v.abs() } else { 0.0 };
    let mut gone = vec![false; before.len()];
    removed.iter().for_each(|&unit| gone.get_mut(unit).into_iter().for_each(|g| *g = true));
    let mut order: Vec<usize> = (0..before.len()).collect();
    order.sort_by(|&a, &b| size(before[b]).total_cmp(&size(before[a])).then(a.cmp(&b)));

    let name = format!("Eigenvalues of {layer}");
    let axes = Axes { name: &name, x: "units, largest |λ| first", y: "|λ|", whole: true };
    let x = Scale::linear([0.0, before.len() as f64]);
    let y = Scale::linear(before.iter().chain(after).map(|v| size(*v)).chain([0.0])).nice(4);
    let mut frame = Frame::new(&axes, x, y);
    let every = before.len().div_ceil(MOST);
    let width = frame.area.width / before.len() as f64 * every as f64;
    // Narrow bars overlap by a hair instead: gaps and seams would shimmer.
    let gap = if width > 3.0 { 1.0 } else { -0.5 };
    let base = frame.y.base();
    for (rank, &unit) in order.iter().enumerate().step_by(every) {
        let left = frame.x.at(rank as f64);
        let (class, fate) = if gone[unit] { ("removed", "removed") } else { ("kept", "kept") };
        let area = Area::between((left, base), (left + width - gap, frame.y.at(size(before[unit])).min(base - 0.8)));
        let tuned = after.get(unit).filter(|_| !gone[unit]);
        let change = tuned.map_or_else(String::new, |v| format!(" -> {}", format::significant(*v, 3)));
        let title = format!("unit {unit}, {fate}: λ {}{change}", format::significant(before[unit], 3));
        frame.svg.rect(class, area, &title);
    }
    let radius = (width * 0.45).clamp(1.8, 3.2);
    for (rank, &unit) in order.iter().enumerate().step_by(every).filter(|(_, unit)| !gone[**unit]) {
        if let Some(&value) = after.get(unit).filter(|v| v.is_finite()) {
            let at = (frame.x.at(rank as f64) + (width - gap) / 2.0, frame.y.at(value.abs()));
            frame.svg.dot("tuned", at, radius, &format!("unit {unit}: λ {} after", format::significant(value, 3)));
        }
    }
    let lost = gone.iter().filter(|g| **g).count();
    let sampled = if every > 1 { format!(", one bar for {every} units") } else { String::new() };
    let note = format!("{} of {} units kept{sampled}", format::count(before.len() - lost), format::count(before.len()));
    let mut legend =
        vec![("kept", "kept".into()), ("removed", "removed".into()), ("tuned", "after fine-tuning".into())];
    legend.retain(|(class, _)| match *class {
        "removed" => lost > 0,
        "tuned" => !after.is_empty() && lost < before.len(),
        _ => lost < before.len(),
    });
    Some(Figure { title: layer.clone(), note, legend, svg: frame.svg.finish() })
}
