//! Rigging the lottery.

use super::exchange::{Stored, exchanged};
use super::gradient::{DenseGradient, Largest, absent};
use super::{Every, Method, Timing};
use crate::Result;
use serde::{Deserialize, Serialize};
use spectral_core::{Pattern, Stream};

/// RigL: the smallest stored weights go, those absent ones grow whose gradient is largest in magnitude.
///
/// The gradient of absent weights is computed at updates only, over one batch, a panel of rows at a time, and never
/// stored: time `2 rows columns batch` operations a layer, memory for twice the entries that grow. The share falls
/// along `share / 2 (1 + cos(pi t / end))`; new weights start at 0. The number of stored entries never changes.
/// Evci et al. 2020; here an entry that goes does not come back in the same update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rigl {
    /// Share of stored entries that is exchanged at the beginning (alpha).
    pub share: f64,
    /// How often.
    pub every: Every,
    /// Share of the training after which the topology stays.
    pub until: f64,
}

impl Default for Rigl {
    fn default() -> Self {
        Self { share: 0.3, every: Every::Steps(100), until: 0.75 }
    }
}

impl Method for Rigl {
    fn timing(&self) -> Timing {
        Timing { share: self.share, every: self.every, until: self.until, cosine: true }
    }

    fn reads_gradient(&self) -> bool {
        true
    }

    fn exchange(
        &self,
        layer: &Stored<'_>,
        share: f64,
        gradient: Option<&DenseGradient<'_>>,
        _: &mut Stream,
    ) -> Result<Option<Pattern>> {
        let gone = layer.smallest(layer.count(share));
        let (Some(gradient), 1..) = (gradient, gone.count()) else { return Ok(None) };
        let mut largest = Largest::new(gone.count());
        gradient.rows(|row, values| {
            let first = (row * layer.pattern.columns()) as u64;
            absent(values, layer.pattern.row(row), |column, g| largest.offer(g, first + column as u64));
        })?;
        exchanged(layer.pattern, &gone, &largest.positions()).map(Some)
    }
}
