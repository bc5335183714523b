//! `prune MODEL --out FILE --criterion NAME ...`

use super::{saved, seeds};
use crate::context::Context;
use crate::files::check_writable;
use crate::output::{Answer, note};
use crate::run::warnings;
use crate::{Failure, Result};
use spectral_core::{PrunerEntry, Seed, registry};
use spectral_prune::{Prune, PruneConfig};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file to prune
    model: PathBuf,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What decides which entries go, by name
    #[arg(long, value_name = "NAME")]
    criterion: String,
    /// A parameter of the criterion
    #[arg(long = "parameter", value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// What is cut: weight, unit, input, blocks of rows x columns as 4x1, or all but 2 of 4 weights as 2:4
    #[arg(long, default_value = "weight")]
    granularity: String,
    /// Where entries compete: global, or layer for each layer on its own
    #[arg(long, default_value = "global")]
    scope: String,
    /// Share of the entries that is gone afterwards, 0 to 1 (no budget with 2:4)
    #[arg(long, value_name = "FRACTION", group = "budget", allow_negative_numbers = true)]
    amount: Option<f64>,
    /// Number of entries that is gone afterwards
    #[arg(long, group = "budget")]
    count: Option<usize>,
    /// Entries that score below this go
    #[arg(long, group = "budget", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Entries that score below this percentile go, 0 to 100
    #[arg(long, group = "budget", allow_negative_numbers = true)]
    percentile: Option<f64>,
    /// Share of the entries of each of these layers that is gone afterwards; the others are skipped
    #[arg(long, value_name = "LAYER=FRACTION", value_delimiter = ',', group = "budget")]
    amounts: Vec<String>,
    /// Only these layers
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    layers: Vec<String>,
    /// Not these layers
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    except: Vec<String>,
    /// Leave the last weighted layer alone [default: true for weights with --scope layer, and for 2:4]
    #[arg(long, value_name = "BOOL")]
    protect_last: Option<bool>,
    /// Entries every layer keeps at least
    #[arg(long)]
    min_keep: Option<usize>,
    /// Pruned units keep their bias
    #[arg(long)]
    keep_bias: bool,
    /// Data for criteria that need some (the model's own training data, if not given)
    #[arg(long, value_name = "SET")]
    calibration: Option<String>,
    /// Seed for criteria that draw numbers
    #[arg(long, default_value_t = 0, value_parser = seeds())]
    seed: u64,
}

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    check_writable(&options.out)?;
    let config = config(options)?;
    config.check()?;
    let entry = registry::find::<PrunerEntry>(&config.criterion.name)?;
    let parameters = config.criterion.parameters.clone();
    let needs_data = (entry.build)(parameters.into())?.needs().any();
    let mut model = cx.model(&options.model)?;
    let calibration = match (&options.calibration, needs_data) {
        (Some(set), _) => Some(cx.dataset_of(&model, Some(set))?.train),
        (None, true) => Some(cx.dataset_of(&model, None)?.train),
        (None, false) => None,
    };
    let report = Prune::from_config(config).seed(Seed(options.seed)).apply(&mut model, calibration.as_ref())?;
    let (removed, kept) = (report.removed, report.kept);
    let words = format!("removed {removed} of {} {}", removed + kept, report.granularity.words());
    let mut answer = saved(&options.out, &model, &words)?;
    answer.json["pruning"] = serde_json::to_value(&report).unwrap_or_default();
    let warnings = warnings::of_layers(&report.layers);
    for warning in &warnings {
        note(format!("warning: {warning}"));
    }
    if !warnings.is_empty() {
        answer.json["warnings"] = warnings.into();
    }
    Ok(answer)
}

/// The flags in the terms of a recipe's [prune].
fn config(options: &Options) -> Result<PruneConfig> {
    let mut criterion = serde_json::json!({ "name": options.criterion });
    for parameter in &options.parameters {
        let (key, value) = parameter
            .split_once('=')
            .ok_or_else(|| Failure::input(format!("--parameter {parameter}: write KEY=VALUE")))?;
        if key == "name" || key.is_empty() {
            return Err(Failure::input(format!(
                "--parameter {parameter}: write KEY=VALUE; --criterion gives the name"
            )));
        }
        // What is not JSON is meant as text.
        criterion[key] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    let mut amounts = BTreeMap::new();
    for amount in &options.amounts {
        let share = amount.split_once('=').and_then(|(layer, share)| Some((layer, share.parse::<f64>().ok()?)));
        let (layer, share) =
            share.ok_or_else(|| Failure::input(format!("--amounts {amount}: write LAYER=FRACTION, as dense1=0.9")))?;
        amounts.insert(layer.to_string(), share);
    }
    let mut fields = serde_json::json!({
        "criterion": criterion,
        "granularity": options.granularity,
        "scope": options.scope,
        "keep_bias": options.keep_bias,
    });
    let mut set = |key: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            fields[key] = value;
        }
    };
    set("protect_last", options.protect_last.map(Into::into));
    set("min_keep", options.min_keep.map(Into::into));
    set("layers", (!options.layers.is_empty()).then(|| options.layers.clone().into()));
    set("except", (!options.except.is_empty()).then(|| options.except.clone().into()));
    let config: PruneConfig = serde_json::from_value(fields).map_err(|e| Failure::input(format!("prune: {e}")))?;
    // Not by way of JSON, which knows no NaN.
    let Options { amount, count, threshold, percentile, .. } = *options;
    Ok(PruneConfig { amount, count, threshold, percentile, amounts, ..config })
}
