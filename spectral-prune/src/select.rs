//! Selection of parameters by score: those that train while the others are frozen, or those that stay.

use crate::config::criterion;
use crate::pick::Pick;
use crate::weighted::{Weighted, choose_layers, weighted_layers};
use crate::worth::weigh;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use spectral_core::registry::ByName;
use spectral_core::{Cell, Mask, Model, Param, ParamId, Role, Samples, Seed, Table, Trainable, UnitAxis};
use std::collections::BTreeMap;

/// Which weights are selected, in the form that recipes use.
///
/// ```toml
/// select = { criterion = "magnitude", pick = "top", amount = 0.2, new_classes = [8, 9] }
/// ```
///
/// Candidates are the weights of a layer that are not pruned and, with `subset`, belong to that subset. Layers that are
/// not selected from are frozen. Source: Sparana.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectConfig {
    /// How weights are scored: any registered criterion.
    pub criterion: ByName,
    /// Which weights of the ranking are taken.
    pub pick: Pick,
    /// Share of the candidates of every layer, rounded to whole weights; default: all, unless another number is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
    /// Number of candidates of every layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Share of the candidates, by layer. Layers without one are skipped.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub amounts: BTreeMap<String, f64>,
    /// Names of the layers to select from; default: all weighted ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// Names of layers to skip.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Only the weights of one random subset are candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<Subset>,
    /// Outputs of the network whose incoming weights and biases are all selected in addition, for new classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_classes: Vec<usize>,
    /// Whether biases are frozen (except those of new classes); otherwise those of the chosen layers train.
    pub freeze_biases: bool,
}

/// One of several random subsets; every weight belongs to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subset {
    /// Its number, from 0.
    pub index: usize,
    /// The number of subsets.
    pub of: usize,
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self {
            criterion: ByName::new("magnitude"),
            pick: Pick::Top,
            amount: None,
            count: None,
            amounts: BTreeMap::new(),
            layers: Vec::new(),
            except: Vec::new(),
            subset: None,
            new_classes: Vec::new(),
            freeze_biases: false,
        }
    }
}

impl SelectConfig {
    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// A name is unknown, a number is out of range, or more than one of `amount`, `count` and `amounts` is given.
    pub fn check(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::Config(problem));
        criterion(&self.criterion)?;
        self.pick.check()?;
        if let Some(share) = self.amount.iter().chain(self.amounts.values()).find(|a| !(0.0..=1.0).contains(*a)) {
            return bad(format!("a selected share of {share} is not between 0 and 1"));
        }
        let given = [self.amount.is_some(), self.count.is_some(), !self.amounts.is_empty()];
        if given.into_iter().filter(|g| *g).count() > 1 {
            return bad("`amount`, `count` and `amounts` of a selection exclude each other".into());
        }
        let names_layers = !self.layers.is_empty() || !self.except.is_empty();
        if names_layers && !self.amounts.is_empty() {
            return bad("`amounts` of a selection names its layers: leave out `layers` and `except`".into());
        }
        match self.subset {
            Some(Subset { index, of }) if index >= of => {
                bad(format!("subset {index} does not exist: {of} of them are numbered from 0"))
            }
            _ => Ok(()),
        }
    }

    /// Selects weights of `model`. Criteria that measure need `data`; all randomness comes from `seed`.
    ///
    /// # Errors
    /// As [`check`](Self::check), a layer or class does not exist, `count` is larger than a layer's candidates, or data
    /// is needed and missing.
    pub fn select<'a>(&self, model: &Model, data: impl Into<Option<&'a Samples>>, seed: Seed) -> Result<Selection> {
        self.check()?;
        let named: Vec<String> = match self.amounts.is_empty() {
            true => self.layers.clone(),
            false => self.amounts.keys().cloned().collect(),
        };
        let chosen = choose_layers(model, &named, &self.except)?;
        let mut layers = Vec::new();
        for scored in weigh(model, &self.criterion, chosen, data.into(), seed)? {
            let mask = self.of_layer(model, &scored.layer, &scored.scores, seed)?;
            let biases = bias_of(model, scored.layer.node).filter(|_| !self.freeze_biases);
            let biases = biases.map(|id| (id, Mask::all(model.params().get(id).value().len())));
            layers.push(Selected { node: scored.layer.name.clone(), param: scored.layer.matrix, mask, biases });
        }
        let mut selection = Selection { layers };
        selection.add_classes(model, &self.new_classes)?;
        Ok(selection)
    }

    fn of_layer(&self, model: &Model, layer: &Weighted, scores: &[f64], seed: Seed) -> Result<Mask> {
        let param = layer.matrix(model);
        let mut subsets = seed.stream("subsets", layer.node as u64);
        let mut entries: Vec<(usize, usize)> = layer.kept(param).collect();
        if let Some(Subset { index, of }) = self.subset {
            // Every position is drawn, pruned or not, so that pruning does not move weights to other subsets.
            let drawn: Vec<bool> = (0..layer.rows * layer.columns).map(|_| subsets.below(of) == index).collect();
            entries.retain(|&(position, _)| drawn[position]);
        }
        let share = self.amounts.get(&layer.name).copied().or(self.amount);
        let count = match (self.count, share) {
            (Some(count), _) if count > entries.len() => {
                let problem =
                    format!("cannot select {count} of the {} candidates in layer `{}`", entries.len(), layer.name);
                return Err(Error::Config(problem));
            }
            (Some(count), _) => count,
            (None, Some(share)) => (share * entries.len() as f64).round_ties_even() as usize,
            (None, None) => entries.len(),
        };
        let scores: Vec<f64> = entries.iter().map(|&(position, _)| scores[position]).collect();
        let taken = self.pick.walk(&scores, |i| i, count, &mut seed.stream("select", layer.node as u64));
        let mut mask = Mask::none(param.value().len());
        taken.into_iter().for_each(|i| mask.insert(entries[i].1));
        Ok(mask)
    }
}

