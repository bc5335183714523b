//! Measuring a model on data.

use crate::trainer::Feed;
use crate::{Error, Loss, Result};
use spectral_core::{Evaluate, Gradients, Metrics, Model, Samples};

/// Loss and accuracy of a model, run batch by batch on its own backend in its own element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluator {
    loss: Loss,
    batch: usize,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new(Loss::default())
    }
}

impl Evaluator {
    /// Measures `loss`, 256 samples at a time.
    pub fn new(loss: Loss) -> Self {
        Self { loss, batch: 256 }
    }

    /// Samples that are run at a time, at least 1. Changes the speed, and the result by no more than rounding.
    pub fn batch(mut self, samples: usize) -> Self {
        self.batch = samples;
        self
    }

    /// Loss and accuracy of `model` on `data`.
    ///
    /// # Errors
    /// The batch is 0, the data does not fit the model, or the device failed.
    pub fn run(&self, model: &Model, data: &Samples) -> Result<Metrics> {
        if self.batch == 0 {
            return Err(Error::setting("batch", 0, "at least 1 sample must be run at a time"));
        }
        self.loss.check(model, data)?;
        let mut feed = Feed::new(model, self.loss, self.batch.min(data.len()), Gradients::None)?;
        let backend = model.backend();
        let mut result = Ok(Metrics::default());
        backend.within(&mut || result = feed.measure(model, data));
        result
    }
}

impl Evaluate for Evaluator {
    fn evaluate(&self, model: &Model, data: &Samples) -> spectral_core::Result<Metrics> {
        Ok(self.run(model, data)?)
    }
}
