//! Penalties that training adds to the loss.

use serde::{Deserialize, Serialize};

/// Penalties on the entries of a parameter, added to the loss: `l1 * sum |w| + l2 * sum w^2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Penalty {
    /// Factor on the sum of absolute values.
    pub l1: f64,
    /// Factor on the sum of squares (no 1/2, as in Keras).
    pub l2: f64,
}