/// Weights that were selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The layers selected from, in execution order.
    pub layers: Vec<Selected>,
}

/// The selected weights of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Name of the node.
    pub node: String,
    /// Its weight, or the basis of a spectral layer.
    pub param: ParamId,
    /// The stored entries that are selected.
    pub mask: Mask,
    /// The selected biases, if the layer has any.
    pub biases: Option<(ParamId, Mask)>,
}

/// Which parameters could train before others were frozen; see [`Selection::freeze_others`].
#[derive(Debug, Clone)]
pub struct WasTrainable(Vec<Trainable>);

impl Selection {
    /// Selects all incoming weights of outputs of the last weighted layer, and their biases.
    ///
    /// # Errors
    /// The network has no such output, or no weighted layer.
    pub fn add_classes(&mut self, model: &Model, classes: &[usize]) -> Result<()> {
        if classes.is_empty() {
            return Ok(());
        }
        let last = weighted_layers(model).pop().ok_or_else(|| Error::Config("the network has no weights".into()))?;
        if let Some(class) = classes.iter().find(|c| **c >= last.rows) {
            let problem = format!("class {class} does not exist: layer `{}` has {} outputs", last.name, last.rows);
            return Err(Error::Config(problem));
        }
        let param = last.matrix(model);
        let at = match self.layers.iter().position(|l| l.param == last.matrix) {
            Some(at) => at,
            None => {
                let mask = Mask::none(param.value().len());
                self.layers.push(Selected { node: last.name.clone(), param: last.matrix, mask, biases: None });
                self.layers.len() - 1
            }
        };
        for (position, stored) in last.kept(param) {
            if classes.contains(&(position / last.columns.max(1))) {
                self.layers[at].mask.insert(stored);
            }
        }
        if let Some(id) = bias_of(model, last.node) {
            let none = || (id, Mask::none(model.params().get(id).value().len()));
            let (_, biases) = self.layers[at].biases.get_or_insert_with(none);
            classes.iter().for_each(|&class| biases.insert(class));
        }
        Ok(())
    }

    /// Lets the selected entries train and freezes all others, of all parameters. Frozen entries keep their values bit
    /// for bit under any optimiser. Returns the earlier state, for [`WasTrainable::restore`].
    ///
    /// # Errors
    /// The selection is of another model.
    pub fn freeze_others(&self, model: &mut Model) -> Result<WasTrainable> {
        let before = WasTrainable::of(model);
        let mut now = vec![Trainable::None; before.0.len()];
        let biases = self.layers.iter().filter_map(|l| l.biases.as_ref()).map(|(id, mask)| (*id, mask));
        for (id, mask) in self.layers.iter().map(|l| (l.param, &l.mask)).chain(biases) {
            if let Some(slot) = now.get_mut(id.index()).filter(|_| mask.count() > 0) {
                *slot = if mask.count() == mask.len() { Trainable::All } else { Trainable::Only(mask.clone()) };
            }
        }
        if let Err(error) = WasTrainable(now).restore(model) {
            before.restore(model)?;
            return Err(error);
        }
        Ok(before)
    }

    /// Prunes the weights of the selected layers that are not selected; biases stay.
    ///
    /// # Errors
    /// The selection is of another model, or the device failed. The model is then unchanged.
    pub fn prune_others(&self, model: &mut Model) -> Result<()> {
        let fits = |l: &Selected| model.params().iter().any(|(id, p)| id == l.param && p.value().len() == l.mask.len());
        if !self.layers.iter().all(fits) {
            return Err(Error::Config("the selection was made on a model of another shape".into()));
        }
        let mut pruned = model.duplicate()?;
        let (params, backend) = pruned.params_mut();
        self.layers.iter().try_for_each(|l| params.prune(backend, l.param, &l.mask.complement()))?;
        *model = pruned;
        Ok(())
    }

    /// Number of selected weights, of all weights, and their ratio, by layer.
    pub fn table(&self) -> Table {
        let mut table = Table::new("Selected weights", ["layer", "selected", "of", "ratio"]);
        for layer in &self.layers {
            let (selected, of) = (layer.mask.count(), layer.mask.len());
            let ratio = selected as f64 / of.max(1) as f64;
            table.push([Cell::from(layer.node.as_str()), selected.into(), of.into(), ratio.into()]);
        }
        table
    }
}

impl WasTrainable {
    /// What can train now.
    pub(crate) fn of(model: &Model) -> Self {
        Self(model.params().iter().map(|(_, p)| p.trainable.clone()).collect())
    }

    /// Restores which parameters can train.
    ///
    /// # Errors
    /// The model now has parameters of other sizes.
    pub fn restore(self, model: &mut Model) -> Result<()> {
        let (params, _) = model.params_mut();
        let ids: Vec<ParamId> = params.iter().map(|(id, _)| id).collect();
        for (id, trainable) in ids.into_iter().zip(self.0) {
            params.set_trainable(id, trainable)?;
        }
        Ok(())
    }
}

/// The bias of a node, one entry for each unit.
fn bias_of(model: &Model, node: usize) -> Option<ParamId> {
    let is_bias = |p: &Param| p.role == Role::Bias && p.axes == [UnitAxis::Out];
    model.graph().nodes()[node].params.iter().copied().find(|&id| is_bias(model.params().get(id)))
}
