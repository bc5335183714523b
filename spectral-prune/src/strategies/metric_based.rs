//! Pruning level by level until a metric suffers.

use super::phase;
use crate::weighted::weighted_layers;
use crate::{Budget, Error, Granularity, Prune, PruneConfig, Schedule};
use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::registry::ByName;
use spectral_core::{Cell, Model, Result, Strategy, StrategyCx, StrategyReport, Table, register_strategy};
use spectral_train::{Loss, Metric, MetricEntry, TrainConfig};

/// Prunes to ever higher percentiles and keeps the last level at which a metric is inside a limit.
///
/// The levels are `step`, `2 step`, ... up to 100. Each is measured on the validation data and compared with the model
/// as it came; the first one outside the limit ends the search, and the level before it stays. A metric right at the
/// limit is inside. If no level is outside, the strongest stays, and the report says so; if the first one is, nothing
/// is pruned. At percentile 100 only the entries of the largest score are left, and what `min_keep` keeps.
///
/// Metrics are compared as f32, in which a drop from 1 to 0.9 is more than 10 % (spectraltools, facts from running the
/// originals). Source: spectraltools (`metric_based_pruning`), whose step back was 5 whatever the step.
/// Deterministic: depends on the model, the data and, where it retrains, the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricBased {
    /// What is pruned, without a budget: the levels are the budget. Units by eigenvalue, unless chosen.
    pub prune: PruneConfig,
    /// Percentiles between two levels, from 0.01 to 100.
    pub step: f64,
    /// The registered metric that is measured: `"accuracy"`, `"loss"`, `{ name = "loss", penalties = true }`, or
    /// another.
    pub metric: ByName,
    /// How far the metric may move: in per cent of its value at the start, or in its own units.
    pub max_change: f64,
    /// Whether `max_change` is in per cent of the value at the start.
    pub relative: bool,
    /// Which changes count.
    pub direction: Direction,
    /// The loss that is measured; [`Loss::for_targets`], if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Training after each level, which then starts from the trained level before it; none, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrain: Option<TrainConfig>,
}

/// Which changes of a metric count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both: an improvement beyond the limit ends the search too, as in spectraltools.
    #[default]
    Any,
    /// Those to the worse: a lower accuracy, a higher loss.
    Worse,
}

impl Default for MetricBased {
    fn default() -> Self {
        Self {
            prune: PruneConfig { granularity: Granularity::Unit, ..PruneConfig::new("eigenvalue") },
            step: 5.0,
            metric: ByName::new("accuracy"),
            max_change: 10.0,
            relative: true,
            direction: Direction::default(),
            loss: None,
            retrain: None,
        }
    }
}

/// A level that was tried.
struct Level {
    percentile: f64,
    value: f64,
    change: f64,
    inside: bool,
}

impl MetricBased {
    /// The percentiles, rising.
    fn levels(&self) -> impl Iterator<Item = f64> {
        let step = self.step;
        // The last multiple may miss 100 by rounding alone.
        let count = (100.0 / step + 1e-9) as usize;
        (1..=count).map(move |k| (k as f64 * step).min(100.0))
    }

