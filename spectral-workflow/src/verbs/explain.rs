//! `explain MODEL`

use crate::Result;
use crate::context::Context;
use crate::output::Answer;
use crate::run::strategies::STRATEGY;
use spectral_core::{Model, Source};
use spectral_prune::{ExplainRow, PRUNE};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file
    model: PathBuf,
}

/// At most as many original indices are printed for a layer; JSON has all.
const SHOWN: usize = 20;

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    let model = cx.model(&options.model)?;
    let pruning = spectral_prune::explain(&model)?;
    let mut text = String::new();
    let mut steps = pruning.iter();
    for (i, entry) in model.meta.history.iter().enumerate() {
        let (number, action, parent) = (i + 1, &entry.action, entry.parent);
        match steps.as_slice().first().filter(|_| action == PRUNE) {
            Some(step) => {
                text.push_str(&describe(number, step));
                steps.next();
            }
            None if action == STRATEGY => {
                let word = |key: &str| entry.detail[key].as_str().unwrap_or_default();
                let (name, summary) = (word("name"), word("summary"));
                text.push_str(&format!("{number}. strategy `{name}`: {summary} (from {parent})\n"));
            }
            None => text.push_str(&format!("{number}. {action} (from {parent})\n")),
        }
    }
    let remaining: Vec<String> =
        model.meta.origins.iter().map(|(node, o)| format!("  {node}: {}", indices(o))).collect();
    if !remaining.is_empty() {
        text.push_str(&format!(
            "units that are left, by their index in the original network:\n{}\n",
            remaining.join("\n")
        ));
    }
    let keeping = keeping(&model);
    if !keeping.is_empty() {
        text.push_str("layers in front of which no unit can be removed:\n");
        keeping.iter().for_each(|(name, reason)| text.push_str(&format!("  {name}: {reason}\n")));
    }
    if model.meta.history.is_empty() {
        text.push_str("nothing was done to this model yet\n");
    }
    let json = serde_json::json!({
        "history": model.meta.history, "pruning": pruning, "origins": model.meta.origins,
        "keeps_units": keeping.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    });
    Ok(Answer { text, json })
}

/// Layers behind other layers that keep all units in front of them, by name, with the reason. What the network puts out
/// stays whatever comes last.
fn keeping(model: &Model) -> Vec<(&str, &'static str)> {
    let nodes = model.graph().nodes();
    let hidden = nodes
        .iter()
        .enumerate()
        .filter(|(i, node)| i + 1 < nodes.len() && node.inputs.iter().any(|source| matches!(source, Source::Node(_))));
    hidden.filter_map(|(_, node)| Some((node.name.as_str(), node.layer.op().word.keeps_units()?))).collect()
}

fn describe(number: usize, step: &ExplainRow) -> String {
    let ExplainRow { criterion, removed, kept, parent, .. } = step;
    let (what, scope) = (step.granularity.words(), step.scope.name());
    let mut text =
        format!("{number}. prune: {removed} {what} by `{criterion}`, {scope}, {kept} kept (from {parent})\n");
    for layer in &step.layers {
        let units = if layer.units.is_empty() { String::new() } else { format!(", units {}", indices(&layer.units)) };
        text.push_str(&format!("     {}: {} weights{units}\n", layer.name, layer.weights));
    }
    text
}

fn indices(all: &[u32]) -> String {
    let shown: Vec<String> = all.iter().take(SHOWN).map(ToString::to_string).collect();
    let rest = all.len().saturating_sub(SHOWN);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{rest}", shown.join(" "))
}
