//! Sparse evolutionary training.

use super::exchange::{Stored, exchanged};
use super::gradient::DenseGradient;
use super::{Every, Method, Timing};
use crate::Result;
use serde::{Deserialize, Serialize};
use spectral_core::{Pattern, Stream};

/// SET: the share of stored weights that is smallest in magnitude goes, as many grow anywhere else at random.
///
/// New entries are drawn uniformly among those that were not stored before the update, in time and memory
/// proportional to the stored entries, however large the matrix. The number of stored entries never changes.
/// Mocanu et al. 2018.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Set {
    /// Share of stored entries that is exchanged (zeta).
    pub share: f64,
    /// How often.
    pub every: Every,
    /// Share of the training after which the topology stays.
    pub until: f64,
    /// What new weights start from.
    pub new_weights: NewWeights,
}

/// What new weights start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewWeights {
    /// The initialiser of the layer.
    #[default]
    Init,
    /// 0.
    Zero,
}

impl Default for Set {
    fn default() -> Self {
        Self { share: 0.3, every: Every::Epochs(1), until: 1.0, new_weights: NewWeights::Init }
    }
}

impl Method for Set {
    fn timing(&self) -> Timing {
        Timing { share: self.share, every: self.every, until: self.until, cosine: false }
    }

    fn new_weights(&self) -> NewWeights {
        self.new_weights
    }

    fn exchange(
        &self,
        layer: &Stored<'_>,
        share: f64,
        _: Option<&DenseGradient<'_>>,
        stream: &mut Stream,
    ) -> Result<Option<Pattern>> {
        let gone = layer.smallest(layer.count(share));
        let grown = layer.pattern.absent_at(&stream.choose(layer.pattern.absent(), gone.count()));
        if grown.is_empty() { Ok(None) } else { exchanged(layer.pattern, &gone, &grown).map(Some) }
    }
}
