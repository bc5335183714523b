//! How long a network takes to answer.

use super::{Clock, Monotonic, Paired, Timing, paired_timed, quantile};
use crate::{Error, Result};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use spectral_core::{DType, Element, Model, Plan, Seed, Session};
use std::time::Duration;

/// How a latency is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencyOptions {
    /// Duration of the runs before anything counts, at least three.
    pub warmup: Duration,
    /// Runs stop after this time, but not before the twentieth.
    pub budget: Duration,
    /// Most runs.
    pub runs: usize,
    /// Seed of the random inputs.
    pub seed: Seed,
}

impl Default for LatencyOptions {
    /// Up to 2,000 runs in 200 ms, after 20 ms of warm-up.
    fn default() -> Self {
        Self { warmup: Duration::from_millis(20), budget: Duration::from_millis(200), runs: 2_000, seed: Seed(0) }
    }
}

const LEAST_RUNS: usize = 20;
const LEAST_WARM: usize = 3;

/// Time from `[batch, features]` to `[batch, outputs]`, both transposes included, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50_us: f64,
    /// 95th percentile.
    pub p95_us: f64,
    /// Runs measured.
    pub runs: usize,
}

/// Times single runs of `model` under `plan` on random inputs, uniform in `-1..1`.
///
/// # Errors
/// The batch is empty or the device failed.
pub fn latency(model: &Model, plan: &Plan, batch: usize, options: &LatencyOptions) -> Result<Latency> {
    let clock = Monotonic::default();
    match model.dtype() {
        DType::F32 => time_runs(&clock, &mut Runner::<f32>::new(model, plan, batch, options.seed)?, options),
        DType::F64 => time_runs(&clock, &mut Runner::<f64>::new(model, plan, batch, options.seed)?, options),
    }
}

/// Times `a` and `b` in turns, each with its own plan, on random inputs, uniform in `-1..1`. If
/// [`Paired::ratio_median`] is above 1, `b` is faster.
///
/// # Errors
/// The batch is empty, the models have different element types, or the device failed.
pub fn paired_latency(a: &Model, b: &Model, batch: usize, timing: &Timing, seed: Seed) -> Result<Paired> {
    if a.dtype() != b.dtype() {
        return Err(Error::Measure(format!("models of {} and {} cannot be compared", a.dtype(), b.dtype())));
    }
    match a.dtype() {
        DType::F32 => paired_runs::<f32>(a, b, batch, timing, seed),
        DType::F64 => paired_runs::<f64>(a, b, batch, timing, seed),
    }
}

fn paired_runs<E: Element>(a: &Model, b: &Model, batch: usize, timing: &Timing, seed: Seed) -> Result<Paired> {
    let plan = |model: &Model| model.meta.plan.clone().unwrap_or_default();
    let mut a = Runner::<E>::new(a, &plan(a), batch, seed)?;
    let mut b = Runner::<E>::new(b, &plan(b), batch, seed)?;
    Ok(paired_timed(&Monotonic::default(), timing, || a.once(), || b.once())?)
}

fn time_runs<E: Element>(clock: &dyn Clock, run: &mut Runner<'_, E>, options: &LatencyOptions) -> Result<Latency> {
    let start = clock.now();
    let mut warm = 0;
    while warm < LEAST_WARM || (clock.now() - start < options.warmup && warm < options.runs) {
        run.once()?;
        warm += 1;
    }
    let start = clock.now();
    let mut times = Vec::new();
    while times.len() < LEAST_RUNS || (clock.now() - start < options.budget && times.len() < options.runs) {
        let before = clock.now();
        run.once()?;
        times.push((clock.now() - before).as_nanos() as f64 / 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(Latency { p50_us: quantile(&times, 0.5), p95_us: quantile(&times, 0.95), runs: times.len() })
}

/// A session with inputs and room for outputs.
pub(crate) struct Runner<'m, E> {
    session: Session<'m>,
    x: Array2<E>,
    y: Array2<E>,
}

impl<'m, E: Element> Runner<'m, E> {
    pub(crate) fn new(model: &'m Model, plan: &Plan, batch: usize, seed: Seed) -> Result<Self> {
        if batch == 0 {
            return Err(Error::Measure("the batch must have at least one sample".into()));
        }
        let mut stream = seed.stream("latency", batch as u64);
        let x = Array2::from_shape_simple_fn((batch, model.graph().input().len()), || E::of(stream.uniform(-1.0, 1.0)));
        let y = Array2::zeros((batch, model.graph().output().len()));
        Ok(Self { session: Session::new(model, plan)?, x, y })
    }

    /// One run, from array to array.
    pub(crate) fn once(&mut self) -> spectral_core::Result<()> {
        self.session.run_into(self.x.view(), self.y.view_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fake::Fake;
    use spectral_core::Reference;
    use spectral_layers::prelude::*;
    use std::cell::Cell;
    use std::sync::Mutex;

    /// A clock whose reading `k` is `times[k]` later than the one before.
    struct Script(Fake, Mutex<Cell<u64>>);

    impl Clock for Script {
        fn now(&self) -> Duration {
            let reading = self.1.lock().unwrap();
            reading.set(reading.get() + 1);
            self.0.pass(1_000 * reading.get());
            self.0.now()
        }
    }

    #[test]
    fn percentiles_are_those_of_single_runs() {
        let model = Network::new(3).dense(2, Relu).build(&Reference, Seed(0)).unwrap();
        let mut run = Runner::<f32>::new(&model, &Plan::default(), 4, Seed(0)).unwrap();
        let clock = Script(Fake::default(), Mutex::default());
        let options = LatencyOptions { warmup: Duration::ZERO, budget: Duration::ZERO, ..LatencyOptions::default() };
        let latency = time_runs(&clock, &mut run, &options).unwrap();
        // Warm-up reads the clock twice, the loop once before and twice around each run: the first 20 runs are
        // the readings 4, 6, 8, ..., 42 us late.
        assert_eq!(latency, Latency { p50_us: 24.0, p95_us: 41.1, runs: 20 });
    }

    #[test]
    fn an_empty_batch_is_refused() {
        let model = Network::new(3).dense(2, Relu).build(&Reference, Seed(0)).unwrap();
        let error = latency(&model, &Plan::default(), 0, &LatencyOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Measure(_)), "{error}");
    }
}
