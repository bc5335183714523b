//! Sections back to a parameter.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::encode::grid_of;
use crate::header::{AxisRecord, OthersRecord, ParamRecord, PenaltyRecord, SetRecord, TrainableRecord};
use crate::inspect;
use crate::positions::{Coding, Grid};
use crate::source::Data;
use crate::{Error, Result};
use spectral_core::{
    Backend, DType, Element, Mask, Param, ParamId, Params, Pattern, Penalty, Shape, Tensor, Trainable, UnitAxis,
};
use std::sync::Arc;

/// Memory that any file may unfold into, whatever its length.
const FREE: u64 = 16 << 20;

/// How many times its own length a file may unfold into beyond that.
const FACTOR: u64 = 256;

/// Whether parameters with these records may be unfolded from a file of `total` bytes.
///
/// A checksum proves nothing about who wrote it, so what a few bytes may allocate has a limit. The writer
/// chooses encodings that keep to it.
pub(crate) fn within_limits(params: &[ParamRecord<'_>], total: u64) -> bool {
    params.iter().map(unfolded).fold(0u64, u64::saturating_add) <= FREE.saturating_add(total.saturating_mul(FACTOR))
}

/// Bytes a parameter takes in memory.
fn unfolded(record: &ParamRecord<'_>) -> u64 {
    let width = if record.dtype == "f64" { 8 } else { 4 };
    let entries = match record.pattern {
        None => record.shape.iter().fold(1u64, |n, &e| n.saturating_mul(e)),
        // The section of a sparse matrix limits its stored entries, but not its rows.
        Some(set) => {
            let rows = record.shape.first().copied().unwrap_or(0);
            let stored = record.values.len / width;
            let stored = if record.kept.is_some() { set.section.len.saturating_mul(8) } else { stored };
            rows.saturating_add(stored)
        }
    };
    entries.saturating_mul(width).saturating_add(entries / 4)
}

/// Rebuilds the parameter of `record` and appends it to the arena.
pub(crate) fn param(
    record: &ParamRecord<'_>,
    data: &Data<'_>,
    backend: &dyn Backend,
    params: &mut Params,
) -> Result<ParamId> {
    let damaged = |problem: &str| Error::damaged(format!("`{}`", record.name), problem);
    let shape = inspect::shape(record.name, &record.shape)?;
    let dtype = inspect::dtype(record)?;
    let (pattern, shape) = match &record.pattern {
        None => (None, shape),
        Some(set) => {
            let pattern = pattern(record, set, shape, data)?;
            let stored = pattern.nonzeros();
            (Some(Arc::new(pattern)), Shape::vector(stored))
        }
    };
    let grid = grid_of(shape).ok_or_else(|| damaged("it has too many entries"))?;
    let written = usize::try_from(record.values.len).map_err(|_| damaged("its values have the wrong length"))?;
    let stored = written / dtype.bytes();
    if written % dtype.bytes() != 0 || stored > grid.len() {
        return Err(damaged("its values have the wrong length"));
    }
    let kept = match &record.kept {
        None if stored != grid.len() => return Err(damaged("it has too few values")),
        None => None,
        Some(kept) => {
            let bytes = data.section(record.name, &kept.set.section)?;
            let mut mask = Mask::none(grid.len());
            kept.set.coding.decode(&bytes, grid, stored, |p| mask.insert(p)).map_err(damaged)?;
            Some((kept.others, mask))
        }
    };
    let set = kept.as_ref().map(|(_, mask)| mask);
    let mut value = backend.zeros(shape, dtype)?;
    match dtype {
        DType::F32 => fill(record, data, f32::from_le_bytes, set, backend, &mut value)?,
        DType::F64 => fill(record, data, f64::from_le_bytes, set, backend, &mut value)?,
    }
    let axes: Vec<UnitAxis> = record.axes.iter().map(axis).collect();
    let mut param = Param::new(record.name, inspect::role(record)?, &axes, value);
    param.pattern = pattern;
    param.penalty = penalty(record.name, record.penalty)?;
    param.trainable = match &record.trainable {
        TrainableRecord::All => Trainable::All,
        TrainableRecord::None => Trainable::None,
        TrainableRecord::Only(section) => {
            let bytes = data.section(record.name, section)?;
            let ones = bytes.iter().fold(0usize, |n, b| n.saturating_add(count_ones(*b)));
            let mut mask = Mask::none(grid.len());
            Coding::Bitmask.decode(&bytes, Grid::vector(grid.len()), ones, |p| mask.insert(p)).map_err(damaged)?;
            Trainable::Only(mask)
        }
    };
    let id = params.push(param);
    if let Some((OthersRecord::Pruned, mask)) = kept {
        params.set_pruned(backend, id, Some(mask.complement()))?;
    }
    Ok(id)
}

fn axis(axis: &AxisRecord) -> UnitAxis {
    match axis {
        AxisRecord::Out => UnitAxis::Out,
        AxisRecord::In => UnitAxis::In,
    }
}

fn count_ones(byte: u8) -> usize {
    usize::try_from(byte.count_ones()).unwrap_or(0)
}

/// Reads the positions of a sparse matrix of this shape.
fn pattern(record: &ParamRecord<'_>, set: &SetRecord, shape: Shape, data: &Data<'_>) -> Result<Pattern> {
    let damaged = |problem: &str| Error::damaged(format!("`{}`", record.name), problem);
    let grid = grid_of(shape).filter(|_| shape.rank() == 2).ok_or_else(|| damaged("a pattern needs a matrix"))?;
    let bytes = data.section(record.name, &set.section)?;
    // The number of entries stands nowhere but in the set itself; the values are checked against it later.
    let count = count(set.coding, &bytes, grid).ok_or_else(|| damaged("its pattern has the wrong length"))?;
    let mut starts = vec![0u32];
    let mut indices = Vec::new();
    let mut end = 0u32;
    let visit = |p: usize| {
        let columns = grid.columns.max(1);
        while starts.len() <= p / columns {
            starts.push(end);
        }
        indices.push(u32::try_from(p % columns).unwrap_or(u32::MAX));
        end = end.saturating_add(1);
    };
    set.coding.decode(&bytes, grid, count, visit).map_err(damaged)?;
    starts.resize(grid.rows.saturating_add(1), end);
    Pattern::new(grid.rows, grid.columns, starts, indices).map_err(|e| damaged(&e.to_string()))
}

/// How many positions a set of these bytes has.
pub(crate) fn count(coding: Coding, bytes: &[u8], grid: Grid) -> Option<usize> {
    let columns = |width: usize| {
        let starts = grid.rows.checked_add(1)?.checked_mul(4)?;
        bytes.len().checked_sub(starts).map(|rest| rest / width)
    };
    match coding {
        Coding::Bitmask => bytes.iter().try_fold(0usize, |n, b| n.checked_add(count_ones(*b))),
        Coding::CsrU16 => columns(2),
        Coding::CsrU32 => columns(4),
        Coding::Gaps => Some(bytes.iter().filter(|b| **b != u8::MAX).count()),
    }
}

/// The penalty of a record about what is called `name`.
pub(crate) fn penalty(name: &str, record: Option<PenaltyRecord>) -> Result<Penalty> {
    let Some(PenaltyRecord { l1, l2 }) = record else { return Ok(Penalty::default()) };
    match [l1, l2].iter().all(|v| v.is_finite() && *v >= 0.0) {
        true => Ok(Penalty { l1, l2 }),
        false => Err(Error::damaged(format!("`{name}`"), format!("its penalties are {l1} and {l2}"))),
    }
}

/// Reads the values of `record` into a zeroed tensor: all of them, or those at the positions in `set`.
fn fill<E: Element, const N: usize>(
    record: &ParamRecord<'_>,
    data: &Data<'_>,
    read: impl Fn([u8; N]) -> E,
    set: Option<&Mask>,
    backend: &dyn Backend,
    value: &mut Tensor,
) -> Result<()> {
    let scatter = |to: &mut [E]| match set {
        None => {
            let mut to = to.iter_mut();
            data.stream(record.name, &record.values, |bytes| {
                bytes.as_chunks::<N>().0.iter().zip(&mut to).for_each(|(b, to)| *to = read(*b));
            })
        }
        Some(set) => {
            let mut positions = set.iter();
            data.stream(record.name, &record.values, |bytes| {
                for (b, position) in bytes.as_chunks::<N>().0.iter().zip(&mut positions) {
                    if let Some(to) = to.get_mut(position) {
                        *to = read(*b);
                    }
                }
            })
        }
    };
    // Values in main memory are read to where they stay.
    if let Ok(to) = value.host_mut::<E>() {
        return scatter(to);
    }
    let mut staged = Vec::new();
    if staged.try_reserve_exact(value.len()).is_err() {
        return Err(Error::damaged(format!("`{}`", record.name), "there is no memory for its values"));
    }
    staged.resize(value.len(), E::zero());
    scatter(&mut staged)?;
    Ok(backend.upload(E::values(&staged), value)?)
}
