//! `undo MODEL --steps N --out FILE`

use crate::context::Context;
use crate::files::check_writable;
use crate::output::{Answer, bytes};
use crate::run::strategies::STRATEGY;
use crate::{Failure, Result};
use spectral_core::HistoryEntry;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file to go back from
    model: PathBuf,
    /// Steps to go back over: strategies, pruning, compaction and conversion count, training in between goes with them
    #[arg(long, default_value_t = 1)]
    steps: usize,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// The model before the last `steps` steps is the parent that the first of them names; it is looked for beside
/// the model file, by content hash, and written again, which gives the same bytes.
pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    check_writable(&options.out)?;
    let model = cx.model(&options.model)?;
    let history = &model.meta.history;
    let steps: Vec<usize> = (0..history.len()).filter(|&i| is_step(&history[i])).collect();
    if options.steps == 0 || options.steps > steps.len() {
        let problem =
            format!("--steps {}: {} has {} steps to go back over", options.steps, options.model.display(), steps.len());
        return Err(Failure::input(problem));
    }
    let entry = steps[steps.len() - options.steps];
    let step = &history[entry];
    let folder = options.model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = spectral_io::find_parent(folder, history, entry)?.ok_or_else(|| {
        let before = format!("the model before `{}` (content hash {})", step.action, step.parent);
        Failure::input(format!("{before} is not in {}; put its file there", folder.display()))
    })?;
    let before = cx.model(&parent)?;
    let report = spectral_io::save(&options.out, &before)?;
    let text = format!(
        "went back over {} step(s) to {} ({}); wrote {} ({})",
        options.steps,
        parent.display(),
        step.parent,
        options.out.display(),
        bytes(report.bytes)
    );
    let json = serde_json::json!({
        "file": options.out.display().to_string(), "restored": parent.display().to_string(), "hash": step.parent,
    });
    Ok(Answer { text, json })
}

/// What counts as a step: training in between is undone with the step before it.
fn is_step(entry: &HistoryEntry) -> bool {
    matches!(entry.action.as_str(), STRATEGY | "prune" | "compact" | "sparsify" | "densify")
}
