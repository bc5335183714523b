//! Dynamic sparse topology: layers that exchange stored weights for absent ones while they train.
//!
//! Works on every parameter that is stored on a [`Pattern`], so values, gradients and optimiser state exist for stored
//! entries only, during updates too. Memory in f32, bytes for each stored entry of the network: value 4, gradient 4,
//! optimiser state 4 a slot (momentum 1, Adam 2), column 4, order by column 8; that is 24 with momentum and 28 with
//! Adam. One sample at a time takes 2 more, two at a time 6 less (`spectral_layers::Sparse` says what a pattern takes
//! when). An update adds at most 16 at its peak, 24 where `set` exchanges all entries of a network of one layer: old
//! patterns live until the state has followed, gradient growth has a gradient buffer of its own, and scores exist for
//! one layer at a time. Nothing ever has the size of a whole matrix, not even one bit for each weight
//! (`tests/topology_memory.rs`).

mod exchange;
mod gradient;
mod hook;
mod rigl;
mod set;
mod srigl;

pub use hook::{TopologyHook, TopologyRecord};
pub use rigl::Rigl;
pub use set::{NewWeights, Set};
pub use srigl::Srigl;

use crate::{Error, Result};
use exchange::Stored;
use gradient::DenseGradient;
use serde::{Deserialize, Deserializer, Serialize};
use spectral_core::{Pattern, Progress, Stream};

/// How stored entries are exchanged: a method with its settings.
///
/// In recipes a name, `"set"`, or a table, `{ name = "rigl", share = 0.2, every = { steps = 50 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Topology {
    /// [`Set`].
    Set(Set),
    /// [`Rigl`].
    Rigl(Rigl),
    /// [`Srigl`].
    Srigl(Srigl),
}

impl Default for Topology {
    fn default() -> Self {
        Self::Set(Set::default())
    }
}

impl<'de> Deserialize<'de> for Topology {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(tag = "name", rename_all = "snake_case")]
        enum Table {
            Set(Set),
            Rigl(Rigl),
            Srigl(Srigl),
        }
        let table = match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(name) => serde_json::json!({ "name": name }),
            table => table,
        };
        let table = serde_json::from_value(table).map_err(serde::de::Error::custom)?;
        Ok(match table {
            Table::Set(set) => Self::Set(set),
            Table::Rigl(rigl) => Self::Rigl(rigl),
            Table::Srigl(srigl) => Self::Srigl(srigl),
        })
    }
}

impl Topology {
    /// Checks every setting.
    ///
    /// # Errors
    /// One is out of its range.
    pub fn check(&self) -> Result<()> {
        self.method().timing().check()?;
        self.method().check()
    }

    fn method(&self) -> &dyn Method {
        match self {
            Self::Set(set) => set,
            Self::Rigl(rigl) => rigl,
            Self::Srigl(srigl) => srigl,
        }
    }
}

/// How often entries are exchanged: `{ epochs = 1 }` or `{ steps = 100 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// After so many epochs.
    Epochs(usize),
    /// After so many optimiser steps.
    Steps(u64),
}

/// When a method exchanges entries, and how many.
#[derive(Debug, Clone, Copy)]
struct Timing {
    share: f64,
    every: Every,
    /// Share of the steps of a run after which the topology stays.
    until: f64,
    /// Whether the share falls to 0 along a cosine.
    cosine: bool,
}

impl Timing {
    fn check(&self) -> Result<()> {
        let require = |holds: bool, name: &str, value: f64, rule: &str| match holds {
            true => Ok(()),
            false => Err(Error::Config(format!("`{name}` of a sparse topology is {value}; it must be {rule}"))),
        };
        require((0.0..=1.0).contains(&self.share), "share", self.share, "from 0 to 1")?;
        require((0.0..=1.0).contains(&self.until), "until", self.until, "from 0 to 1")?;
        require(!matches!(self.every, Every::Epochs(0) | Every::Steps(0)), "every", 0.0, "at least 1")
    }

    /// The share of entries to exchange at `at`; `None` where the topology stays from now on.
    ///
    /// There is no exchange after the last step: nothing would train the new entries.
    fn share_at(&self, at: &Progress) -> Option<f64> {
        let end = self.until * at.steps as f64;
        if at.step as f64 >= end || at.step >= at.steps {
            return None;
        }
        let fall = if self.cosine { 0.5 * (1.0 + (std::f64::consts::PI * at.step as f64 / end).cos()) } else { 1.0 };
        Some(self.share * fall)
    }
}

/// A way to choose what goes and what comes.
trait Method: Sync {
    fn timing(&self) -> Timing;

    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether [`exchange`](Self::exchange) reads gradients of entries that are not stored.
    fn reads_gradient(&self) -> bool {
        false
    }

    /// What new entries start from.
    fn new_weights(&self) -> NewWeights {
        NewWeights::Zero
    }

    /// The pattern to start from, if `layer`'s will not do.
    fn prepare(&self, layer: &Stored<'_>, stream: &mut Stream) -> Result<Option<Pattern>> {
        let _ = (layer, stream);
        Ok(None)
    }

    /// The pattern after exchanging `share` of the entries of `layer`; `None` if it stays as it is.
    fn exchange(
        &self,
        layer: &Stored<'_>,
        share: f64,
        gradient: Option<&DenseGradient<'_>>,
        stream: &mut Stream,
    ) -> Result<Option<Pattern>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn recipes_name_a_method_or_give_its_settings() {
        let read = |v: serde_json::Value| serde_json::from_value::<Topology>(v).map_err(|e| e.to_string());
        assert_eq!(read(json!("set")), Ok(Topology::Set(Set::default())));
        let rigl = Rigl { share: 0.2, every: Every::Steps(50), ..Rigl::default() };
        let table = json!({ "name": "rigl", "share": 0.2, "every": { "steps": 50 } });
        assert_eq!(read(table), Ok(Topology::Rigl(rigl)));
        let back = serde_json::to_value(Topology::Rigl(rigl)).unwrap();
        assert_eq!(read(back), Ok(Topology::Rigl(rigl)));
        for (bad, word) in [
            (json!("sett"), "`sett`"),
            (json!({ "name": "set", "gamma": 0.3 }), "`gamma`"),
            (json!({ "share": 0.3 }), "`name`"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let set = Set::default();
        for (topology, word) in [
            (Topology::Set(Set { share: 1.5, ..set }), "`share` of a sparse topology is 1.5"),
            (Topology::Set(Set { share: f64::NAN, ..set }), "`share`"),
            (Topology::Set(Set { until: -0.1, ..set }), "`until`"),
            (Topology::Set(Set { every: Every::Epochs(0), ..set }), "`every`"),
            (Topology::Rigl(Rigl { every: Every::Steps(0), ..Rigl::default() }), "`every`"),
            (Topology::Srigl(Srigl { gamma: 1.1, ..Srigl::default() }), "`gamma`"),
        ] {
            let error = topology.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        Topology::default().check().unwrap();
    }

    #[test]
    fn the_share_falls_along_the_cosine_and_ends_on_time() {
        let timing = Rigl::default().timing();
        let at = |step| Progress { step, steps: 1000, epoch: 0, epochs: 10 };
        assert_eq!(timing.share_at(&at(0)), Some(0.3));
        assert!((timing.share_at(&at(375)).unwrap() - 0.15).abs() < 1e-12);
        assert_eq!(timing.share_at(&at(750)), None);
        let set = Set::default().timing();
        assert_eq!((set.share_at(&at(999)), set.share_at(&at(1000))), (Some(0.3), None));
    }
}
