//! Pruning as a recipe says it.

use crate::{Budget, Error, Granularity, Result, Schedule, Scope};
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{Pruner, PrunerEntry};
use std::collections::BTreeMap;

/// One pruning step, or a schedule of them, as recipes and command lines describe it.
///
/// ```toml
/// [prune]
/// criterion = "eigenvalue"          # or { name = "magnitude", exponent = 2.0 }
/// granularity = "unit"              # or "weight" (the default), "input", blocks as "4x1", patterns as "2:4"
/// scope = "global"                  # or "layer"
/// amount = 0.8                      # or count = 320, threshold = 0.05, percentile = 80.0
/// # amounts = { dense1 = 0.9, dense2 = 0.5 }   # by layer, instead
/// layers = ["spectral1"]            # all, if absent
/// except = ["spectral2"]
/// protect_last = true
/// min_keep = 1
/// keep_bias = false
/// schedule = { iterative = { steps = 3 } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneConfig {
    /// Which entries are worth what.
    pub criterion: ByName,
    /// What is cut.
    #[serde(default)]
    pub granularity: Granularity,
    /// What competes with what.
    #[serde(default)]
    pub scope: Scope,
    /// [`Budget::Fraction`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
    /// [`Budget::Count`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// [`Budget::Threshold`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// [`Budget::Percentile`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// By layer: the share of its entries that is pruned afterwards. Layers without one are skipped; where as much or
    /// more is pruned already, nothing is (Sparana). Takes the place of every other budget, and of `layers`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub amounts: BTreeMap<String, f64>,
    /// Names of the layers to prune; all weighted ones, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// Names of layers to leave alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Whether the last weighted layer is left alone, unless `layers` or `amounts` names it or there is no other.
    ///
    /// If absent: when weights are pruned at the same share in every layer (by scope, or N of M), where the few weights
    /// of the outputs suffer most (Sparana). A global ranking weighs them against the others, and units of the
    /// outputs never go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_last: Option<bool>,
    /// Entries (units or weights) that every layer keeps, whatever they score.
    #[serde(default = "one")]
    pub min_keep: usize,
    /// Whether the bias of a pruned unit stays, so that it emits `act(bias)` instead of `act(0)`.
    #[serde(default)]
    pub keep_bias: bool,
    /// When it happens.
    #[serde(default)]
    pub schedule: Schedule,
}

/// Builds the criterion that `part` names.
///
/// # Errors
/// It is not registered (the error gives the nearest), or a parameter is unknown or out of range.
pub(crate) fn criterion(part: &ByName) -> spectral_core::Result<Box<dyn Pruner>> {
    let pruner = part.build::<PrunerEntry>()?;
    pruner.check()?;
    Ok(pruner)
}

impl PruneConfig {
    /// Weights by `criterion`, over the whole network, without a budget yet.
    pub fn new(criterion: impl Into<String>) -> Self {
        Self {
            criterion: ByName::new(criterion),
            granularity: Granularity::default(),
            scope: Scope::default(),
            amount: None,
            count: None,
            threshold: None,
            percentile: None,
            amounts: BTreeMap::new(),
            layers: Vec::new(),
            except: Vec::new(),
            protect_last: None,
            min_keep: 1,
            keep_bias: false,
            schedule: Schedule::default(),
        }
    }

    /// The one budget that is given for all layers; with N of M the share that these two are.
    ///
    /// # Errors
    /// None is, several are, or its value is out of range.
    pub fn budget(&self) -> Result<Budget> {
        if let Granularity::NOfM { n, m } = self.granularity.check()? {
            return self.check_n_of_m().map(|()| Budget::Fraction(1.0 - n as f64 / m as f64));
        }
        let mut given = self.given();
        if !self.amounts.is_empty() {
            return Err(Error::Config("`amounts` by layer is done in one step: take the schedule out".into()));
        }
        match (given.next(), given.next()) {
            (Some(budget), None) => budget.check(),
            (None, _) => Err(Error::Config("say how much: `amount`, `count`, `threshold` or `percentile`".into())),
            _ => Err(Error::Config("`amount`, `count`, `threshold` and `percentile` exclude each other".into())),
        }
    }

