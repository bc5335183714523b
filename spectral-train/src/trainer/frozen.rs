//! Training some nodes alone.

use crate::Result;
use serde::{Deserialize, Serialize};
use spectral_core::registry::Unknown;
use spectral_core::{Error, Model, Trainable};

/// Parameters that are frozen for one run, and what they were before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Frozen(Vec<(String, Trainable)>);

impl Frozen {
    /// Freezes every parameter that does not belong to a node in `nodes`; none, if `nodes` is empty.
    pub(super) fn all_but(nodes: &[String], model: &mut Model) -> Result<Self> {
        if nodes.is_empty() {
            return Ok(Self::default());
        }
        let trains = trained(nodes, model)?;
        let params = model.params_mut().0;
        let others: Vec<_> = params.iter().map(|(id, _)| id).filter(|id| !trains[id.index()]).collect();
        let mut frozen = Vec::new();
        for id in others {
            frozen.push((params.get(id).name.clone(), params.get(id).trainable.clone()));
            params.set_trainable(id, Trainable::None)?;
        }
        Ok(Self(frozen))
    }

    /// Gives back what was taken. What a hook has thawed, replaced or removed stays as the hook left it.
    pub(super) fn thaw(self, model: &mut Model) -> Result<()> {
        let params = model.params_mut().0;
        for (name, before) in self.0 {
            let Some(id) = params.by_name(&name) else { continue };
            let fits = !matches!(&before, Trainable::Only(mask) if mask.len() != params.get(id).value().len());
            if fits && params.get(id).trainable == Trainable::None {
                params.set_trainable(id, before)?;
            }
        }
        Ok(())
    }
}

/// Whether `nodes` can train alone.
///
/// # Errors
/// One of them does not exist, or none has parameters that may train.
pub(super) fn check(nodes: &[String], model: &Model) -> Result<()> {
    if nodes.is_empty() { Ok(()) } else { trained(nodes, model).map(drop) }
}

/// For every parameter, whether it belongs to one of `nodes`.
fn trained(nodes: &[String], model: &Model) -> Result<Vec<bool>> {
    let graph = model.graph();
    let mut trains = vec![false; model.params().len()];
    for name in nodes {
        let index = graph.find(name).ok_or_else(|| {
            let known: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
            Error::from(Unknown::new("layer", name, &known))
        })?;
        graph.nodes()[index].params.iter().for_each(|id| trains[id.index()] = true);
    }
    if !model.params().iter().any(|(id, p)| trains[id.index()] && p.is_trainable()) {
        let problem = format!("{nodes:?} have no parameters that may train; name other layers or leave it out");
        return Err(Error::config("`only`", problem).into());
    }
    Ok(trains)
}
