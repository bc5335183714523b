//! A strategy of a few lines: prunes, trains, and reports its measurements.

use serde::{Deserialize, Serialize};
use serde_json::json;
use spectral_core::{
    Error, Evaluate, Model, Result, Seed, Strategy, StrategyCx, StrategyReport, Table, register_strategy,
};
use spectral_prune::Prune;
use spectral_train::{Adam, Evaluator, Trainer};

/// Prunes weights by magnitude in equal steps, trains after each, and measures on the validation data.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Thin {
    amount: f64,
    steps: usize,
}

impl Default for Thin {
    fn default() -> Self {
        Self { amount: 0.5, steps: 2 }
    }
}

impl Strategy for Thin {
    fn check(&self) -> Result<()> {
        let in_range = self.amount > 0.0 && self.amount < 1.0;
        in_range.then_some(()).ok_or_else(|| Error::config("tests.thin", "`amount` must be between 0 and 1"))
    }

    fn run(&self, model: &mut Model, cx: &mut StrategyCx<'_>) -> Result<StrategyReport> {
        let failed = |e: spectral_prune::Error| Error::Plugin {
            what: "tests.thin".into(),
            class: e.class(),
            source: Box::new(e),
        };
        let mut table = Table::new("Thinning", ["step", "accuracy", "samples"]).plotted(0, [1]);
        let mut work = model.duplicate()?;
        for step in 1..=self.steps {
            let amount = self.amount * step as f64 / self.steps as f64;
            Prune::by("magnitude").amount(amount).apply(&mut work, None).map_err(failed)?;
            let trainer = Trainer::new(Adam::default()).batch(50).seed(Seed(cx.seed.key("step", step as u64)));
            cx.watch.train(&format!("step {step}"), &trainer, &mut work, cx.train, &mut [])?;
            let metrics = Evaluator::default().evaluate(&work, cx.validation)?;
            table.push([step.into(), metrics.accuracy.into(), metrics.samples.into()]);
        }
        *model = work;
        let summary = format!("pruned {} % of the weights in {} steps", 100.0 * self.amount, self.steps);
        Ok(StrategyReport { summary, detail: json!({ "steps": self.steps }), tables: vec![table] })
    }
}

register_strategy!(Thin, "tests.thin", "prunes weights in equal steps and trains after each");
