//! Where eigenvalues of two spectral layers meet.

use crate::Result;
use crate::groups::Coupling;
use crate::weighted::weighted_layers;
use spectral_core::{Model, Param, Source, Trainable, Units};
use std::collections::BTreeMap;

/// By weighted layer (its node) and unit, the eigenvalues by which the next spectral layers take the unit in; see
/// [`Target::next`](spectral_core::Target).
pub(crate) fn next(model: &Model) -> Result<BTreeMap<usize, Vec<Vec<f64>>>> {
    let graph = model.graph();
    let (coupling, layers) = (Coupling::of(graph), weighted_layers(model));
    let inner: BTreeMap<usize, _> = layers.iter().filter_map(|l| Some((l.node, l.eigenvalues?[0]))).collect();
    // By class of units: `None` where something else takes them in.
    let mut taken: BTreeMap<u32, Option<Vec<f64>>> = BTreeMap::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        if matches!(node.units(), Units::Same | Units::Concat | Units::Flatten) {
            continue;
        }
        let eigenvalues = match inner.get(&i).map(|id| model.params().get(*id)) {
            Some(param) if param.is_trainable() => Some((trains(param), model.backend().download(param.value())?)),
            _ => None,
        };
        let untrained = eigenvalues.as_ref().is_some_and(|(_, values)| values.iter().all(|l| *l == 0.0));
        for &source in &node.inputs {
            for unit in 0..graph.shape(source).rows() {
                let entry = taken.entry(coupling.class_of(source, unit)).or_insert_with(|| Some(Vec::new()));
                let own = eigenvalues.as_ref().filter(|(trains, _)| trains.get(unit).is_some_and(|t| *t));
                match (entry.as_mut(), own) {
                    (Some(_), Some(_)) if untrained => {}
                    (Some(list), Some((_, values))) => list.push(values[unit]),
                    _ => *entry = None,
                }
            }
        }
    }
    let of = |node: usize, unit: usize| {
        let class = coupling.class_of(Source::Node(node), unit);
        taken.get(&class).cloned().flatten().unwrap_or_default()
    };
    Ok(layers.iter().map(|l| (l.node, (0..l.rows).map(|unit| of(l.node, unit)).collect())).collect())
}

/// Which stored entries of a parameter training may move.
pub(crate) fn trains(param: &Param) -> Vec<bool> {
    let entries = param.value().len();
    match &param.trainable {
        Trainable::All => vec![true; entries],
        Trainable::None => vec![false; entries],
        Trainable::Only(mask) => (0..entries).map(|k| mask.contains(k)).collect(),
    }
}
