//! Parameters that change which of their entries are stored.

use super::{ParamId, Params, Trainable};
use crate::backend::Backend;
use crate::base::{DType, Element, Error, Result};
use crate::tensor::{Mask, Pattern, Shape, Tensor};
use std::sync::Arc;

impl Params {
    /// Stores one parameter on another pattern over the same matrix, and returns the number of new entries.
    ///
    /// Entries on both patterns keep their value bit for bit, and whether they are pruned or frozen. `grown` receives
    /// the number of new entries and returns their values in the new pattern's order; new entries may train. Gradient
    /// buffers and optimiser state follow when they are next used: kept entries keep their state, and new entries start
    /// at zero.
    ///
    /// # Errors
    /// The parameter is not stored on a pattern, or on one of another matrix; `grown` failed or gave another number of
    /// values; or the device failed. Nothing has changed then.
    pub fn rewire(
        &mut self,
        backend: &dyn Backend,
        id: ParamId,
        pattern: Arc<Pattern>,
        grown: impl FnOnce(usize) -> Result<Vec<f64>>,
    ) -> Result<usize> {
        let param = &self.entries[id.index()];
        let old = param.pattern.as_ref().filter(|p| (p.rows(), p.columns()) == (pattern.rows(), pattern.columns()));
        let old = old.ok_or_else(|| {
            let matrix = Shape::matrix(pattern.rows(), pattern.columns());
            Error::shape("rewire", format!("a parameter of {matrix} stored on a pattern"), &param.name)
        })?;
        let len = pattern.nonzeros();
        let mut kept = Mask::none(len);
        let mut value = carry(backend, &param.value, old, &pattern, |to| kept.insert(to))?;
        let new = grown(len - kept.count())?;
        crate::backend::expect("rewire", Shape::vector(len - kept.count()), Shape::vector(new.len()))?;
        match value.dtype() {
            DType::F32 => put::<f32>(backend, &mut value, &kept, &new)?,
            DType::F64 => put::<f64>(backend, &mut value, &kept, &new)?,
        }
        let carried = |mask: &Mask| {
            let mut moved = Mask::none(len);
            old.in_common(&pattern, |from, to| {
                if mask.contains(from) {
                    moved.insert(to);
                }
            });
            moved
        };
        let pruned = param.pruned.as_ref().map(carried).filter(|m| m.count() > 0);
        let trainable = match &param.trainable {
            Trainable::Only(mask) => {
                let mut moved = carried(mask);
                moved.union(&kept.complement());
                Trainable::Only(moved)
            }
            other => other.clone(),
        };
        let param = &mut self.entries[id.index()];
        param.zero.take();
        *param.value_mut() = value;
        (param.pruned, param.trainable, param.pattern) = (pruned, trainable, Some(pattern));
        self.mask_version += 1;
        Ok(new.len())
    }
}

/// Moves one value for each entry of `from` to the layout of `to`: bit for bit where both store an entry, zero
/// elsewhere. `None` stores the whole matrix.
///
/// # Errors
/// `values` is not one value for each entry of `from`, or the device failed.
pub fn carry_over(
    backend: &dyn Backend,
    values: &Tensor,
    from: Option<&Pattern>,
    to: Option<&Pattern>,
) -> Result<Tensor> {
    let (stored, whole) = match (from, to) {
        (Some(from), Some(to)) => return carry(backend, values, from, to, |_| {}),
        (None, None) => return values.duplicate(),
        (Some(pattern), None) | (None, Some(pattern)) => (pattern, Shape::matrix(pattern.rows(), pattern.columns())),
    };
    let entries = Shape::vector(stored.nonzeros());
    let (before, after) = if from.is_some() { (entries, whole) } else { (whole, entries) };
    crate::backend::expect("rewire", before, values.shape())?;
    // Widening and narrowing are exact.
    let (old, mut new) = (backend.download(values)?, vec![0.0; after.len()]);
    for (entry, (row, column)) in stored.iter().enumerate() {
        let position = row * stored.columns() + column;
        let (i, j) = if from.is_some() { (entry, position) } else { (position, entry) };
        new[j] = old[i];
    }
    let mut moved = backend.zeros(after, values.dtype())?;
    backend.write(&new, &mut moved)?;
    Ok(moved)
}

/// As [`carry_over`], calling `kept` with every entry of `to` that is in both.
fn carry(
    backend: &dyn Backend,
    values: &Tensor,
    from: &Pattern,
    to: &Pattern,
    kept: impl FnMut(usize),
) -> Result<Tensor> {
    crate::backend::expect("rewire", Shape::vector(from.nonzeros()), values.shape())?;
    let mut moved = backend.zeros(Shape::vector(to.nonzeros()), values.dtype())?;
    match values.dtype() {
        DType::F32 => carry_as::<f32>(backend, (values, from), (&mut moved, to), kept)?,
        DType::F64 => carry_as::<f64>(backend, (values, from), (&mut moved, to), kept)?,
    }
    Ok(moved)
}

