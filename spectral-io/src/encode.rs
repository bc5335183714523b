//! A parameter as sections.

use crate::header::{
    AxisRecord, KeptRecord, OthersRecord, ParamRecord, PenaltyRecord, SectionRecord, SetRecord, TrainableRecord,
};
use crate::positions::{Coding, Grid, gaps_size};
use crate::sections::Sections;
use crate::{Error, Result};
use spectral_core::{Backend, DType, Mask, Param, Penalty, Shape, Tensor, Trainable, UnitAxis, little_endian};

/// Which codings may be used for the positions of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The smallest.
    Smallest,
    /// Those whose size grows with the tensor, so that a small file cannot unfold into a huge one.
    Proportional,
}

/// Appends the sections of `param` and returns its entry in the table.
pub(crate) fn param<'a>(
    param: &'a Param,
    backend: &'a dyn Backend,
    choice: Choice,
    sections: &mut Sections<'a>,
) -> Result<ParamRecord<'a>> {
    let value = param.value();
    let pattern = match &param.pattern {
        None => None,
        Some(pattern) => {
            let grid = grid(param, Shape::matrix(pattern.rows(), pattern.columns()))?;
            let positions = || pattern.iter().map(|(r, c)| r * pattern.columns() + c);
            Some(set(grid, pattern.nonzeros(), positions, &Coding::ALL, sections)?)
        }
    };
    let grid = grid(param, value.shape())?;
    let wanted = match param.pruned() {
        Some(mask) => Some((OthersRecord::Pruned, mask.complement())),
        None => nonzero(value, backend)?.map(|mask| (OthersRecord::Zero, mask)),
    };
    let (kept, values) = match wanted {
        Some((others, mask)) if others == OthersRecord::Pruned || pays(grid, &mask, value.dtype().bytes(), choice) => {
            let set = set(grid, mask.count(), || mask.iter(), codings(choice), sections)?;
            (Some(KeptRecord { others, set }), sections.push(bytes_at(value, backend, &mask)?))
        }
        _ => (None, sections.push_values(value, backend)?),
    };
    let trainable = match &param.trainable {
        Trainable::All => TrainableRecord::All,
        Trainable::None => TrainableRecord::None,
        Trainable::Only(mask) => TrainableRecord::Only(bits(mask, sections)),
    };
    Ok(ParamRecord {
        name: &param.name,
        role: param.role.name(),
        dtype: match value.dtype() {
            DType::F32 => "f32",
            DType::F64 => "f64",
        },
        shape: param.full_shape().into(),
        axes: param.axes.iter().map(axis).collect(),
        penalty: penalty(param.penalty),
        trainable,
        pattern,
        kept,
        values,
    })
}

/// The record of a penalty; none is none.
pub(crate) fn penalty(Penalty { l1, l2 }: Penalty) -> Option<PenaltyRecord> {
    (l1 != 0.0 || l2 != 0.0).then_some(PenaltyRecord { l1, l2 })
}

fn axis(axis: &UnitAxis) -> AxisRecord {
    match axis {
        UnitAxis::Out => AxisRecord::Out,
        UnitAxis::In => AxisRecord::In,
    }
}

/// A vector is one row; of anything else the first axis counts as rows.
fn grid(param: &Param, shape: Shape) -> Result<Grid> {
    grid_of(shape).ok_or_else(|| Error::Unsupported(format!("`{}` has too many entries", param.name)))
}

/// The grid that positions in a tensor of this shape count in.
pub(crate) fn grid_of(shape: Shape) -> Option<Grid> {
    match shape.rank() {
        0 | 1 => Some(Grid::vector(shape.len())),
        _ => Grid::new(shape.rows(), shape.columns()),
    }
}

fn codings(choice: Choice) -> &'static [Coding] {
    match choice {
        Choice::Smallest => &Coding::ALL,
        Choice::Proportional => &[Coding::Bitmask],
    }
}

/// Whether leaving out zeros makes the tensor smaller.
fn pays(grid: Grid, mask: &Mask, width: usize, choice: Choice) -> bool {
    let gaps = gaps_size(grid, mask.iter());
    let positions = codings(choice).iter().filter_map(|c| c.size(grid, mask.count(), gaps)).min();
    // A section more takes its checksum and a few bytes of the header.
    let section = 8;
    positions.is_some_and(|p| p.saturating_add(mask.count() * width + section) < grid.len() * width)
}

/// Appends a set of positions in its smallest coding; of equally small ones the first.
pub(crate) fn set<I: Iterator<Item = usize>>(
    grid: Grid,
    count: usize,
    positions: impl Fn() -> I,
    codings: &[Coding],
    sections: &mut Sections<'_>,
) -> Result<SetRecord> {
    let gaps = gaps_size(grid, positions());
    let sizes = codings.iter().filter_map(|&c| Some((c.size(grid, count, gaps)?, c)));
    let (_, coding) = sizes.min_by_key(|(size, _)| *size).ok_or_else(|| {
        Error::Unsupported(format!("{count} positions of {} x {} fit no encoding", grid.rows, grid.columns))
    })?;
    Ok(SetRecord { coding, section: sections.push(coding.encode(grid, positions())) })
}

fn bits(mask: &Mask, sections: &mut Sections<'_>) -> SectionRecord {
    sections.push(Coding::Bitmask.encode(Grid::vector(mask.len()), mask.iter()))
}

/// Hands each value of a tensor, raw and little-endian, to `visit`, with its position.
pub(crate) fn each_value(tensor: &Tensor, backend: &dyn Backend, mut visit: impl FnMut(usize, &[u8])) -> Result<()> {
    let width = tensor.dtype().bytes();
    let mut at = 0;
    little_endian(backend, tensor, |bytes| {
        for value in bytes.chunks_exact(width) {
            visit(at, value);
            at += 1;
        }
    })?;
    Ok(())
}

/// Which values have a bit that is not zero; `None` if every one has.
fn nonzero(tensor: &Tensor, backend: &dyn Backend) -> Result<Option<Mask>> {
    let mut zeros = Mask::none(tensor.len());
    each_value(tensor, backend, |i, value| {
        if value.iter().all(|b| *b == 0) {
            zeros.insert(i);
        }
    })?;
    Ok((zeros.count() > 0).then(|| zeros.complement()))
}

/// The values in the set, raw and little-endian.
fn bytes_at(tensor: &Tensor, backend: &dyn Backend, set: &Mask) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(set.count() * tensor.dtype().bytes());
    each_value(tensor, backend, |i, value| {
        if set.contains(i) {
            bytes.extend_from_slice(value);
        }
    })?;
    Ok(bytes)
}
