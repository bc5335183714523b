//! The plug-in trait of pruning: what an entry of a weight matrix, or a unit, is worth.

use crate::base::{Result, Values};
use crate::extend::{Statistic, Statistics};
use std::sync::Arc;

/// A pruning criterion.
///
/// It only scores. What is cut (weights, units, inputs), where (a layer, all), how much and when are chosen elsewhere
/// and work with any criterion. A new one is a struct with serde parameters, this trait and
/// [`register_pruner!`](crate::register_pruner).
pub trait Pruner: std::fmt::Debug + Send + Sync {
    /// Writes the worth of every weight, `[out, in]` row-major, to `scores`: larger is kept longer.
    ///
    /// Scores must be numbers; scores of entries that are already pruned are ignored. `f64::INFINITY` protects an
    /// entry: it is no candidate, whatever the budget.
    ///
    /// # Errors
    /// The layer lacks what the criterion needs.
    fn score(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()>;

    /// Writes the worth of every unit, `[out]`, to `scores`. The default is the mean worth of its weights.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    fn score_units(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let mut weights = vec![0.0; target.rows * target.columns];
        self.score(target, &mut weights)?;
        for (unit, row) in scores.iter_mut().zip(weights.chunks(target.columns.max(1))) {
            *unit = row.iter().sum::<f64>() / target.columns as f64;
        }
        Ok(())
    }

    /// Writes the worth of every input, `[in]`, to `scores`. The default is the mean worth of the weights that take it
    /// in; where an input has several in a row, as the taps of a convolution, the length of `scores` says how many.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    fn score_inputs(&self, target: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let mut weights = vec![0.0; target.rows * target.columns];
        self.score(target, &mut weights)?;
        let taps = (target.columns / scores.len().max(1)).max(1);
        scores.fill(0.0);
        for row in weights.chunks(target.columns.max(1)) {
            scores.iter_mut().zip(row.chunks(taps)).for_each(|(input, taps)| *input += taps.iter().sum::<f64>());
        }
        scores.iter_mut().for_each(|input| *input /= (target.rows * taps) as f64);
        Ok(())
    }

    /// What this layer adds to the values that percentiles of units and of inputs are taken over, if these are not the
    /// scores. Every layer that has what the criterion needs is asked, also those that are not pruned.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    fn pool(&self, target: &Target<'_>) -> Result<Option<Vec<f64>>> {
        let _ = target;
        Ok(None)
    }

    /// What must be measured on data before scoring, and which layers can be scored: any, without data, by default.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Says what is wrong with the parameters, before anything is trained.
    ///
    /// # Errors
    /// A parameter is out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether scores compare a weight with others of its layer, as ranks do, so that pruning one may change those
    /// of the rest.
    fn is_relative(&self) -> bool {
        false
    }
}

/// One weighted layer, as a criterion sees it: host slices only.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Output units.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// The weights the layer multiplies with, `[out, in]` (for a spectral layer the product of its factors).
    pub weight: Values<'a>,
    /// The factors, if the layer is spectral.
    pub spectral: Option<SpectralFactors<'a>>,
    /// The factor behind each unit, `[out]`, if a gate or a normalisation follows the layer.
    pub gain: Option<Values<'a>>,
    /// By unit, the eigenvalues by which the next spectral layers take it in, across merges and whatever leaves units
    /// as they are. Empty where one of them is frozen, where something that is not spectral takes the unit in too, and
    /// where the layers that take it in have eigenvalues of zero only, as before they were ever trained.
    pub next: &'a [Vec<f64>],
    /// What was measured on data, as far as [`Pruner::needs`] asked.
    pub statistics: &'a Statistics,
    /// Key for criteria that draw numbers; depends on the run's seed and the node.
    pub key: u64,
}

/// The factors of a spectral weight, `basis * (lambda_in - lambda_out)`.
#[derive(Debug, Clone, Copy)]
pub struct SpectralFactors<'a> {
    /// `[out, in]`.
    pub basis: Values<'a>,
    /// `[in]`.
    pub lambda_in: Values<'a>,
    /// `[out]`.
    pub lambda_out: Values<'a>,
    /// `[in]`: whether training may move it.
    pub trains_in: &'a [bool],
    /// `[out]`: whether training may move it.
    pub trains_out: &'a [bool],
}

/// What a criterion must be given.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// What is measured on calibration data.
    pub statistics: Vec<Arc<dyn Statistic>>,
    /// Which layers it can score.
    pub layers: LayersWith,
}

/// Which layers a criterion can score; it is not asked about others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LayersWith {
    /// Every layer with a weight matrix.
    #[default]
    Weights,
    /// Layers with trainable eigenvalues ([`Target::spectral`]); for units also layers whose units spectral layers take
    /// in by trainable eigenvalues ([`Target::next`]).
    Eigenvalues,
    /// Layers with a factor behind each unit ([`Target::gain`]).
    Gain,
}

impl Needs {
    /// One statistic.
    pub fn statistic(statistic: impl Statistic) -> Self {
        Self::default().and(statistic)
    }

    /// Certain layers.
    pub fn layers(layers: LayersWith) -> Self {
        Self { layers, ..Self::default() }
    }

    /// One more statistic.
    pub fn and(mut self, statistic: impl Statistic) -> Self {
        self.statistics.push(Arc::new(statistic));
        self
    }

    /// Whether any data is needed.
    pub fn any(&self) -> bool {
        !self.statistics.is_empty()
    }
}

crate::part_registry!(
    /// A criterion that a crate registered; see [`register_pruner!`](crate::register_pruner).
    PrunerEntry,
    "criterion",
    Pruner
);

/// Registers a criterion: `register_pruner!(Magnitude, "magnitude", "keeps the largest |w|");`
///
/// The type must implement `Pruner + Default + serde::Serialize + serde::Deserialize`.
#[macro_export]
macro_rules! register_pruner {
    ($type:ty, $name:literal, $summary:literal) => {
        $crate::register_part!($crate::PrunerEntry, $type, $name, $summary);
    };
}