    fn check_n_of_m(&self) -> Result<()> {
        let budget = self.given().next().is_some() || !self.amounts.is_empty() || self.min_keep > 1;
        match budget || self.schedule != Schedule::OneShot {
            true => Err(Error::Config(format!(
                "granularity `{}` says how much goes and does it in one step: leave out `amount` and other budgets, \
                 `min_keep` and the schedule",
                self.granularity
            ))),
            false => Ok(()),
        }
    }

    /// The budgets for all layers that are given; one is right.
    fn given(&self) -> impl Iterator<Item = Budget> {
        let given = [
            self.amount.map(Budget::Fraction),
            self.count.map(Budget::Count),
            self.threshold.map(Budget::Threshold),
            self.percentile.map(Budget::Percentile),
        ];
        given.into_iter().flatten()
    }

    /// Checks what can be checked without a model: the criterion and its parameters, the budget, the schedule.
    ///
    /// # Errors
    /// One of them is unknown, missing or out of range.
    pub fn check(&self) -> Result<()> {
        self.pruner()?;
        if self.amounts.is_empty() || matches!(self.granularity.check()?, Granularity::NOfM { .. }) {
            return self.schedule.check(self.budget()?);
        }
        let bad = |problem: &str| Err(Error::Config(problem.into()));
        if self.given().next().is_some() {
            return bad("`amounts` by layer excludes `amount`, `count`, `threshold` and `percentile`");
        }
        if !(self.layers.is_empty() && self.except.is_empty()) {
            return bad("`amounts` names its layers: leave out `layers` and `except`");
        }
        if self.schedule != Schedule::OneShot {
            return bad("`amounts` by layer is done in one step: take the schedule out");
        }
        self.amounts.values().try_for_each(|share| Budget::Fraction(*share).check().map(drop))
    }

    /// Builds the criterion.
    pub(crate) fn pruner(&self) -> Result<Box<dyn Pruner>> {
        Ok(criterion(&self.criterion)?)
    }
}

fn one() -> usize {
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn recipes_read_and_write_both_forms_of_a_criterion() {
        for (form, parameters) in [(json!("magnitude"), 0), (json!({ "name": "magnitude", "exponent": 2.0 }), 1)] {
            let config: PruneConfig = serde_json::from_value(json!({ "criterion": form, "amount": 0.5 })).unwrap();
            assert_eq!((config.criterion.name.as_str(), config.criterion.parameters.len()), ("magnitude", parameters));
            assert_eq!(serde_json::to_value(&config).unwrap()["criterion"], form);
            config.check().unwrap();
        }
    }

    #[test]
    fn bad_recipes_say_what_is_wrong() {
        for (table, word) in [
            (json!({ "criterion": "magnitude" }), "say how much"),
            (json!({ "criterion": "magnitude", "amount": 0.5, "count": 3 }), "exclude"),
            (json!({ "criterion": "magnitude", "amount": 1.5 }), "between 0 and 1"),
            (json!({ "criterion": "magnitude", "percentile": 120 }), "between 0 and 100"),
            (json!({ "criterion": "magnitud", "amount": 0.5 }), "did you mean `magnitude`"),
            (json!({ "criterion": { "name": "magnitude", "power": 2 }, "amount": 0.5 }), "power"),
            (json!({ "criterion": "magnitude", "amount": 0.5, "schedule": { "iterative": { "steps": 0 } } }), "steps"),
            (json!({ "criterion": "magnitude", "count": 5, "schedule": { "iterative": { "steps": 2 } } }), "amount"),
            (
                json!({ "criterion": "magnitude", "amount": 0.5, "schedule": { "gradual": { "start": 9, "end": 3, "every": 1 } } }),
                "start",
            ),
        ] {
            let config: PruneConfig = serde_json::from_value(table.clone()).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{table}: {error}");
        }
        let unknown = json!({ "criterion": "magnitude", "ammount": 0.5 });
        assert!(serde_json::from_value::<PruneConfig>(unknown).unwrap_err().to_string().contains("ammount"));
        let negative = json!({ "criterion": "magnitude", "count": -1 });
        assert!(serde_json::from_value::<PruneConfig>(negative).is_err());
    }
}
