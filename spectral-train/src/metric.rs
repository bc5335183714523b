//! What a model is judged by: the trait, its registry, and the metrics there are.

use crate::penalties;
use crate::{Error, Evaluator, Loss};
use serde::{Deserialize, Serialize};
use spectral_core::{Model, Penalty, Result, Samples};

/// One number that says how well a model does on data.
///
/// A new one is a struct with serde parameters, this trait and [`register_metric!`](crate::register_metric).
pub trait Metric: std::fmt::Debug + Send + Sync {
    /// Its value for `model` on `data`. `loss` is the loss of whoever asks; if there is none, the one that suits the
    /// targets ([`Loss::for_targets`]).
    ///
    /// # Errors
    /// The data does not fit the model or the metric, or the device failed.
    fn measure(&self, model: &Model, data: &Samples, loss: Option<Loss>) -> Result<f64>;

    /// Whether larger values are better.
    fn larger_is_better(&self) -> bool;

    /// Checks the parameters.
    ///
    /// # Errors
    /// One is out of its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

spectral_core::part_registry!(
    /// A metric that a crate registered; see [`register_metric!`](crate::register_metric).
    MetricEntry,
    "metric",
    Metric
);

/// Registers a metric: `register_metric!(Accuracy, "accuracy", "share of samples with the right class");`
///
/// The type must implement `Metric + Default + serde::Serialize + serde::Deserialize`. The crate that calls this needs
/// `spectral-core` as a dependency under its own name.
#[macro_export]
macro_rules! register_metric {
    ($type:ty, $name:literal, $summary:literal) => {
        ::spectral_core::register_part!(
            $crate::MetricEntry,
            $type,
            $name,
            $summary,
            check = |part: &$type| $crate::Metric::check(part)
        );
    };
}

/// Share of samples whose largest output is that of their class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {}

/// Share of samples whose class is among the `k` largest outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopK {
    /// At least 1.
    pub k: usize,
}

/// Mean loss per sample; smaller is better.
///
/// With `penalties` the penalties that layers put on their parameters and outputs are added, as Keras does:
/// `sum l1 |w| + l2 w^2` over the parameters, and the mean over samples of the same over outputs. Penalties that a
/// training run adds by role are not part of the model and do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeanLoss {
    /// Add the penalties of the layers.
    pub penalties: bool,
}

impl Default for TopK {
    fn default() -> Self {
        Self { k: 5 }
    }
}

impl Metric for Accuracy {
    fn measure(&self, model: &Model, data: &Samples, _: Option<Loss>) -> Result<f64> {
        let metrics = Evaluator::default().run(model, data)?;
        metrics.accuracy.ok_or_else(|| no_classes(data))
    }

    fn larger_is_better(&self) -> bool {
        true
    }
}

impl Metric for TopK {
    fn measure(&self, model: &Model, data: &Samples, _: Option<Loss>) -> Result<f64> {
        data.labels().ok_or_else(|| no_classes(data))?;
        Ok(Evaluator::default().logits(model, data)?.top_k_accuracy(data, self.k)?)
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        match self.k {
            0 => Err(Error::setting("k", 0, "it must be at least 1").into()),
            _ => Ok(()),
        }
    }
}

impl Metric for MeanLoss {
    fn measure(&self, model: &Model, data: &Samples, loss: Option<Loss>) -> Result<f64> {
        let mean = Evaluator::new(loss).run(model, data)?.loss;
        match self.penalties {
            true => {
                let parameters = penalties::of_parameters(model, |_| Penalty::default())?;
                Ok(mean + parameters + penalties::of_outputs(model, data)?)
            }
            false => Ok(mean),
        }
    }

    fn larger_is_better(&self) -> bool {
        false
    }
}

/// Values have no accuracy.
fn no_classes(data: &Samples) -> spectral_core::Error {
    let problem = format!("the targets of {} are values, which have no accuracy; take the metric `loss`", data.name);
    spectral_core::Error::Data(problem)
}

register_metric!(Accuracy, "accuracy", "share of samples whose largest output is that of their class");
register_metric!(TopK, "top_k", "share of samples whose class is among the k largest outputs");
register_metric!(MeanLoss, "loss", "mean loss per sample, with the penalties of the layers if asked for");
