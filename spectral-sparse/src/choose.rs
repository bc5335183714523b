//! Which layers become sparse, and which kernel each uses at which batch size.

mod cell;
mod measured;

use crate::convert::{affine, convertible, stored_entries, with_stored};
use crate::measure::{Clock, Monotonic, Timing};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::{BATCH_CLASSES, Choice, HistoryEntry, Kernel, Model, Plan};
use std::collections::BTreeMap;

/// How kernels are chosen.
#[derive(Debug, Clone)]
pub enum Policy {
    /// Times all kernels on this machine. A sparse one must win clearly.
    Measured(MeasureOptions),
    /// Every weighted layer runs sparse, at any cost.
    Always,
    /// Follows an existing plan without measuring. Layers that it does not name stay as they are.
    Replay(Plan),
}

impl Default for Policy {
    fn default() -> Self {
        Self::Measured(MeasureOptions::default())
    }
}

/// [`Policy::Measured`] with default settings, for use where a [`Policy`] is expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured;

impl From<Measured> for Policy {
    fn from(_: Measured) -> Self {
        Self::default()
    }
}

impl From<Plan> for Policy {
    fn from(plan: Plan) -> Self {
        Self::Replay(plan)
    }
}

/// When a sparse kernel counts as faster.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureOptions {
    /// Least median of the time ratios, dense to sparse, over all pairs. Three quarters of the ratios must also be
    /// above 1.
    pub min_gain: f64,
    /// A layer with a smaller share of zeros stays dense without measuring.
    pub min_zeros: f64,
    /// How each layer and batch class is timed.
    pub timing: Timing,
}

impl Default for MeasureOptions {
    /// 10 % faster; at least half zeros.
    fn default() -> Self {
        Self { min_gain: 1.10, min_zeros: 0.5, timing: Timing::default() }
    }
}

impl MeasureOptions {
    fn check(&self) -> Result<()> {
        if !(self.min_gain >= 1.0 && self.min_gain.is_finite()) {
            return Err(Error::Measure(format!("`min_gain` is {}; it must be 1 or more", self.min_gain)));
        }
        if !(0.0..=1.0).contains(&self.min_zeros) {
            return Err(Error::Measure(format!("`min_zeros` is {}; it must be from 0 to 1", self.min_zeros)));
        }
        Ok(())
    }
}

/// The options and the clock of a measurement.
#[derive(Clone, Copy)]
struct Watch<'a> {
    options: &'a MeasureOptions,
    clock: &'a dyn Clock,
}

/// A converted network and the choices behind it.
#[derive(Debug)]
pub struct Sparsified {
    /// The network. Its `meta.plan` is `plan`, and its history is one entry longer.
    pub model: Model,
    /// The chosen kernels.
    pub plan: Plan,
    /// The choices with their measured times, for every weighted layer in order.
    pub layers: Vec<LayerChoice>,
}

/// What was chosen for one weighted layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerChoice {
    /// Node name.
    pub name: String,
    /// Whether the converted network stores only these entries.
    pub stored: bool,
    /// Units and inputs.
    pub shape: [usize; 2],
    /// Entries worth storing: kept ones, or non-zero ones if there is no mask.
    pub nonzeros: usize,
    /// By batch class.
    pub classes: BTreeMap<usize, ClassChoice>,
}

impl LayerChoice {
    /// Whether it runs sparse in some batch class.
    fn wins(&self) -> bool {
        self.classes.values().any(|c| c.choice.kernel.is_sparse())
    }
}

/// What was chosen for one layer and batch class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassChoice {
    /// Kernel and reason.
    #[serde(flatten)]
    pub choice: Choice,
    /// Median times in nanoseconds of the kernels that were timed.
    pub times: BTreeMap<Kernel, f64>,
}

impl ClassChoice {
    fn untimed(kernel: Kernel, reason: impl Into<String>) -> Self {
        Self { choice: Choice { kernel, reason: reason.into() }, times: BTreeMap::new() }
    }
}

/// Converts every weighted layer for which a sparse kernel is chosen, and records the choice.
///
/// If a sparse kernel is chosen in some batch class, the layer's weight is stored on the entries that its mask keeps
/// (kept zeros included), or on the non-zero ones if nothing is masked; nothing else in the layer changes. A layer that
/// derives its weight from factors (spectral) becomes a `dense` one with that weight. A layer stays as it is if sparse
/// kernels win in no class, or if it would lose something (weights dropped at random in training, parameters shared
/// with another layer); its inference may still run sparse.
///
/// [`Policy::Measured`] also times the whole network. If the choices together are not faster in a batch class, every
/// layer goes back to dense in that class. So a converted network is never slower than the dense one.
///
/// # Errors
/// A replayed plan names a layer that does not exist, an option is out of range, or the device failed.
pub fn sparsify(model: &Model, policy: &Policy) -> Result<Sparsified> {
    sparsify_timed(model, policy, &Monotonic::default())
}