    /// What the metric is called in tables, and what its change is counted in.
    fn unit(&self) -> &'static str {
        if self.relative { " %" } else { "" }
    }

    /// How far `value` is from `start`, and whether that is inside the limit.
    fn judge(&self, metric: &dyn Metric, start: f64, value: f64) -> (f64, bool) {
        let (start, value) = (f64::from(start as f32), f64::from(value as f32));
        let scale = if self.relative { 100.0 / start } else { 1.0 };
        let change = (value - start) * scale;
        let counted = match (self.direction, metric.larger_is_better()) {
            (Direction::Any, _) => change.abs(),
            (Direction::Worse, true) => -change,
            (Direction::Worse, false) => change,
        };
        // A metric that is no number is outside.
        (change, counted <= self.max_change)
    }

    fn measure(&self, metric: &dyn Metric, model: &Model, cx: &StrategyCx<'_>) -> Result<f64> {
        metric.measure(model, cx.validation, self.loss)
    }

    /// The metric at the start, if changes of it can be judged.
    fn start(&self, metric: &dyn Metric, model: &Model, cx: &StrategyCx<'_>) -> Result<f64> {
        let (start, name) = (self.measure(metric, model, cx)?, &self.metric.name);
        if !start.is_finite() {
            return Err(Error::Config(format!("metric `{name}` is {start} at the start; check model and data")).into());
        }
        if self.relative && start <= 0.0 {
            let problem = format!(
                "metric `{name}` is {start} at the start, and a change in per cent of that means nothing; train the \
                 model first, or set `relative = false`"
            );
            return Err(Error::Config(problem).into());
        }
        Ok(start)
    }

    fn level(&self, from: &Model, percentile: f64, cx: &mut StrategyCx<'_>) -> Result<Model> {
        let mut model = from.duplicate()?;
        let config = PruneConfig { percentile: Some(percentile), ..self.prune.clone() };
        Prune::from_config(config).seed(cx.seed).apply(&mut model, cx.train)?;
        if let Some(config) = &self.retrain {
            let data = phase::Data::of(cx);
            phase::train(cx, &format!("retrain at percentile {percentile}"), config, &mut model, data, &mut [])?;
        }
        Ok(model)
    }

    fn summary(&self, start: f64, kept: Option<&Level>, outside: Option<&Level>) -> String {
        let (name, unit) = (&self.metric.name, self.unit());
        let limit = format!("the limit of {}{unit}", self.max_change);
        let moved = |l: &Level| format!("{name} from {start:.4} to {:.4} ({:+.4}{unit})", l.value, l.change);
        match (kept, outside) {
            (Some(kept), Some(outside)) => format!(
                "pruned to percentile {}, {}; percentile {} is outside {limit}",
                kept.percentile,
                moved(kept),
                outside.percentile
            ),
            (Some(kept), None) => format!(
                "{limit} was never reached: pruned to the strongest level, percentile {}, {}",
                kept.percentile,
                moved(kept)
            ),
            (None, Some(outside)) => format!(
                "nothing was pruned: percentile {} is already outside {limit}, {}",
                outside.percentile,
                moved(outside)
            ),
            (None, None) => "there is no level to prune to".into(),
        }
    }
}

impl Strategy for MetricBased {
    fn check(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::Config(problem).into());
        if !(0.01..=100.0).contains(&self.step) {
            return bad(format!("`step` is {}; it must be from 0.01 to 100 percentiles", self.step));
        }
        if !(self.max_change >= 0.0 && self.max_change.is_finite()) {
            return bad(format!("`max_change` is {}; it must be a finite number, 0 or more", self.max_change));
        }
        let prune = &self.prune;
        if [prune.amount, prune.threshold, prune.percentile].iter().any(Option::is_some) || prune.count.is_some() {
            return bad("`prune` of a search by metric has no budget: the levels are percentiles, see `step`".into());
        }
        if prune.schedule != Schedule::OneShot {
            return bad("`prune` of a search by metric has no schedule: the levels are the schedule".into());
        }
        self.metric.build::<MetricEntry>()?;
        Budget::Percentile(self.step).check()?;
        PruneConfig { percentile: Some(self.step), ..prune.clone() }.check()?;
        self.retrain.as_ref().map_or(Ok(()), phase::check)
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        self.check()?;
        let metric = &*self.metric.build::<MetricEntry>()?;
        let start = self.start(metric, model, cx)?;
        let change = if self.relative { "change [%]" } else { "change" };
        let columns =
            ["percentile", self.metric.name.as_str(), change, "units left", "weights left", "inside the limit"];
        let mut table = Table::new(format!("Pruning levels, by {}", self.metric.name), columns).plotted(0, [1]);
        let mut row = |level: &Level, model: &Model| {
            let (units, weights) = left(model);
            let numbers = [level.percentile, level.value, level.change, units as f64, weights as f64].map(Cell::from);
            table.push(numbers.into_iter().chain([if level.inside { "yes" } else { "no" }.into()]));
        };
        row(&Level { percentile: 0.0, value: start, change: 0.0, inside: true }, model);
        let (mut best, mut outside) = (None::<(Level, Model)>, None);
        for percentile in self.levels() {
            let from = best.as_ref().filter(|_| self.retrain.is_some()).map_or(&*model, |(_, m)| m);
            let candidate = self.level(from, percentile, cx)?;
            let value = self.measure(metric, &candidate, cx)?;
            let (change, inside) = self.judge(metric, start, value);
            let level = Level { percentile, value, change, inside };
            row(&level, &candidate);
            if !inside {
                outside = Some(level);
                break;
            }
            best = Some((level, candidate));
        }
        let kept = best.as_ref().map(|(level, _)| level);
        let summary = self.summary(start, kept, outside.as_ref());
        let detail = json!({
            "metric": self.metric.name, "start": start, "end": kept.map_or(start, |l| l.value),
            "percentile": kept.map_or(0.0, |l| l.percentile), "limit_reached": outside.is_some(),
        });
        if let Some((_, pruned)) = best {
            *model = pruned;
        }
        Ok(StrategyReport { summary, detail, tables: vec![table] })
    }
}

