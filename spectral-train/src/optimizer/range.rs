//! Checks of hyper-parameters that optimisers share.

use spectral_core::{Error, Result};

/// Checks parameters of the optimiser of this name.
pub(super) struct Ranges(pub(super) &'static str);

impl Ranges {
    pub(super) fn at_least_zero(&self, parameter: &str, value: f64) -> Result<()> {
        self.require(value.is_finite() && value >= 0.0, parameter, value, "a finite number, 0 or more")
    }

    pub(super) fn above_zero(&self, parameter: &str, value: f64) -> Result<()> {
        self.require(value.is_finite() && value > 0.0, parameter, value, "a finite number above 0")
    }

    /// At least 0 and below 1.
    pub(super) fn share(&self, parameter: &str, value: f64) -> Result<()> {
        self.require((0.0..1.0).contains(&value), parameter, value, "at least 0 and below 1")
    }

    fn require(&self, holds: bool, parameter: &str, value: f64, requirement: &str) -> Result<()> {
        if holds {
            return Ok(());
        }
        let problem = format!("`{parameter}` is {value}, it must be {requirement}");
        Err(Error::config(format!("optimizer `{}`", self.0), problem))
    }
}
