//! What deserves a second look although a run goes on.

use crate::report::{Quality, format_count};
use spectral_data::Dataset;
use spectral_prune::{LayerReport, collapsed};

/// Layers that pruning all but cut through, and the two ways out.
pub(crate) fn of_layers(layers: &[LayerReport]) -> Vec<String> {
    let sentence = |l: &&LayerReport| {
        let units = if l.units_before == 1 { "unit" } else { "units" };
        format!(
            "layer `{}` keeps {} of {} {units} and {} of {} weights, so that next to nothing gets through the network; \
             prune with `scope = \"layer\"`, or set `min_keep` to what every layer keeps",
            l.name,
            format_count(l.units_after),
            format_count(l.units_before),
            format_count(l.weights_after),
            format_count(l.weights_before),
        )
    };
    collapsed(layers).iter().map(sentence).collect()
}

/// A loss of quality beyond the limit.
pub(super) fn of_quality(quality: &Quality) -> Option<String> {
    let change = quality.change().filter(|_| !quality.ok)?;
    let what = if quality.metric == "accuracy" { "test accuracy " } else { "test " };
    Some(format!("{what}{change} is more than the limit allows: {}", quality.reason.as_deref().unwrap_or_default()))
}

/// Classes that no test sample has, so that nothing is known about them.
pub(crate) fn of_classes(data: &Dataset) -> Option<String> {
    let labels = data.test.labels()?;
    let name = |class: usize| data.class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let untested: Vec<String> =
        (0..data.classes).filter(|c| !labels.contains(&(*c as u32))).map(|c| format!("`{}`", name(c))).collect();
    let (class, is) = if untested.len() == 1 { ("class", "is") } else { ("classes", "are") };
    let few = "it has too few samples to spare one for testing";
    (!untested.is_empty()).then(|| {
        let why = if untested.len() == 1 { few.to_string() } else { few.replace("it has", "they have") };
        format!("{class} {} of {} {is} trained but not tested: {why}", untested.join(", "), data.origin.name)
    })
}
