//! A criterion that panics, to test how a bug is reported.

use serde::{Deserialize, Serialize};
use spectral_core::{Pruner, Result, Target, register_pruner};

/// Indexes past the end of its scores.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Buggy {}

impl Pruner for Buggy {
    fn score(&self, _: &Target<'_>, scores: &mut [f64]) -> Result<()> {
        let past = scores.len();
        scores[past] = 1.0;
        Ok(())
    }
}

register_pruner!(Buggy, "tests.buggy", "panics");