/// Units that have weights, and weights, that are not pruned.
fn left(model: &Model) -> (usize, usize) {
    weighted_layers(model).iter().fold((0, 0), |(units, weights), layer| {
        let rows = layer.kept_per_row(layer.matrix(model));
        (units + rows.iter().filter(|n| **n > 0).count(), weights + rows.iter().sum::<usize>())
    })
}

register_strategy!(
    MetricBased,
    "metric_based",
    "prunes level by level and keeps the last level at which a metric is inside a limit"
);

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_train::{Accuracy, MeanLoss};

    /// spectraltools, facts from running the originals: 0.9 against 1.0 is a change of 10.0000024 % in f32.
    #[test]
    fn metrics_are_compared_as_f32() {
        let by = |max_change| MetricBased { max_change, ..MetricBased::default() };
        let inside = |max_change, value| by(max_change).judge(&Accuracy {}, 1.0, value).1;
        assert!(!inside(10.0, 0.9) && inside(10.000_003, 0.9));
        assert!(inside(50.0, 0.5), "a metric right at the limit is inside");
    }

    #[test]
    fn the_direction_and_the_measure_of_a_change_can_be_chosen() {
        fn by(metric: &dyn Metric, direction: Direction, relative: bool, limit: f64) -> impl Fn(f64, f64) -> bool {
            let strategy = MetricBased { direction, relative, max_change: limit, ..MetricBased::default() };
            move |start, value| strategy.judge(metric, start, value).1
        }
        use Direction::{Any, Worse};
        let (accuracy, loss) = (&Accuracy {}, &MeanLoss::default());
        assert_eq!(MetricBased::default().direction, Any, "as in the original");
        assert!(by(accuracy, Worse, true, 10.0)(0.5, 0.9) && !by(accuracy, Any, true, 10.0)(0.5, 0.9));
        assert!(by(loss, Worse, true, 10.0)(0.5, 0.1) && !by(loss, Any, true, 10.0)(0.5, 0.1));
        assert!(!by(loss, Worse, true, 10.0)(0.5, 0.6) && !by(accuracy, Worse, true, 10.0)(0.5, 0.4));
        assert!(by(loss, Worse, false, 0.25)(0.5, 0.75) && !by(loss, Worse, false, 0.2)(0.5, 0.75));
        assert!(!by(loss, Worse, true, 10.0)(0.5, f64::NAN) && !by(accuracy, Any, false, 1.0)(0.5, f64::NAN));
    }

    #[test]
    fn levels_are_bounded_and_end_at_most_at_100() {
        let levels = |step| MetricBased { step, ..MetricBased::default() }.levels().collect::<Vec<_>>();
        assert_eq!(levels(40.0), [40.0, 80.0]);
        assert_eq!(levels(50.0), [50.0, 100.0]);
        assert_eq!((levels(0.1).len(), levels(0.1).last().copied()), (1000, Some(100.0)));
    }
}
