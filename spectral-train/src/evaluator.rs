//! Measuring a model on data.

mod outputs;

pub use outputs::Logits;

use crate::loss::check_sizes;
use crate::trainer::Feed;
use crate::{Error, Loss, Result};
use spectral_core::ndarray::Array2;
use spectral_core::{Evaluate, Gradients, Metrics, Mode, Model, Samples};

/// Loss and, for classes, accuracy of a model, run batch by batch on its own backend and in its own element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluator {
    loss: Option<Loss>,
    batch: usize,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Evaluator {
    /// Measures `loss`, or with `None` the loss that suits the targets ([`Loss::for_targets`]), 256 samples at a time.
    pub fn new(loss: impl Into<Option<Loss>>) -> Self {
        Self { loss: loss.into(), batch: 256 }
    }

    /// Samples in a batch, at least 1. Changes the speed, and the result by at most rounding.
    pub fn batch(mut self, samples: usize) -> Self {
        self.batch = samples;
        self
    }

    /// Loss of `model` on `data`, and accuracy if the targets are classes.
    ///
    /// # Errors
    /// The batch is 0, the data does not fit the model or the loss, or the device failed. A loss that is NaN is no
    /// error; see [`Metrics::accuracy`].
    pub fn run(&self, model: &Model, data: &Samples) -> Result<Metrics> {
        let loss = self.loss.unwrap_or_else(|| Loss::for_targets(data.targets()));
        loss.check(model, data)?;
        self.feed(loss, model, data)?.measure(model, data)
    }

    /// Outputs of the network for `data`, before a final softmax if it has one. They give top-k accuracy,
    /// probabilities, and how sure the network is.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn logits(&self, model: &Model, data: &Samples) -> Result<Logits> {
        check_sizes(model, data)?;
        let mut feed = self.feed(Loss::CrossEntropy, model, data)?;
        let mut values = Array2::zeros((data.len(), data.targets().outputs()));
        let node = feed.node;
        feed.batches.each(model, data, Mode::Infer, |batches, rows| {
            let outputs = model.backend().download(batches.workspace.output(node))?;
            for (i, value) in outputs.into_iter().enumerate() {
                values[[rows[i % rows.len()], i / rows.len()]] = value;
            }
            Ok::<_, Error>(())
        })?;
        Ok(Logits::new(values))
    }

    fn feed(&self, loss: Loss, model: &Model, data: &Samples) -> Result<Feed> {
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "at least 1 sample must be run at a time"));
        }
        Feed::new(model, loss, self.batch.min(data.len()), Gradients::None)
    }
}

impl Evaluate for Evaluator {
    fn evaluate(&self, model: &Model, data: &Samples) -> spectral_core::Result<Metrics> {
        Ok(self.run(model, data)?)
    }
}
