//! What every repetition works with: the scale it was asked for, data, measuring, and workers.

use crate::{Failure, Result};
use spectral_core::{Activation, BackendHandle, Evaluate, Model, Samples, Seed, Trainable};
use spectral_train::{Evaluator, Trainer};
use spectral_workflow::Context;
use spectral_workflow::progress::{self, Bar};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How large a repetition is to be. What is not given, the result decides.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// A minute at most: the shape of the result, not its numbers.
    pub(crate) quick: bool,
    pub(crate) seeds: Option<usize>,
    pub(crate) first_seed: u64,
    pub(crate) epochs: Option<usize>,
    pub(crate) activations: Vec<(String, Activation)>,
    pub(crate) sets: Vec<String>,
    pub(crate) arms: Vec<String>,
}

/// Where a result is repeated.
pub(crate) struct Lab<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) scale: Scale,
}

impl Lab<'_> {
    /// One of two sizes, unless the number was asked for.
    pub(crate) fn size(&self, asked: Option<usize>, full: usize, quick: usize) -> usize {
        asked.unwrap_or(if self.scale.quick { quick } else { full })
    }

    /// One seed a run, from the first that was asked for.
    pub(crate) fn seeds(&self, full: usize, quick: usize) -> Vec<Seed> {
        let runs = self.size(self.scale.seeds, full, quick) as u64;
        (0..runs).map(|run| Seed(self.scale.first_seed.wrapping_add(run))).collect()
    }

    /// Trains a model behind a progress bar.
    pub(crate) fn fit(&self, label: &str, trainer: &Trainer, model: &mut Model, data: &Samples) -> Result<()> {
        trainer.fit_with(model, data, &mut [&mut Bar::new(label)])?;
        Ok(())
    }

    /// Trains a model of every job on one thread each, as many at a time as the run may use threads; results in
    /// the order of the jobs. Small networks gain nothing from several threads.
    pub(crate) fn side_by_side<J: Sync, T: Send>(
        &self,
        label: &'static str,
        jobs: &[J],
        work: impl Fn(&BackendHandle, &J) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<Option<Result<T>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
        let bar = progress::jobs(label, jobs.len());
        let worker = || -> Result<()> {
            let backend = self.cx.single_threaded()?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(index) else { return Ok(()) };
                let result = work(&backend, job);
                bar.inc(1);
                if let Ok(mut done) = done.lock() {
                    done[index] = Some(result);
                }
            }
        };
        let died = || Failure::Check(format!("{label}: a worker died"));
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.cx.threads.min(jobs.len())).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|w| w.join().map_err(|_| died())?)
        })?;
        bar.finish_and_clear();
        let results = done.into_inner().map_err(|_| died())?;
        results.into_iter().map(|r| r.ok_or_else(died)?).collect()
    }
}

/// Share of `data` that `model` labels right, in per cent.
pub(crate) fn accuracy(model: &Model, data: &Samples) -> Result<f64> {
    let values = || Failure::input(format!("{}: its targets are values, not classes", data.name));
    Ok(100.0 * Evaluator::default().evaluate(model, data)?.accuracy.ok_or_else(values)?)
}

/// Entries that training may move.
pub(crate) fn trainable(model: &Model) -> usize {
    let entries = model.params().iter().map(|(_, p)| match &p.trainable {
        Trainable::All => p.value().len(),
        Trainable::None => 0,
        Trainable::Only(mask) => mask.count(),
    });
    entries.sum()
}
