//! Parameters: one arena that owns every value and every mask of a model.

mod rewire;
mod role;
mod spec;
mod store;

pub use rewire::carry_over;
pub use role::{Role, UnitAxis};
pub use spec::{ParamSpec, Stored};

use crate::backend::{Backend, Constrain, Constraint, Penalty, Rows, Rule, Update};
use crate::base::{Error, Result};
use crate::tensor::{Mask, Pattern, Shape, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

/// Which entries of a parameter train. The others are frozen: they keep their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// Every entry.
    #[default]
    All,
    /// None: no gradient is computed.
    None,
    /// The entries in this set.
    Only(Mask),
}

/// One parameter of a model.
#[derive(Debug)]
pub struct Param {
    /// Unique in the model: `node.parameter`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What its axes run over.
    pub axes: Vec<UnitAxis>,
    /// Positions of the stored entries, if the value is that of a sparse matrix.
    pub pattern: Option<Arc<Pattern>>,
    /// Penalty on its entries.
    pub penalty: Penalty,
    /// Which entries may move.
    pub trainable: Trainable,
    pruned: Option<Mask>,
    value: Tensor,
    /// Whether every value is 0, if known. Cleared whenever a value may change.
    zero: OnceLock<bool>,
    constraint: Constraint,
    averaged: Option<f64>,
    stored: Stored,
}

impl Param {
    /// A parameter.
    pub fn new(name: impl Into<String>, role: Role, axes: &[UnitAxis], value: Tensor) -> Self {
        Self {
            name: name.into(),
            role,
            axes: axes.to_vec(),
            pattern: None,
            penalty: Penalty::default(),
            trainable: Trainable::All,
            pruned: None,
            value,
            zero: OnceLock::new(),
            constraint: Constraint::None,
            averaged: None,
            stored: Stored::Full,
        }
    }

    /// The constraint that the values satisfy after every step. The layer decides it.
    pub fn constraint(&self) -> Constraint {
        self.constraint
    }

    /// For a running average: the share of the old value that a step keeps. The layer decides it.
    pub fn averaged(&self) -> Option<f64> {
        self.averaged
    }

    /// Whether the layer also computes with entries on a pattern; see [`Params::store`].
    pub fn may_be_stored(&self) -> bool {
        self.stored != Stored::Full
    }

    /// The values.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Whether every value is 0. Downloads the values at most once between two changes of them.
    ///
    /// # Errors
    /// The device failed.
    pub fn is_zero(&self, backend: &dyn Backend) -> Result<bool> {
        if let Some(&known) = self.zero.get() {
            return Ok(known);
        }
        let zero = match (self.value.host::<f32>(), self.value.host::<f64>()) {
            (Ok(v), _) => v.iter().all(|v| *v == 0.0),
            (_, Ok(v)) => v.iter().all(|v| *v == 0.0),
            _ => backend.download(&self.value)?.iter().all(|v| *v == 0.0),
        };
        Ok(*self.zero.get_or_init(|| zero))
    }

    /// The values, for changing them.
    fn value_mut(&mut self) -> &mut Tensor {
        self.zero.take();
        &mut self.value
    }

    /// The pruned entries, which stay zero, if there are any.
    pub fn pruned(&self) -> Option<&Mask> {
        self.pruned.as_ref()
    }

    /// Entries that are not pruned.
    pub fn kept(&self) -> usize {
        self.value.len() - self.pruned.as_ref().map_or(0, Mask::count)
    }

    /// Whether any entry may move.
    pub fn is_trainable(&self) -> bool {
        match &self.trainable {
            Trainable::All => true,
            Trainable::None => false,
            Trainable::Only(mask) => mask.count() > 0,
        }
    }

    /// Extents of the whole matrix or vector, stored or not.
    pub fn full_shape(&self) -> Shape {
        self.pattern.as_ref().map_or(self.value.shape(), |p| Shape::matrix(p.rows(), p.columns()))
    }

