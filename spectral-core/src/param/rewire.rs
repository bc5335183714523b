//! Parameters that change which of their entries are stored.

use super::{ParamId, Params, Trainable};
use crate::{Backend, DType, Element, Error, Mask, Pattern, Result, Shape, Tensor};
use std::sync::Arc;

impl Params {
    /// Stores one parameter on another pattern over the same matrix.
    ///
    /// Entries on both patterns keep their value bit for bit, and whether they are pruned or frozen. Of the new
    /// ones, entry `i` of the new pattern starts at `grown(i)`, called in order; they may train. Gradient buffers
    /// and optimiser state follow when they are next used: state of kept entries is kept, that of new ones is zero.
    ///
    /// # Errors
    /// The parameter is not stored on a pattern, or on one of another matrix; or the device failed. Nothing has
    /// changed then.
    pub fn rewire(
        &mut self,
        backend: &dyn Backend,
        id: ParamId,
        pattern: Arc<Pattern>,
        grown: impl FnMut(usize) -> f64,
    ) -> Result<()> {
        let param = &self.entries[id.index()];
        let old = param.pattern.as_ref().filter(|p| (p.rows(), p.columns()) == (pattern.rows(), pattern.columns()));
        let old = old.ok_or_else(|| {
            let matrix = Shape::matrix(pattern.rows(), pattern.columns());
            Error::shape("rewire", format!("a parameter of {matrix} stored on a pattern"), &param.name)
        })?;
        let len = pattern.nonzeros();
        let mut kept = Mask::none(len);
        old.in_common(&pattern, |_, to| kept.insert(to));
        let value = carry(backend, &param.value, old, &pattern, |to| !kept.contains(to), grown)?;
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
        (param.value, param.pruned, param.trainable, param.pattern) = (value, pruned, trainable, Some(pattern));
        self.mask_version += 1;
        Ok(())
    }
}

/// What belongs to the entries of `from`, laid out for `to`: bit for bit where both store an entry, zero elsewhere.
///
/// # Errors
/// `values` is not one value for each entry of `from`, or the device failed.
pub fn carry_over(backend: &dyn Backend, values: &Tensor, from: &Pattern, to: &Pattern) -> Result<Tensor> {
    carry(backend, values, from, to, |_| false, |_| 0.0)
}

fn carry(
    backend: &dyn Backend,
    values: &Tensor,
    from: &Pattern,
    to: &Pattern,
    is_new: impl Fn(usize) -> bool,
    new: impl FnMut(usize) -> f64,
) -> Result<Tensor> {
    crate::backend::expect("rewire", Shape::vector(from.nonzeros()), values.shape())?;
    let mut moved = backend.zeros(Shape::vector(to.nonzeros()), values.dtype())?;
    match values.dtype() {
        DType::F32 => carry_as::<f32>(backend, (values, from), (&mut moved, to), is_new, new)?,
        DType::F64 => carry_as::<f64>(backend, (values, from), (&mut moved, to), is_new, new)?,
    }
    Ok(moved)
}

fn carry_as<E: Element>(
    backend: &dyn Backend,
    (values, from): (&Tensor, &Pattern),
    (moved, to): (&mut Tensor, &Pattern),
    is_new: impl Fn(usize) -> bool,
    mut new: impl FnMut(usize) -> f64,
) -> Result<()> {
    if let (Ok(old), Ok(moved)) = (values.host::<E>(), moved.host_mut::<E>()) {
        (0..to.nonzeros()).filter(|&i| is_new(i)).for_each(|i| moved[i] = E::of(new(i)));
        from.in_common(to, |i, j| moved[j] = old[i]);
        return Ok(());
    }
    // Widening and narrowing are exact.
    let old = backend.download(values)?;
    let mut all = vec![0.0; to.nonzeros()];
    (0..to.nonzeros()).filter(|&i| is_new(i)).for_each(|i| all[i] = new(i));
    from.in_common(to, |i, j| all[j] = old[i]);
    backend.write(&all, moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Param, Reference, Role, UnitAxis};

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
        let mut asked = Vec::new();
        let grown = |i: usize| {
            asked.push(i);
            10.0 + i as f64
        };
        params.rewire(&Reference, id, to.clone(), grown).unwrap();
        let param = params.get(id);
        assert_eq!(param.value().host::<f32>().unwrap(), [10.0, 0.0, 12.0, 3.0, 14.0, 0.0]);
        assert_eq!(asked, [0, 2, 4]);
        assert_eq!(param.pruned().unwrap().iter().collect::<Vec<_>>(), [1, 5]);
        assert_eq!(param.trainable, Trainable::Only(Mask::from_fn(6, |i| [0, 2, 3, 4].contains(&i))));
        assert!(params.mask_version() > version && Arc::ptr_eq(param.pattern.as_ref().unwrap(), &to));
    }

    #[test]
    fn another_matrix_or_a_dense_parameter_is_refused_and_nothing_changes() {
        let (mut params, id) = arena(&[0, 5]);
        let other = Arc::new(Pattern::from_positions(4, 3, &[1]).unwrap());
        assert!(params.rewire(&Reference, id, other.clone(), |_| 0.0).is_err());
        assert_eq!(params.get(id).value().host::<f32>().unwrap(), [1.0, 2.0]);
        let full = Tensor::host_zeros(Shape::matrix(4, 3), DType::F32);
        let dense = params.push(Param::new("d.weight", Role::Weight, &[UnitAxis::Out, UnitAxis::In], full));
        assert!(
            params.rewire(&Reference, dense, other, |_| 0.0).unwrap_err().to_string().contains("stored on a pattern")
        );
    }
}
