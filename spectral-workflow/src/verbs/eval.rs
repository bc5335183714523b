//! `eval MODEL`

use crate::context::Context;
use crate::output::{Answer, bytes, columns};
use crate::{Failure, Result, stage};
use spectral_train::Evaluator;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Model file
    model: PathBuf,
    /// Data set (the one the model was trained on, if not given)
    #[arg(long, value_name = "SET")]
    data: Option<String>,
    /// Batch size to time (1 and 128, if not given)
    #[arg(long)]
    batch: Option<usize>,
    /// Also the share of samples whose class is among the K largest outputs
    #[arg(long, value_name = "K")]
    top: Option<usize>,
}

/// Larger batches tell nothing new about latency.
const LARGEST_BATCH: usize = 65_536;

pub(crate) fn run(cx: &Context, options: &Options) -> Result<Answer> {
    if let Some(batch) = options.batch.filter(|b| !(1..=LARGEST_BATCH).contains(b)) {
        return Err(Failure::input(format!("--batch {batch} is not between 1 and {LARGEST_BATCH}")));
    }
    let model = cx.model(&options.model)?;
    let data = cx.dataset_of(&model, options.data.as_deref())?;
    let mut stage = stage::measure("model", &model, &data.test)?;
    let plan = model.meta.plan.clone().unwrap_or_default();
    stage.latency_us = match options.batch {
        Some(batch) => [(batch, stage::latency(&model, &plan, batch)?)].into(),
        None => stage::latencies(&model)?,
    };
    let accuracy = stage.accuracy.map(|a| vec!["accuracy".into(), format!("{a:.4}")]);
    let mut rows: Vec<Vec<String>> = accuracy.into_iter().collect();
    rows.extend([
        vec!["loss".into(), format!("{:.4}", stage.loss)],
        vec!["parameters".into(), stage.parameters.to_string()],
        vec!["non-zero".into(), stage.nonzeros.to_string()],
        vec!["file".into(), bytes(stage.file_bytes)],
    ]);
    for (batch, l) in &stage.latency_us {
        rows.push(vec![format!("latency, batch {batch}"), format!("p50 {:.1} us, p95 {:.1} us", l.p50, l.p95)]);
    }
    let top = match options.top {
        Some(k) => Some((k, Evaluator::default().logits(&model, &data.test)?.top_k_accuracy(&data.test, k)?)),
        None => None,
    };
    if let Some((k, accuracy)) = top {
        rows.insert(1, vec![format!("accuracy, top {k}"), format!("{accuracy:.4}")]);
    }
    let title = format!("{} on {} test samples of {}", options.model.display(), data.test.len(), data.origin.name);
    let mut answer = Answer::new(columns(&[&title, ""], &rows), &stage)?;
    if let (Some((k, accuracy)), Some(json)) = (top, answer.json.as_object_mut()) {
        json.insert("top_k".into(), serde_json::json!({ "k": k, "accuracy": accuracy }));
    }
    Ok(answer)
}