    /// Sets the pruned entries and zeroes them. For parameters that are not in an arena yet; otherwise use
    /// [`Params::set_pruned`].
    ///
    /// # Errors
    /// The mask has another number of entries, or the device failed.
    pub fn prune(&mut self, backend: &dyn Backend, mask: Option<Mask>) -> Result<()> {
        if let Some(mask) = &mask {
            backend.zero_where(mask, self.value_mut())?;
        }
        self.pruned = mask.filter(|m| m.count() > 0);
        Ok(())
    }

    /// An independent copy.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    pub fn duplicate(&self) -> Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            role: self.role,
            axes: self.axes.clone(),
            pattern: self.pattern.clone(),
            penalty: self.penalty,
            trainable: self.trainable.clone(),
            pruned: self.pruned.clone(),
            value: self.value.duplicate()?,
            zero: self.zero.clone(),
            constraint: self.constraint,
            averaged: self.averaged,
            stored: self.stored,
        })
    }
}

/// Index of a parameter in [`Params`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ParamId(pub u32);

impl ParamId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Every parameter of a model, and the only way to change one.
///
/// Values change inside [`edit`](Self::edit) or [`step`](Self::step), which zero the pruned entries again
/// before they return: after any optimiser step, constraint, restore or mixing a pruned entry is exactly 0.
#[derive(Debug, Default)]
pub struct Params {
    entries: Vec<Param>,
    mask_version: u64,
}

impl Params {
    /// Adds a parameter.
    pub fn push(&mut self, param: Param) -> ParamId {
        self.entries.push(param);
        ParamId(self.entries.len() as u32 - 1)
    }

    /// The parameters, in order.
    pub fn into_vec(self) -> Vec<Param> {
        self.entries
    }

    /// Number of parameters (tensors, not entries).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Parameter `id`; ids come from the model that owns this arena.
    pub fn get(&self, id: ParamId) -> &Param {
        &self.entries[id.index()]
    }

