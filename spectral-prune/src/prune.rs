//! The builder: criterion x granularity x scope x budget, applied to a model.

use crate::change::{Change, Snapshot};
use crate::pool::{Cut, Scores, Terms, cut_n_of_m, cut_single, cut_units};
use crate::selection::Fit;
use crate::weighted::{Weighted, check_unshared, choose_layers, weighted_layers};
use crate::worth::Worth;
use crate::{Budget, Error, Granularity, PruneConfig, PruneReport, Result, Schedule, Scope, eigenvalues};
use serde_json::Value;
use spectral_core::{LayersWith, Model, Pruner, Samples, Seed};
use std::collections::BTreeMap;

/// One pruning step.
///
/// ```
/// use spectral_core::{Reference, Seed};
/// use spectral_layers::prelude::*;
/// use spectral_prune::Prune;
///
/// let network = Network::new(20).spectral(30, Relu).spectral(10, Relu).dense(3, Identity);
/// let mut model = network.build(&Reference, Seed(7))?;
/// let report = Prune::by("magnitude").units().globally().amount(0.8).apply(&mut model, None)?;
/// assert_eq!((report.removed, report.kept), (32, 8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Mistakes in the options are reported by [`apply`](Self::apply).
#[derive(Debug, Clone)]
pub struct Prune {
    config: PruneConfig,
    seed: Option<Seed>,
    problem: Option<String>,
}

impl Prune {
    /// Prunes by the criterion of that name: weights, over the whole network.
    pub fn by(criterion: impl Into<String>) -> Self {
        Self::from_config(PruneConfig::new(criterion))
    }

    /// Prunes once as `config` says, whatever its schedule; see [`PruneConfig::rounds`].
    pub fn from_config(config: PruneConfig) -> Self {
        Self { config, seed: None, problem: None }
    }

    /// Cuts whole units.
    pub fn units(mut self) -> Self {
        self.config.granularity = Granularity::Unit;
        self
    }

    /// Cuts whole inputs of layers.
    pub fn inputs(mut self) -> Self {
        self.config.granularity = Granularity::Input;
        self
    }

    /// Cuts single weights.
    pub fn weights(mut self) -> Self {
        self.config.granularity = Granularity::Weight;
        self
    }

    /// Cuts blocks of `rows` units by `columns` inputs; see [`Granularity::Block`].
    pub fn blocks(mut self, rows: usize, columns: usize) -> Self {
        self.config.granularity = Granularity::Block { rows, columns };
        self
    }

    /// Keeps the `n` largest of every `m` weights of a row, which takes the place of a budget; see
    /// [`Granularity::NOfM`].
    pub fn n_of_m(mut self, n: usize, m: usize) -> Self {
        self.config.granularity = Granularity::NOfM { n, m };
        self
    }

    /// All chosen layers compete for one budget.
    pub fn globally(mut self) -> Self {
        self.config.scope = Scope::Global;
        self
    }

    /// The budget holds in every layer.
    pub fn per_layer(mut self) -> Self {
        self.config.scope = Scope::Layer;
        self
    }

    /// Only these layers, by name.
    pub fn layers(mut self, names: &[impl AsRef<str>]) -> Self {
        self.config.layers = names.iter().map(|n| n.as_ref().into()).collect();
        self
    }

    /// All but these layers, by name.
    pub fn except(mut self, names: &[impl AsRef<str>]) -> Self {
        self.config.except = names.iter().map(|n| n.as_ref().into()).collect();
        self
    }

    /// [`Budget::Fraction`].
    pub fn amount(mut self, share: f64) -> Self {
        self.config.amount = Some(share);
        self
    }

    /// [`Budget::Count`].
    pub fn count(mut self, entries: usize) -> Self {
        self.config.count = Some(entries);
        self
    }

    /// [`Budget::Threshold`].
    pub fn threshold(mut self, score: f64) -> Self {
        self.config.threshold = Some(score);
        self
    }

    /// [`Budget::Percentile`].
    pub fn percentile(mut self, percentile: f64) -> Self {
        self.config.percentile = Some(percentile);
        self
    }

    /// The share of each of these layers that is pruned afterwards; the others are skipped.
    pub fn amounts(mut self, by_layer: &[(impl AsRef<str>, f64)]) -> Self {
        self.config.amounts = by_layer.iter().map(|(name, share)| (name.as_ref().into(), *share)).collect();
        self
    }