/// As [`sparsify`], but returns only the network.
///
/// # Errors
/// As [`sparsify`].
pub fn sparsify_with(model: &Model, policy: &Policy) -> Result<Model> {
    Ok(sparsify(model, policy)?.model)
}

/// As [`sparsify`], with another clock.
///
/// # Errors
/// As [`sparsify`].
pub fn sparsify_timed(model: &Model, policy: &Policy, clock: &dyn Clock) -> Result<Sparsified> {
    match policy {
        Policy::Replay(plan) => check_plan(model, plan)?,
        Policy::Measured(options) => options.check()?,
        Policy::Always => {}
    }
    let mut layers = Vec::new();
    for (i, node) in model.graph().nodes().iter().enumerate() {
        let Some(affine) = affine(model, i) else { continue };
        let stored = stored_entries(model, i, affine.weight)?;
        let shape = [stored.pattern.rows(), stored.pattern.columns()];
        let nonzeros = stored.pattern.nonzeros();
        let classes = match policy {
            Policy::Always => {
                let csr = ClassChoice::untimed(Kernel::Csr, "csr: asked for");
                BATCH_CLASSES.into_iter().map(|class| (class, csr.clone())).collect()
            }
            Policy::Replay(plan) => replayed(plan, &node.name),
            Policy::Measured(options) => cell::choose(model, i, affine, stored, Watch { options, clock })?,
        };
        layers.push(LayerChoice { name: node.name.clone(), stored: false, shape, nonzeros, classes });
    }
    if let Policy::Measured(options) = policy {
        measured::fall_back_where_slower(model, &mut layers, Watch { options, clock })?;
    }
    finish(model, layers)
}

/// Converts the layers that were chosen and writes the history.
fn finish(model: &Model, mut layers: Vec<LayerChoice>) -> Result<Sparsified> {
    let plan = plan_of(&layers);
    let mut meta = model.meta.clone();
    let kernels = |l: &LayerChoice| -> BTreeMap<String, String> {
        l.classes.iter().map(|(class, c)| (class.to_string(), c.choice.kernel.to_string())).collect()
    };
    // Times and policy are left out: a replayed plan gives the same bytes as the measurement it records.
    let detail: serde_json::Map<String, serde_json::Value> = layers
        .iter()
        .map(|l| {
            let record = serde_json::json!({ "shape": l.shape, "nonzeros": l.nonzeros, "kernels": kernels(l) });
            (l.name.clone(), record)
        })
        .collect();
    meta.history.push(HistoryEntry {
        action: "sparsify".into(),
        parent: model.content_hash()?,
        detail: serde_json::json!({ "layers": detail }),
    });
    meta.plan = Some(plan.clone());
    let converted = converted(model, &layers, meta)?;
    for layer in &mut layers {
        if let Some(i) = converted.graph().find(&layer.name) {
            let affine = affine(&converted, i);
            let owner = affine.and_then(|a| converted.entries_of(i, a.weight));
            layer.stored = owner.is_some_and(|id| converted.params().get(id).pattern.is_some());
        }
    }
    Ok(Sparsified { model: converted, plan, layers })
}

/// The network with stored weights in the layers that won and can be converted.
fn converted(model: &Model, layers: &[LayerChoice], meta: spectral_core::Meta) -> Result<Model> {
    let mut nodes = std::collections::BTreeSet::new();
    for layer in layers.iter().filter(|l| l.wins()) {
        if let Some(i) = model.graph().find(&layer.name)
            && convertible(model, i)
        {
            nodes.insert(i);
        }
    }
    with_stored(model, &nodes, meta)
}

fn plan_of(layers: &[LayerChoice]) -> Plan {
    let mut plan = Plan::default();
    for layer in layers {
        for (class, c) in &layer.classes {
            plan.set(&layer.name, *class, c.choice.clone());
        }
    }
    plan
}

fn replayed(plan: &Plan, node: &str) -> BTreeMap<usize, ClassChoice> {
    let choice = |class| {
        let choice = plan.choice(node, class)?.clone();
        Some((class, ClassChoice { choice, times: BTreeMap::new() }))
    };
    BATCH_CLASSES.into_iter().filter_map(choice).collect()
}

fn check_plan(model: &Model, plan: &Plan) -> Result<()> {
    let nodes = model.graph().nodes().iter().enumerate();
    let known: Vec<&str> =
        nodes.filter(|(i, _)| affine(model, *i).is_some()).map(|(_, node)| node.name.as_str()).collect();
    match plan.layers.keys().find(|name| !known.contains(&name.as_str())) {
        Some(layer) => Err(Error::Plan { layer: layer.clone(), known: known.join(", ") }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
