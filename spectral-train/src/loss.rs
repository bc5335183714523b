//! What training makes small.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::registry::Unknown;
use spectral_core::{Activation, LossKind, Model, Samples, Source, Targets, Word};

/// A loss. Every one has a fused kernel that gives value and gradient in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Loss {
    /// `-sum_c t_c log softmax(y)_c` of a sample with class distribution `t` (a class label is one-hot).
    ///
    /// `y` are logits: the network's output, or, where its last layer is a softmax, the input of that layer.
    /// So nothing needs to be clipped, and the gradient is exact where a probability underflows (what Keras does
    /// for a softmax followed by its cross-entropy).
    #[default]
    CrossEntropy,
    /// `mean_c (y_c - t_c)^2` of a sample.
    MeanSquaredError,
}

impl Loss {
    /// Names as recipes write them.
    pub const NAMES: [(&'static str, Self); 2] =
        [("cross_entropy", Self::CrossEntropy), ("mse", Self::MeanSquaredError)];

    /// The loss called `name`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, loss)| *loss).ok_or_else(|| {
            let names = Self::NAMES.map(|(n, _)| n);
            spectral_core::Error::from(Unknown::new("loss", name, &names)).into()
        })
    }

    /// The name recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross_entropy",
            Self::MeanSquaredError => "mse",
        }
    }

    /// The loss for targets of this kind where none is chosen: cross-entropy for classes, the mean squared error for
    /// values.
    pub fn for_targets(targets: &Targets) -> Self {
        match targets {
            Targets::Classes { .. } => Self::CrossEntropy,
            Targets::Values(_) => Self::MeanSquaredError,
        }
    }

    /// The kernel that computes it.
    pub fn kind(self) -> LossKind {
        match self {
            Self::CrossEntropy => LossKind::SoftmaxCrossEntropy,
            Self::MeanSquaredError => LossKind::MeanSquaredError,
        }
    }

    /// The node whose output the kernel reads: the last one, or what a final softmax reads.
    ///
    /// # Errors
    /// The model has no nodes, or nothing but a softmax.
    pub fn node(self, model: &Model) -> Result<usize> {
        let nodes = model.graph().nodes();
        let problem = |problem: &str| Error::Loss { loss: self.name(), problem: problem.into() };
        let last = nodes.len().checked_sub(1).ok_or_else(|| problem("the network has no layers; add at least one"))?;
        let softmax = self == Self::CrossEntropy && nodes[last].layer.op().word == Word::Map(Activation::Softmax);
        if !softmax {
            return Ok(last);
        }
        match nodes[last].inputs.first() {
            Some(Source::Node(logits)) => Ok(*logits),
            _ => Err(problem("a softmax of the input has nothing to train; add a layer before it")),
        }
    }

    /// Checks that `data` has the sizes of `model` and targets that this loss compares with.
    pub(crate) fn check(self, model: &Model, data: &Samples) -> Result<()> {
        check_sizes(model, data)?;
        match (self, data.targets()) {
            (Self::CrossEntropy, Targets::Values(_)) => {
                let problem = format!("it compares classes, and the targets of `{}` are values; take `mse`", data.name);
                Err(Error::Loss { loss: self.name(), problem })
            }
            _ => Ok(()),
        }
    }
}

/// Checks that `data` has the sizes of `model`.
pub(crate) fn check_sizes(model: &Model, data: &Samples) -> Result<()> {
    let graph = model.graph();
    for (what, expected, got) in [
        ("features", graph.input().len(), data.features()),
        ("outputs", graph.output().len(), data.targets().outputs()),
    ] {
        if expected != got {
            return Err(Error::Mismatch { data: data.name.clone(), what, expected, got });
        }
    }
    Ok(())
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.name().into()
    }
}

impl TryFrom<String> for Loss {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::named(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_written_back() {
        for (name, loss) in Loss::NAMES {
            let json = serde_json::to_string(&loss).unwrap();
            assert_eq!(json, format!("{name:?}"));
            assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), loss);
        }
    }

    #[test]
    fn an_unknown_name_gives_the_nearest() {
        let error = serde_json::from_str::<Loss>(r#""cross_entrpy""#).unwrap_err().to_string();
        assert!(error.contains("did you mean `cross_entropy`"), "{error}");
    }
}