fn carry_as<E: Element>(
    backend: &dyn Backend,
    (values, from): (&Tensor, &Pattern),
    (moved, to): (&mut Tensor, &Pattern),
    mut kept: impl FnMut(usize),
) -> Result<()> {
    if let (Ok(old), Ok(moved)) = (values.host::<E>(), moved.host_mut::<E>()) {
        from.in_common(to, |i, j| {
            moved[j] = old[i];
            kept(j);
        });
        return Ok(());
    }
    // Widening and narrowing are exact.
    let old = backend.download(values)?;
    let mut all = vec![0.0; to.nonzeros()];
    from.in_common(to, |i, j| {
        all[j] = old[i];
        kept(j);
    });
    backend.write(&all, moved)
}

/// Writes `new` to the entries that are not in `kept`, in order.
fn put<E: Element>(backend: &dyn Backend, value: &mut Tensor, kept: &Mask, new: &[f64]) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let places = (0..value.len()).filter(|i| !kept.contains(*i));
    if let Ok(value) = value.host_mut::<E>() {
        places.zip(new).for_each(|(i, new)| value[i] = E::of(*new));
        return Ok(());
    }
    let mut all = backend.download(value)?;
    places.zip(new).for_each(|(i, new)| all[i] = *new);
    backend.write(&all, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory, Reference};
    use crate::model::{Param, Role, UnitAxis};

    /// The 3 x 4 matrix with the entries of `stored`, numbered from 1.
    fn arena(stored: &[u64]) -> (Params, ParamId) {
        let pattern = Pattern::from_positions(3, 4, stored).unwrap();
        let mut value = Tensor::host_zeros(Shape::vector(stored.len()), DType::F32);
        Reference.write(&(1..=stored.len()).map(|v| v as f64).collect::<Vec<_>>(), &mut value).unwrap();
        let mut param = Param::new("s.weight", Role::Weight, &[UnitAxis::Out, UnitAxis::In], value);
        param.pattern = Some(Arc::new(pattern));
        let mut params = Params::default();
        let id = params.push(param);
        (params, id)
    }

    #[test]
    fn kept_entries_keep_value_and_masks_and_new_ones_start_as_asked() {
        let (mut params, id) = arena(&[0, 2, 5, 7, 11]);
        params.prune(&Reference, id, &Mask::from_fn(5, |i| i == 1 || i == 4)).unwrap();
        params.set_trainable(id, Trainable::Only(Mask::from_fn(5, |i| i == 2))).unwrap();
        let version = params.mask_version();
        // 0 and 7 go; 1, 4 and 9 come.
        let to = Arc::new(Pattern::from_positions(3, 4, &[1, 2, 4, 5, 9, 11]).unwrap());
        let grown = |count: usize| {
            assert_eq!(count, 3);
            Ok(vec![10.0, 12.0, 14.0])
        };
        assert_eq!(params.rewire(&Reference, id, to.clone(), grown).unwrap(), 3);
        let param = params.get(id);
        assert_eq!(param.value().host::<f32>().unwrap(), [10.0, 0.0, 12.0, 3.0, 14.0, 0.0]);
        assert_eq!(param.pruned().unwrap().iter().collect::<Vec<_>>(), [1, 5]);
        assert_eq!(param.trainable, Trainable::Only(Mask::from_fn(6, |i| [0, 2, 3, 4].contains(&i))));
        assert!(params.mask_version() > version && Arc::ptr_eq(param.pattern.as_ref().unwrap(), &to));
    }

    #[test]
    fn another_matrix_or_a_dense_parameter_is_refused_and_nothing_changes() {
        let (mut params, id) = arena(&[0, 5]);
        let other = Arc::new(Pattern::from_positions(4, 3, &[1]).unwrap());
        assert!(params.rewire(&Reference, id, other.clone(), |n| Ok(vec![0.0; n])).is_err());
        let same = params.get(id).pattern.clone().unwrap();
        let smaller = Arc::new(Pattern::from_positions(3, 4, &[0, 1]).unwrap());
        assert!(params.rewire(&Reference, id, smaller, |_| Ok(vec![])).is_err());
        assert!(Arc::ptr_eq(params.get(id).pattern.as_ref().unwrap(), &same));
        assert_eq!(params.get(id).value().host::<f32>().unwrap(), [1.0, 2.0]);
        let full = Tensor::host_zeros(Shape::matrix(4, 3), DType::F32);
        let dense = params.push(Param::new("d.weight", Role::Weight, &[UnitAxis::Out, UnitAxis::In], full));
        assert!(
            params
                .rewire(&Reference, dense, other, |n| Ok(vec![0.0; n]))
                .unwrap_err()
                .to_string()
                .contains("stored on a pattern")
        );
    }
}
