//! Which kernel runs which layer at which batch size, and why.

use crate::backend::Kernel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Batch sizes that kernels are chosen for; see [`batch_class`].
pub const BATCH_CLASSES: [usize; 2] = [1, 128];

/// The class of a batch: `1` below 16 samples, where weights dominate the memory traffic, else `128`.
pub fn batch_class(batch: usize) -> usize {
    BATCH_CLASSES[usize::from(batch >= 16)]
}

/// A chosen kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The kernel.
    pub kernel: Kernel,
    /// Why it was chosen, in words for people.
    pub reason: String,
}

/// Choices for the layers of one model. Layers without a choice run as their weights are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// By node name, then by batch class.
    pub layers: BTreeMap<String, BTreeMap<usize, Choice>>,
}

impl Plan {
    /// The choice for a node and a batch class.
    pub fn choice(&self, node: &str, class: usize) -> Option<&Choice> {
        self.layers.get(node)?.get(&class)
    }

    /// Records a choice.
    pub fn set(&mut self, node: &str, class: usize, choice: Choice) {
        self.layers.entry(node.into()).or_default().insert(class, choice);
    }
}