    /// All parameters with their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParamId, &Param)> {
        self.entries.iter().enumerate().map(|(i, p)| (ParamId(i as u32), p))
    }

    /// The parameter called `name`.
    pub fn by_name(&self, name: &str) -> Option<ParamId> {
        self.iter().find(|(_, p)| p.name == name).map(|(id, _)| id)
    }

    /// A number that rises whenever pruned entries change. Optimisers clear their state then.
    pub fn mask_version(&self) -> u64 {
        self.mask_version
    }

    /// Changes the values of one parameter. Pruned entries are zero again afterwards, whatever was written.
    ///
    /// # Errors
    /// `change` or the device failed.
    pub fn edit<T>(
        &mut self,
        backend: &dyn Backend,
        id: ParamId,
        change: impl FnOnce(&mut Tensor) -> Result<T>,
    ) -> Result<T> {
        let param = &mut self.entries[id.index()];
        let result = change(param.value_mut());
        if let Some(mask) = &param.pruned {
            backend.zero_where(mask, &mut param.value)?;
        }
        result
    }

    /// Runs an optimiser step on one parameter, then applies its [`Constraint`]; see
    /// [`Update`](crate::backend::Update).
    ///
    /// With [`Masking::Fused`], `change` must zero the pruned entries itself. With [`Masking::Apply`], this method
    /// does.
    ///
    /// # Errors
    /// `change` or the device failed.
    pub fn step(
        &mut self,
        backend: &dyn Backend,
        id: ParamId,
        masking: Masking,
        change: impl FnOnce(&mut Tensor, ParamView<'_>) -> Result<()>,
    ) -> Result<()> {
        let param = &mut self.entries[id.index()];
        param.zero.take();
        let view = ParamView {
            name: &param.name,
            role: param.role,
            penalty: param.penalty,
            pruned: param.pruned.as_ref(),
            trainable: &param.trainable,
        };
        let mut result = change(&mut param.value, view);
        if param.constraint != Constraint::None && result.is_ok() {
            let rows = match &param.pattern {
                Some(pattern) => Rows::Starts(pattern.starts()),
                None if param.role.is_matrix() => Rows::Equal(param.value.shape().rows()),
                None => Rows::Equal(1),
            };
            let trainable = match &param.trainable {
                Trainable::Only(mask) => Some(mask),
                _ => None,
            };
            result = backend.constrain(&Constrain { constraint: param.constraint, rows, trainable }, &mut param.value);
        }
        if let (Masking::Apply, Some(mask)) = (masking, &param.pruned) {
            backend.zero_where(mask, &mut param.value)?;
        }
        result
    }

    /// Moves a running average towards the values seen in a batch: `value = keep * value + (1 - keep) * seen`. Pruned
    /// entries stay zero, and frozen entries do not change.
    ///
    /// # Errors
    /// The shapes differ, or the device failed.
    pub fn average(&mut self, backend: &dyn Backend, id: ParamId, keep: f64, seen: &Tensor) -> Result<()> {
        let param = &mut self.entries[id.index()];
        param.zero.take();
        let trainable = match &param.trainable {
            Trainable::All => None,
            Trainable::None => return Ok(()),
            Trainable::Only(mask) => Some(mask),
        };
        // A step of plain descent that decays the old value: `w - rate w + rate seen`.
        let update = Update {
            rule: Rule::Sgd { momentum: 0.0, nesterov: false },
            rate: 1.0 - keep,
            step: 1,
            gradient_scale: -1.0,
            l1: 0.0,
            l2: 0.0,
            decay: 1.0,
            pruned: param.pruned.as_ref(),
            trainable,
        };
        backend.update(&update, &mut param.value, seen, &mut [])
    }

    /// Copies the settings that only the layer decides.
    pub(crate) fn follow(&mut self, id: ParamId, spec: &ParamSpec) {
        let param = &mut self.entries[id.index()];
        (param.constraint, param.averaged, param.stored) = (spec.constraint, spec.averaged, spec.stored);
    }

    /// Replaces the set of pruned entries and zeroes them.
    ///
    /// # Errors
    /// The mask has another number of entries, or the device failed.
    pub fn set_pruned(&mut self, backend: &dyn Backend, id: ParamId, mask: Option<Mask>) -> Result<()> {
        self.entries[id.index()].prune(backend, mask)?;
        self.mask_version += 1;
        Ok(())
    }

    /// Prunes more entries and zeroes them.
    ///
    /// # Errors
    /// As [`set_pruned`](Self::set_pruned).
    pub fn prune(&mut self, backend: &dyn Backend, id: ParamId, more: &Mask) -> Result<()> {
        let param = self.get(id);
        if more.len() != param.value.len() {
            return Err(Error::shape("prune", param.value.shape(), format!("a mask over {} entries", more.len())));
        }
        let mut mask = more.clone();
        if let Some(old) = &param.pruned {
            mask.union(old);
        }
        self.set_pruned(backend, id, Some(mask))
    }

    /// Chooses which entries may train.
    ///
    /// # Errors
    /// The mask has another number of entries.
    pub fn set_trainable(&mut self, id: ParamId, trainable: Trainable) -> Result<()> {
        let param = &mut self.entries[id.index()];
        if let Trainable::Only(mask) = &trainable
            && mask.len() != param.value.len()
        {
            return Err(Error::shape(
                "set_trainable",
                param.value.shape(),
                format!("a mask over {} entries", mask.len()),
            ));
        }
        param.trainable = trainable;
        Ok(())
    }

    /// Sets the penalty of one parameter.
    pub fn set_penalty(&mut self, id: ParamId, penalty: Penalty) {
        self.entries[id.index()].penalty = penalty;
    }

    /// Replaces one parameter by another of the same purpose, possibly of another size.
    pub fn replace(&mut self, id: ParamId, param: Param) {
        self.entries[id.index()] = param;
        self.mask_version += 1;
    }

    /// Entries of all parameters that are not pruned.
    pub fn kept(&self) -> usize {
        self.entries.iter().map(Param::kept).sum()
    }

    /// Entries of all parameters, pruned ones included.
    pub fn total(&self) -> usize {
        self.entries.iter().map(|p| p.value.len()).sum()
    }

    /// An independent copy.
    ///
    /// # Errors
    /// The device is out of memory or failed.
    pub fn duplicate(&self) -> Result<Self> {
        let entries = self.entries.iter().map(Param::duplicate).collect::<Result<_>>()?;
        Ok(Self { entries, mask_version: self.mask_version })
    }
}

