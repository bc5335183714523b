//! How the entries of a matrix are stored: all of them, or those on a pattern.

use super::{ParamId, Params, Trainable, carry_over};
use crate::backend::Backend;
use crate::base::{Error, Result};
use crate::tensor::{Mask, Pattern, Shape};
use std::sync::Arc;

impl Params {
    /// Stores a matrix on `pattern`, or as a whole if it is `None`.
    ///
    /// Entries that stay stored keep their value bit for bit, and whether they are pruned or frozen. Entries outside
    /// the pattern are dropped. In a whole matrix, entries that were not stored are pruned zeros, and frozen if only
    /// some entries train. Gradient buffers and optimiser state follow when they are next used.
    ///
    /// # Errors
    /// The layer does not compute with a pattern, the pattern is over another matrix, or the device failed. Nothing has
    /// changed then.
    pub fn store(&mut self, backend: &dyn Backend, id: ParamId, pattern: Option<Arc<Pattern>>) -> Result<()> {
        let param = self.get(id);
        let full = param.full_shape();
        if let Some(pattern) = &pattern {
            if !param.may_be_stored() {
                let problem = "its layer computes with whole matrices only; it cannot be stored on a pattern";
                return Err(Error::config(format!("parameter `{}`", param.name), problem));
            }
            crate::backend::expect("store", full, Shape::matrix(pattern.rows(), pattern.columns()))?;
        }
        let (from, to) = (param.pattern.as_deref(), pattern.as_deref());
        let value = carry_over(backend, param.value(), from, to)?;
        let places = Places { full: full.len(), from, to };
        let mut pruned = param.pruned().map(|mask| places.moved(mask));
        if to.is_none() && from.is_some() {
            let absent = places.moved(&Mask::all(param.value().len())).complement();
            match &mut pruned {
                Some(mask) => mask.union(&absent),
                None => pruned = Some(absent),
            }
        }
        let trainable = match &param.trainable {
            Trainable::Only(mask) => Trainable::Only(places.moved(mask)),
            other => other.clone(),
        };
        let param = &mut self.entries[id.index()];
        *param.value_mut() = value;
        (param.pattern, param.trainable) = (pattern, trainable);
        self.set_pruned(backend, id, pruned)
    }
}

/// Where the stored entries of one matrix are before and after.
struct Places<'a> {
    full: usize,
    from: Option<&'a Pattern>,
    to: Option<&'a Pattern>,
}

impl Places<'_> {
    /// Translates a set of stored entries to the new storage.
    fn moved(&self, mask: &Mask) -> Mask {
        let place = |p: &Pattern, (row, column): (usize, usize)| row * p.columns() + column;
        match (self.from, self.to) {
            (None, None) => mask.clone(),
            (Some(from), Some(to)) => {
                let mut moved = Mask::none(to.nonzeros());
                from.in_common(to, |i, j| {
                    if mask.contains(i) {
                        moved.insert(j);
                    }
                });
                moved
            }
            (None, Some(to)) => {
                let at: Vec<usize> = to.iter().map(|p| place(to, p)).collect();
                Mask::from_fn(at.len(), |i| mask.contains(at[i]))
            }
            (Some(from), None) => {
                let mut moved = Mask::none(self.full);
                let stored = from.iter().enumerate().filter(|(i, _)| mask.contains(*i));
                stored.for_each(|(_, p)| moved.insert(place(from, p)));
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory, Reference};
    use crate::base::DType;
    use crate::model::{Param, ParamSpec, Role, Stored, UnitAxis};
    use crate::tensor::Tensor;

    const AXES: [UnitAxis; 2] = [UnitAxis::Out, UnitAxis::In];

    /// The 2 x 3 matrix of 1 to 6, which may be stored on a pattern.
    fn arena(stored: Stored) -> (Params, ParamId) {
        let mut value = Tensor::host_zeros(Shape::matrix(2, 3), DType::F32);
        Reference.write(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut value).unwrap();
        let mut params = Params::default();
        let id = params.push(Param::new("a.weight", Role::Weight, &AXES, value));
        let spec = ParamSpec { stored, ..ParamSpec::new("weight", Role::Weight, Shape::matrix(2, 3), &AXES) };
        params.follow(id, &spec);
        (params, id)
    }

    fn pattern(stored: &[u64]) -> Option<Arc<Pattern>> {
        Some(Arc::new(Pattern::from_positions(2, 3, stored).unwrap()))
    }

    fn state(params: &Params, id: ParamId) -> (Vec<f32>, Vec<usize>) {
        let param = params.get(id);
        (param.value().host().unwrap().to_vec(), param.pruned().map_or(vec![], |m| m.iter().collect()))
    }

    #[test]
    fn a_matrix_goes_to_a_pattern_and_back_with_its_masks() {
        let (mut params, id) = arena(Stored::Either);
        params.prune(&Reference, id, &Mask::from_fn(6, |i| i == 1 || i == 3)).unwrap();
        params.set_trainable(id, Trainable::Only(Mask::from_fn(6, |i| i < 3))).unwrap();
        params.store(&Reference, id, pattern(&[0, 2, 3, 5])).unwrap();
        assert_eq!(state(&params, id), (vec![1.0, 3.0, 0.0, 6.0], vec![2]));
        assert_eq!(params.get(id).trainable, Trainable::Only(Mask::from_fn(4, |i| i < 2)));
        params.store(&Reference, id, pattern(&[0, 4, 5])).unwrap();
        assert_eq!(state(&params, id), (vec![1.0, 0.0, 6.0], vec![]));
        params.store(&Reference, id, None).unwrap();
        assert_eq!(state(&params, id), (vec![1.0, 0.0, 0.0, 0.0, 0.0, 6.0], vec![1, 2, 3]));
        assert_eq!(params.get(id).trainable, Trainable::Only(Mask::from_fn(6, |i| i == 0)));
    }

    #[test]
    fn other_matrices_and_layers_that_need_all_entries_are_refused() {
        let (mut params, id) = arena(Stored::Full);
        let error = params.store(&Reference, id, pattern(&[0])).unwrap_err().to_string();
        assert!(error.contains("`a.weight`") && error.contains("whole matrices only"), "{error}");
        let (mut params, id) = arena(Stored::Either);
        let other = Arc::new(Pattern::from_positions(3, 2, &[0]).unwrap());
        assert!(params.store(&Reference, id, Some(other)).is_err());
        assert_eq!(state(&params, id).0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
