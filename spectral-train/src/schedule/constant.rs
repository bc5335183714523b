//! A constant rate.

use super::Schedule;
use crate::register_schedule;
use serde::{Deserialize, Serialize};
use spectral_core::Progress;

/// The optimiser's rate throughout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constant {}

impl Schedule for Constant {
    fn factor(&self, _: &Progress) -> f64 {
        1.0
    }
}

register_schedule!(Constant, "constant", "the optimiser's rate throughout");
