//! What core expects of a strategy.

use crate::{Failed, Report};
use serde_json::{Value, json};
use spectral_core::{
    Cell, Error, History, Model, Result, Samples, Seed, Strategy, StrategyCx, StrategyEntry, StrategyReport, Train,
    TrainHook, Unwatched, Watch,
};

/// A small task to try a strategy on.
#[derive(Debug)]
pub struct Trial<'a> {
    /// Parameters of the strategy; absent ones take their default values.
    pub parameters: Value,
    /// The same model on at least two backends that differ only in their number of threads.
    pub models: &'a [Model],
    /// Training data.
    pub train: &'a Samples,
    /// Validation data, for measurements.
    pub validation: &'a Samples,
    /// Data whose width does not fit the models.
    pub unfit: &'a Samples,
}

/// Checks all that core expects of a strategy:
///
/// * the default parameters can be written and read, unknown ones are refused by name, and those of the trial pass
///   [`check`](Strategy::check);
/// * it runs, with the same result for every number of threads (except columns of `seconds`), and pruned entries are
///   exactly zero afterwards;
/// * it reports a sentence and tables whose rows and plots fit their columns;
/// * if data does not fit, or one of its training phases fails, it returns an error and leaves the model, its masks,
///   its trainable entries and its history unchanged.
///
/// # Errors
/// One of these checks failed; the error lists all failures.
pub fn conformance(entry: &StrategyEntry, trial: &Trial<'_>) -> Result<Report, Failed> {
    let mut report = Report::new(format!("strategy `{}`", entry.name));
    let defaults = (entry.defaults)();
    report.expect(defaults.is_object(), "usual parameters are not an object");
    report.attempt("usual parameters cannot be read back", (entry.build)(defaults).map(drop));
    let unknown = (entry.build)(json!({ "no_such_parameter": 1 })).err().map(|e| e.to_string());
    let named = unknown.is_some_and(|text| text.contains("no_such_parameter"));
    report.expect(named, "a parameter that does not exist is not refused by its name");
    let Some(strategy) = report.attempt("parameters", (entry.build)(trial.parameters.clone())) else {
        return report.into_result();
    };
    report.attempt("check", strategy.check());
    runs(&*strategy, trial, &mut report);
    fails(&*strategy, trial, &mut report);
    report.into_result()
}

fn run(strategy: &dyn Strategy, model: &mut Model, trial: &Trial<'_>, watch: &mut dyn Watch) -> Result<StrategyReport> {
    let mut cx = StrategyCx { train: trial.train, validation: trial.validation, seed: Seed(11), watch };
    strategy.run(model, &mut cx)
}

fn runs(strategy: &dyn Strategy, trial: &Trial<'_>, report: &mut Report) {
    report.expect(trial.models.len() > 1, "a trial needs models with two numbers of threads");
    let mut results = Vec::new();
    for model in trial.models {
        let Some(mut model) = report.attempt("copying the model", model.duplicate()) else { return };
        let Some(done) = report.attempt("run", run(strategy, &mut model, trial, &mut Unwatched)) else { return };
        results.push((state(&model, report), untimed(done)));
        masks(&model, report);
    }
    for other in results.iter().skip(1) {
        report.expect(other.0 == results[0].0, "the model depends on the number of threads");
        report.expect(other.1 == results[0].1, "the report depends on the number of threads");
    }
    let Some((_, done)) = results.first() else { return };
    report.expect(!done.summary.is_empty(), "the report has no summary");
    for table in &done.tables {
        let (title, width) = (&table.title, table.columns.len());
        report.expect(table.rows.iter().all(|row| row.len() == width), format!("rows of `{title}` do not fit"));
        let plotted = table.plot.iter().flat_map(|p| p.y.iter().copied().chain([p.x]).chain(p.by));
        report.expect(plotted.max().is_none_or(|column| column < width), format!("the plot of `{title}` does not fit"));
    }
}

/// The report without its columns of wall-clock time, which differ in every run.
fn untimed(mut done: StrategyReport) -> StrategyReport {
    for table in &mut done.tables {
        let timed: Vec<bool> = table.columns.iter().map(|name| name.contains("seconds")).collect();
        for row in &mut table.rows {
            let clocks = row.iter_mut().zip(&timed).filter(|(_, timed)| **timed);
            clocks.for_each(|(cell, _)| *cell = Cell::from(0.0));
        }
    }
    done
}

/// Every pruned entry is +0.
fn masks(model: &Model, report: &mut Report) {
    for (_, param) in model.params().iter() {
        let Some(mask) = param.pruned() else { continue };
        let values = model.backend().download(param.value());
        let Some(values) = report.attempt("download", values) else { return };
        let lost = mask.iter().any(|k| values[k].to_bits() != 0);
        report.expect(!lost, format!("a pruned entry of `{}` is not zero", param.name));
    }
}

/// Everything that an error must not change.
fn state(model: &Model, report: &mut Report) -> Option<(String, String, usize)> {
    let hash = report.attempt("hash", model.content_hash())?;
    let trainable: Vec<_> = model.params().iter().map(|(_, p)| (p.trainable.clone(), p.penalty)).collect();
    Some((format!("{hash:?}"), format!("{trainable:?} {:?}", model.meta), model.meta.history.len()))
}

fn fails(strategy: &dyn Strategy, trial: &Trial<'_>, report: &mut Report) {
    let Some(model) = trial.models.first() else { return };
    for (what, train, validation) in
        [("training data", trial.unfit, trial.validation), ("validation data", trial.train, trial.unfit)]
    {
        let Some(mut copy) = report.attempt("copying the model", model.duplicate()) else { return };
        let trial = Trial { parameters: Value::Null, models: trial.models, train, validation, unfit: trial.unfit };
        let result = run(strategy, &mut copy, &trial, &mut Unwatched);
        // A strategy may ignore one of them, but not both.
        if result.is_err() {
            let same = state(&copy, report) == state(model, report);
            report.expect(same, format!("bad {what} changed the model"));
        } else {
            report.skipped += 1;
        }
    }
    report.expect(report.skipped < 2, "data that does not fit is accepted");
    // Lets one more phase pass in each round, until the strategy succeeds.
    for good in 0..64 {
        let Some(mut copy) = report.attempt("copying the model", model.duplicate()) else { return };
        if run(strategy, &mut copy, trial, &mut FailsAfter(good)).is_ok() {
            return;
        }
        let what = format!("training phase {} failed after training, and the model changed", good + 1);
        let same = state(&copy, report) == state(model, report);
        report.expect(same, what);
    }
}

/// Lets this many phases pass. Then the next one fails after it has trained.
struct FailsAfter(usize);

impl Watch for FailsAfter {
    fn train(
        &mut self,
        phase: &str,
        trainer: &dyn Train,
        model: &mut Model,
        data: &Samples,
        hooks: &mut [&mut dyn TrainHook],
    ) -> Result<History> {
        let history = trainer.train(model, data, hooks)?;
        match self.0.checked_sub(1) {
            Some(left) => self.0 = left,
            None => return Err(Error::Data(format!("phase `{phase}` was made to fail"))),
        }
        Ok(history)
    }
}