/// Who zeroes the pruned entries after an optimiser step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masking {
    /// The step does it in its own kernel.
    Fused,
    /// The arena does it afterwards.
    Apply,
}

/// What an optimiser step may know about the parameter it changes.
#[derive(Debug, Clone, Copy)]
pub struct ParamView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub role: Role,
    /// Penalty on its entries.
    pub penalty: Penalty,
    /// Entries that are zero.
    pub pruned: Option<&'a Mask>,
    /// Entries that may move.
    pub trainable: &'a Trainable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory, Reference};
    use crate::base::DType;

    fn arena() -> (Params, ParamId) {
        let mut params = Params::default();
        let value = Tensor::host_zeros(Shape::matrix(2, 3), DType::F32);
        let id = params.push(Param::new("a.weight", Role::Weight, &[UnitAxis::Out, UnitAxis::In], value));
        (params, id)
    }

    #[test]
    fn pruned_entries_stay_zero_through_any_edit() {
        let (mut params, id) = arena();
        params.edit(&Reference, id, |t| Reference.fill(1.0, t)).unwrap();
        params.prune(&Reference, id, &Mask::from_fn(6, |i| i == 2)).unwrap();
        params.prune(&Reference, id, &Mask::from_fn(6, |i| i == 4)).unwrap();
        let expected = [1.0, 1.0, 0.0, 1.0, 0.0, 1.0];
        assert_eq!(params.get(id).value().host::<f32>().unwrap(), expected);
        params.edit(&Reference, id, |t| Reference.fill(f64::NAN, t)).unwrap();
        let v = params.get(id).value().host::<f32>().unwrap();
        assert_eq!((v[2].to_bits(), v[4].to_bits(), params.get(id).kept()), (0, 0, 4));
    }

    #[test]
    fn pruned_entries_stay_zero_when_the_edit_fails() {
        let (mut params, id) = arena();
        params.prune(&Reference, id, &Mask::all(6)).unwrap();
        let failed = params.edit(&Reference, id, |t| {
            Reference.fill(1.0, t)?;
            Err::<(), _>(Error::Data("stop".into()))
        });
        assert!(failed.is_err());
        assert_eq!(params.get(id).value().host::<f32>().unwrap(), [0.0; 6]);
    }

    #[test]
    fn whether_all_values_are_zero_follows_every_change() {
        let (mut params, id) = arena();
        let zero = |params: &Params| params.get(id).is_zero(&Reference).unwrap();
        assert!(zero(&params));
        params.edit(&Reference, id, |t| Reference.fill(1.0, t)).unwrap();
        assert!(!zero(&params) && !params.get(id).duplicate().unwrap().is_zero(&Reference).unwrap());
        params.prune(&Reference, id, &Mask::all(6)).unwrap();
        assert!(zero(&params));
        params.set_pruned(&Reference, id, None).unwrap();
        params.step(&Reference, id, Masking::Apply, |t, _| Reference.fill(2.0, t)).unwrap();
        assert!(!zero(&params));
        params.step(&Reference, id, Masking::Apply, |t, _| Reference.fill(0.0, t)).unwrap();
        assert!(zero(&params));
        let seen = Reference.zeros(Shape::matrix(2, 3), DType::F32).and_then(|mut t| {
            Reference.fill(3.0, &mut t)?;
            Ok(t)
        });
        params.average(&Reference, id, 0.5, &seen.unwrap()).unwrap();
        assert!(!zero(&params));
    }

    #[test]
    fn a_mask_of_the_wrong_size_is_refused() {
        let (mut params, id) = arena();
        assert!(params.prune(&Reference, id, &Mask::none(5)).is_err());
        assert!(params.set_trainable(id, Trainable::Only(Mask::none(7))).is_err());
    }
}