    /// Whether the last weighted layer is left alone; see [`PruneConfig::protect_last`].
    pub fn protect_last(mut self, protect: bool) -> Self {
        self.config.protect_last = Some(protect);
        self
    }

    /// Entries that every layer keeps; 1 unless chosen.
    pub fn min_keep(mut self, entries: usize) -> Self {
        self.config.min_keep = entries;
        self
    }

    /// Leaves the bias of pruned units, which then emit `act(bias)` instead of `act(0)`.
    pub fn keep_bias(mut self) -> Self {
        self.config.keep_bias = true;
        self
    }

    /// Parameters of the criterion, as an object.
    pub fn parameters(mut self, parameters: Value) -> Self {
        match parameters {
            Value::Object(table) => self.config.criterion.parameters = table,
            other => self.problem = Some(format!("parameters of a criterion are an object, not {other}")),
        }
        self
    }

    /// What criteria that draw numbers derive from; the model's own seed unless chosen.
    pub fn seed(mut self, seed: Seed) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The options as a recipe would hold them.
    pub fn config(&self) -> &PruneConfig {
        &self.config
    }

    /// Prunes `model`: masks the entries, and appends the step to its history. A step that finds nothing more to
    /// prune leaves the model and its history as they are.
    ///
    /// `calibration` is for criteria that measure on data: `&samples`, `Some(&samples)` or `None`.
    ///
    /// # Errors
    /// An option is unknown or out of range, data is needed and missing, the budget cannot be hit, or a device
    /// failed. The model is then unchanged.
    pub fn apply<'a>(&self, model: &mut Model, calibration: impl Into<Option<&'a Samples>>) -> Result<PruneReport> {
        self.config.check()?;
        let cut = match self.config.amounts.is_empty() {
            true => self.plan(model, calibration.into(), self.config.budget()?, Fit::Exact)?,
            false => self.plan_by_layer(model, calibration.into())?,
        };
        let (parent, before) = (model.content_hash()?, Snapshot::of(model));
        let change = Change { removed: cut.removed, parent, before: &before, replaces: None };
        Ok(self.carry_out(model, &cut, change)?.0)
    }

    /// Finds what would stop [`apply`](Self::apply) from pruning a model of this form, whatever the values of its
    /// parameters: options, names of layers, layers without what the criterion reads, missing data, numbers that cannot
    /// be hit. To be called before a long training.
    ///
    /// # Errors
    /// The first problem.
    pub fn check_for<'a>(&self, model: &Model, calibration: impl Into<Option<&'a Samples>>) -> Result<()> {
        self.config.check()?;
        let plan = match self.config.amounts.is_empty() {
            true => self.plan(model, calibration.into(), self.config.budget()?, Fit::Exact),
            false => self.plan_by_layer(model, calibration.into()),
        };
        match plan {
            Ok(_) => Ok(()),
            // These depend on values, and training changes them.
            Err(Error::Score { .. } | Error::Core(spectral_core::Error::NonFinite { .. })) => Ok(()),
            Err(Error::Infeasible { .. }) if self.cuts_by_score() => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Whether how many entries go depends on their scores.
    fn cuts_by_score(&self) -> bool {
        self.config.threshold.is_some() || self.config.percentile.is_some()
    }

    /// Decides what is cut, without touching the model.
    pub(crate) fn plan(&self, model: &Model, calibration: Option<&Samples>, budget: Budget, fit: Fit) -> Result<Cut> {
        budget.check()?;
        let named = !self.config.layers.is_empty();
        let percentiles = matches!(budget, Budget::Percentile(_));
        let scores = self.scored(model, calibration, percentiles)?;
        self.cut(model, &scores, Terms { budget, fit, named, ..self.terms() })
    }

    /// As [`plan`](Self::plan), to the share that `amounts` names for each layer.
    fn plan_by_layer(&self, model: &Model, calibration: Option<&Samples>) -> Result<Cut> {
        let amounts = &self.config.amounts;
        Cut::all(self.scored(model, calibration, false)?.layers.into_iter().map(|scored| {
            let share = amounts.get(&scored.layer.name).copied().unwrap_or(0.0);
            let terms = Terms { budget: Budget::Fraction(share), fit: Fit::AtLeast, named: true, ..self.terms() };
            self.cut(model, &Scores { layers: vec![scored], elsewhere: Vec::new() }, terms)
        }))
    }

    fn terms(&self) -> Terms {
        let PruneConfig { scope, min_keep, .. } = self.config;
        Terms { scope, budget: Budget::Fraction(0.0), fit: Fit::Exact, min_keep, named: false }
    }

    fn scored(&self, model: &Model, calibration: Option<&Samples>, percentiles: bool) -> Result<Scores> {
        if let Some(problem) = &self.problem {
            return Err(Error::Config(problem.clone()));
        }
        let pruner = self.config.pruner()?;
        let layers = self.chosen(model, &*pruner)?;
        let (name, granularity) = (self.config.criterion.name.as_str(), self.config.granularity);
        let seed = self.seed.unwrap_or(Seed(model.meta.seed.unwrap_or(0)));
        Worth { name, pruner: &*pruner, granularity, seed, percentiles }.score(model, layers, calibration)
    }

    fn cut(&self, model: &Model, scores: &Scores, terms: Terms) -> Result<Cut> {
        match self.config.granularity {
            Granularity::Unit => cut_units(model, scores, terms),
            Granularity::NOfM { n, m } => cut_n_of_m(model, &scores.layers, n, m),
            single => cut_single(model, scores, terms, single),
        }
    }

    /// The weighted layers that take part.
    fn chosen(&self, model: &Model, pruner: &dyn Pruner) -> Result<Vec<Weighted>> {
        let config = &self.config;
        let named: Vec<String> = match config.amounts.is_empty() {
            true => config.layers.clone(),
            false => config.amounts.keys().cloned().collect(),
        };
        let mut layers = choose_layers(model, &named, &config.except)?;
        let usual = match config.granularity {
            Granularity::Weight | Granularity::Block { .. } => config.scope == Scope::Layer,
            Granularity::NOfM { .. } => true,
            Granularity::Unit | Granularity::Input => false,
        };
        if config.protect_last.unwrap_or(usual) && named.is_empty() && layers.len() > 1 {
            let last = weighted_layers(model).last().map(|l| l.node);
            layers.retain(|l| Some(l.node) != last);
        }
        let (needed, criterion) = (pruner.needs().layers, config.criterion.name.clone());
        let by_eigenvalue = needed == LayersWith::Eigenvalues;
        let next = match by_eigenvalue && config.granularity == Granularity::Unit {
            true => eigenvalues::next(model)?,
            false => BTreeMap::new(),
        };
        let taken_in = |l: &Weighted| next.get(&l.node).is_some_and(|units| units.iter().any(|u| !u.is_empty()));
        let can_score = |l: &Weighted| l.has(needed) || taken_in(l);
        let trains = |l: &Weighted| match config.granularity {
            Granularity::Input => l.trains_eigenvalues[0],
            Granularity::Unit => l.trains_eigenvalues[1] || taken_in(l),
            Granularity::Weight | Granularity::Block { .. } | Granularity::NOfM { .. } => true,
        };
        let mut require = |has: &dyn Fn(&Weighted) -> bool, error: &dyn Fn(String) -> Error| {
            let lacking: Vec<&str> = layers.iter().filter(|l| !has(l)).map(|l| &*l.name).collect();
            if lacking.len() == layers.len() || !(named.is_empty() || lacking.is_empty()) {
                return Err(error(lacking.join(", ")));
            }
            layers.retain(has);
            Ok(())
        };
        require(&can_score, &|layers| Error::lacks(needed, criterion.clone(), layers))?;
        if by_eigenvalue {
            require(&trains, &|layers| Error::FrozenEigenvalues { criterion: criterion.clone(), layers })?;
        }
        check_unshared(model, &layers)?;
        Ok(layers)
    }
}

impl PruneConfig {
    /// The pruning steps of a one-shot or iterative schedule; whoever applies them trains after each.
    ///
    /// # Errors
    /// [`check`](Self::check) fails, or the schedule is gradual, which is a
    /// [`GradualPruning`](crate::GradualPruning) hook.
    pub fn rounds(&self) -> Result<Vec<Prune>> {
        self.check()?;
        let once = |config: PruneConfig| Prune::from_config(PruneConfig { schedule: Schedule::OneShot, ..config });
        match (self.schedule, self.amount) {
            (Schedule::Gradual(_), _) => {
                Err(Error::Config("a gradual schedule prunes inside training: hang `GradualPruning` into it".into()))
            }
            (Schedule::Iterative(_), Some(amount)) => {
                let shares = self.schedule.targets(amount).into_iter();
                Ok(shares.map(|share| once(PruneConfig { amount: Some(share), ..self.clone() })).collect())
            }
            _ => Ok(vec![once(self.clone())]),
        }
    }
}
