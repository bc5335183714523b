//! The layers that a sub-model can be cut from, and the units it keeps.

use super::SubModelConfig;
use crate::weighted::{Weighted, weighted_layers};
use crate::worth::weigh;
use crate::{Error, Result};
use spectral_core::{Model, Role, Samples, Seed, Source, Units};

/// The last layers of a model. Each takes only the output of the one before.
#[derive(Debug)]
pub(super) struct Chain {
    /// Where the first one takes its input from.
    pub(super) start: Source,
    /// Its first node.
    pub(super) first: usize,
    /// Its weighted layers; the last one makes the outputs.
    pub(super) layers: Vec<Weighted>,
}

impl Chain {
    /// The chain of the last `count` weighted layers.
    pub(super) fn find(model: &Model, count: usize) -> Result<Self> {
        let mut layers = weighted_layers(model);
        let hidden = layers.len().saturating_sub(1);
        if layers.len() < count {
            let problem = format!("a sub-model of {} hidden layers cannot be cut: the network has {hidden}", count - 1);
            return Err(Error::Config(problem));
        }
        let layers = layers.split_off(layers.len() - count);
        let nodes = model.graph().nodes();
        let first = layers[0].node;
        let mut users = vec![0; model.params().len()];
        nodes.iter().flat_map(|n| &n.params).for_each(|id| users[id.index()] += 1);
        for (i, node) in nodes.iter().enumerate().skip(first) {
            let bad = |problem: &str| {
                let what = format!("a sub-model cannot be cut through layer `{}`: {problem}", node.name);
                Err(Error::Config(what))
            };
            let [input] = node.inputs.as_slice() else {
                return bad("it takes several inputs; give fewer `units`, so that the cut starts behind it");
            };
            if i > first && *input != Source::Node(i - 1) {
                return bad("it does not take the output of the layer before it");
            }
            if node.params.iter().any(|id| users[id.index()] > 1) {
                return bad("it shares parameters with another layer");
            }
            match (node.units(), layers.iter().find(|l| l.node == i)) {
                (Units::Own, Some(layer)) => {
                    let param = layer.matrix(model);
                    if param.pattern.is_some() {
                        return bad("its weights are stored sparse; densify the model first");
                    }
                    if param.role == Role::Basis && layer.eigenvalues.is_none() {
                        return bad("it has a basis without eigenvalues");
                    }
                }
                (Units::Same, _) => {}
                _ => return bad("it does not say how its outputs belong to its inputs"),
            }
        }
        let start = nodes[first].inputs[0];
        Ok(Self { start, first, layers })
    }

    /// The units that stay, by layer, ascending; all units of the last layer.
    pub(super) fn choose(
        &self,
        model: &Model,
        config: &SubModelConfig,
        data: Option<&Samples>,
        seed: Seed,
    ) -> Result<Vec<Vec<usize>>> {
        let (hidden, last) = self.layers.split_at(self.layers.len() - 1);
        for (layer, &units) in hidden.iter().zip(&config.units) {
            if units > layer.rows {
                let problem = format!(
                    "a sub-model cannot keep {units} units of layer `{}`, which has {}",
                    layer.name, layer.rows
                );
                return Err(Error::Config(problem));
            }
        }
        let mut kept = Vec::new();
        for (scored, &units) in weigh(model, &config.criterion, hidden.to_vec(), data, seed)?.iter().zip(&config.units)
        {
            let layer = &scored.layer;
            let entries: Vec<usize> = layer.kept(layer.matrix(model)).map(|(position, _)| position).collect();
            let scores: Vec<f64> = entries.iter().map(|&position| scored.scores[position]).collect();
            let owner = |i: usize| entries[i] / layer.columns.max(1);
            let mut stream = seed.stream("submodel", layer.node as u64);
            let mut found = config.pick.walk(&scores, owner, units, &mut stream);
            // Units without weights are taken if there are no others.
            let silent: Vec<usize> = (0..layer.rows).filter(|u| !found.contains(u)).take(units - found.len()).collect();
            found.extend(silent);
            found.sort_unstable();
            kept.push(found);
        }
        kept.push((0..last[0].rows).collect());
        Ok(kept)
    }
}
