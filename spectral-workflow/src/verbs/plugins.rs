//! `plugins`

use crate::Result;
use crate::backends::Optional;
use crate::output::{Answer, left_columns};
use spectral_core::registry::{Registered, all};
use spectral_core::{BackendEntry, BackendOptions, LayerEntry, PrunerEntry, StrategyEntry};
use spectral_data::DatasetEntry;
use spectral_train::{MetricEntry, OptimizerEntry, ScheduleEntry};
use std::collections::BTreeSet;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

/// One registered part.
#[derive(Debug, serde::Serialize)]
struct Row {
    what: &'static str,
    name: &'static str,
    summary: &'static str,
    parameters: serde_json::Value,
}

pub(crate) fn run(_: &Options) -> Result<Answer> {
    let mut rows = Vec::new();
    list::<PrunerEntry>(&mut rows, |e| (e.defaults)())?;
    list::<StrategyEntry>(&mut rows, |e| (e.defaults)())?;
    list::<LayerEntry>(&mut rows, settings)?;
    list::<OptimizerEntry>(&mut rows, |e| (e.defaults)())?;
    list::<ScheduleEntry>(&mut rows, |e| (e.defaults)())?;
    list::<MetricEntry>(&mut rows, |e| (e.defaults)())?;
    list::<DatasetEntry>(&mut rows, |_| serde_json::Value::Null)?;
    list::<BackendEntry>(&mut rows, |e| match (e.open)(&BackendOptions::default()) {
        Ok(backend) => backend.describe().into(),
        Err(problem) => format!("not available here: {problem}").into(),
    })?;
    rows.extend(Optional::absent()?.into_iter().map(|o| Row {
        what: BackendEntry::WHAT,
        name: o.name,
        summary: o.summary,
        parameters: format!("not available here: {}", o.state()).into(),
    }));
    rows.sort_by_key(|row| (row.what, row.name));
    let mut text = String::new();
    for what in rows.iter().map(|r| r.what).collect::<BTreeSet<_>>() {
        let cells: Vec<Vec<String>> = rows.iter().filter(|r| r.what == what).map(Row::cells).collect();
        text.push_str(&left_columns(&[what, "", ""], &cells));
        text.push_str("\n\n");
    }
    Answer::new(text, &rows)
}

/// The names of a layer's settings. Their values in the example are made for tests, not for use.
fn settings(entry: &LayerEntry) -> serde_json::Value {
    match (entry.example)().0.config() {
        Ok(serde_json::Value::Object(settings)) => settings.keys().cloned().collect::<Vec<_>>().join(", ").into(),
        _ => serde_json::Value::Null,
    }
}

fn list<T: Registered>(rows: &mut Vec<Row>, parameters: impl Fn(&T) -> serde_json::Value) -> Result<()> {
    for entry in all::<T>()? {
        rows.push(Row { what: T::WHAT, name: entry.name(), summary: entry.summary(), parameters: parameters(entry) });
    }
    Ok(())
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let parameters = match &self.parameters {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(s) => s.clone(),
            serde_json::Value::Object(o) if o.is_empty() => String::new(),
            other => other.to_string(),
        };
        vec![self.name.into(), self.summary.into(), parameters]
    }
}
