//! How the weights of a layer are distributed before and after.

use super::Figure;
use crate::report::format;
use crate::report::schema::WeightHistogram;
use crate::report::svg::{Area, Axes, Frame, Outline, Scale};

/// The figure, or none if there is nothing to count or the bins make no sense.
pub(crate) fn figure(histogram: &WeightHistogram) -> Option<Figure> {
    let WeightHistogram { layer, edges, before, after } = histogram;
    let ascending = edges.iter().all(|e| e.is_finite()) && edges.windows(2).all(|w| w[0] < w[1]);
    let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or(0);
    let highest = most(before).max(most(after));
    if !ascending || edges.len() != before.len() + 1 || edges.len() != after.len() + 1 || highest == 0 {
        return None;
    }
    // Side by side on one linear axis, a tenth of the weights would be a line along the bottom.
    let log = most(after) > 0 && most(after).saturating_mul(6) < highest;
    let name = format!("Weights of {layer}");
    let y = if log { "weights per bin, logarithmic" } else { "weights per bin" };
    let axes = Axes { name: &name, x: "weight", y, whole: false };
    let scale = match log {
        true => Scale::logarithmic([1.0, highest as f64]),
        false => Scale::linear([0.0, highest as f64]).nice(4),
    };
    let mut frame = Frame::new(&axes, Scale::linear(edges.iter().copied()), scale);
    for (class, counts) in [("before", before), ("after", after)].into_iter().filter(|(_, c)| most(c) > 0) {
        let outline = steps(&frame, edges, counts);
        frame.svg.path(&format!("area {class}"), &outline, "");
    }
    for (bin, edge) in edges.windows(2).enumerate() {
        let sides = [edge[0], edge[1]].map(|e| format::significant(e, 2));
        let counts = [before[bin], after[bin]].map(|n| format::count(n as usize));
        let title = format!("{} to {}: {} before, {} after", sides[0], sides[1], counts[0], counts[1]);
        let area = Area::between((frame.x.at(edge[0]), frame.area.y), (frame.x.at(edge[1]), frame.area.bottom()));
        frame.svg.rect("hit", area, &title);
    }
    let total = |counts: &[u64]| counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)) as usize;
    let [old, new] = [total(before), total(after)];
    let note = format!("{} weights -> {}", format::count(old), format::count(new));
    let legend = vec![("before", "before pruning".into()), ("after", "after, without the pruned ones".into())];
    Some(Figure { title: layer.clone(), note, legend, svg: frame.svg.finish() })
}

fn steps(frame: &Frame, edges: &[f64], counts: &[u64]) -> Outline {
    let base = frame.y.base();
    let mut outline = Outline::default();
    outline.to((frame.x.at(edges[0]), base));
    for (edge, &count) in edges.windows(2).zip(counts) {
        // One weight on a logarithmic axis has no height of its own.
        let top = if count == 0 { base } else { frame.y.at(count as f64).min(base - 1.5) };
        outline.to((frame.x.at(edge[0]), top)).to((frame.x.at(edge[1]), top));
    }
    outline.to((frame.x.at(edges[edges.len() - 1]), base)).close();
    outline
}
