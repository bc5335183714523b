//! A parameter as sections.

use crate::header::{AxisRecord, KeptRecord, OthersRecord, ParamRecord, SectionRecord, SetRecord, TrainableRecord};
use crate::layout::{Sections, aligned};
use crate::positions::{Coding, Grid, gaps_size};
use crate::{Error, Result};
use spectral_core::{Backend, DType, Element, Mask, Param, Shape, Trainable, UnitAxis};

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
    backend: &dyn Backend,
    choice: Choice,
    sections: &mut Sections,
) -> Result<ParamRecord<'a>> {
    let width = param.value().dtype().bytes();
    let bytes = value_bytes(param, backend)?;
    let pattern = match &param.pattern {
        None => None,
        Some(pattern) => {
            let grid = grid(param, Shape::matrix(pattern.rows(), pattern.columns()))?;
            let positions = || pattern.iter().map(|(r, c)| r * pattern.columns() + c);
            Some(set(grid, pattern.nonzeros(), positions, &Coding::ALL, sections)?)
        }
    };
    let grid = grid(param, param.value().shape())?;
    let wanted = match param.pruned() {
        Some(mask) => Some((OthersRecord::Pruned, mask.complement())),
        None => {
            let nonzero = Mask::from_fn(grid.len(), |i| bytes[i * width..(i + 1) * width].iter().any(|b| *b != 0));
            Some((OthersRecord::Zero, nonzero)).filter(|(_, m)| m.count() < grid.len())
        }
    };
    let (kept, written) = match wanted {
        Some((others, mask)) if others == OthersRecord::Pruned || pays(grid, &mask, width, choice) => {
            let set = set(grid, mask.count(), || mask.iter(), codings(choice), sections)?;
            let kept = mask.iter().flat_map(|i| &bytes[i * width..(i + 1) * width]).copied().collect();
            (Some(KeptRecord { others, set }), kept)
        }
        _ => (None, bytes),
    };
    let values = sections.push(written);
    let trainable = match &param.trainable {
        Trainable::All => TrainableRecord::All,
        Trainable::None => TrainableRecord::None,
        Trainable::Only(mask) => TrainableRecord::Only(bits(mask, sections)),
    };
    Ok(ParamRecord {
        name: &param.name,
        role: param.role.name(),
        dtype: match param.value().dtype() {
            DType::F32 => "f32",
            DType::F64 => "f64",
        },
        shape: param.full_shape().into(),
        axes: param.axes.iter().map(axis).collect(),
        l1: param.penalty.l1,
        l2: param.penalty.l2,
        trainable,
        pattern,
        kept,
        values,
    })
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

/// Whether leaving out zeros makes the tensor smaller, padding included.
fn pays(grid: Grid, mask: &Mask, width: usize, choice: Choice) -> bool {
    let padded = |n: usize| aligned(n as u64);
    let gaps = gaps_size(grid, mask.iter());
    let positions = codings(choice).iter().filter_map(|c| c.size(grid, mask.count(), gaps)).min();
    let dense = padded(grid.len() * width);
    positions.is_some_and(|p| padded(p).saturating_add(padded(mask.count() * width)) < dense)
}

/// Appends a set of positions in its smallest coding; of equally small ones the first.
pub(crate) fn set<I: Iterator<Item = usize>>(
    grid: Grid,
    count: usize,
    positions: impl Fn() -> I,
    codings: &[Coding],
    sections: &mut Sections,
) -> Result<SetRecord> {
    let gaps = gaps_size(grid, positions());
    let sizes = codings.iter().filter_map(|&c| Some((c.size(grid, count, gaps)?, c)));
    let (_, coding) = sizes.min_by_key(|(size, _)| *size).ok_or_else(|| {
        Error::Unsupported(format!("{count} positions of {} x {} fit no encoding", grid.rows, grid.columns))
    })?;
    Ok(SetRecord { coding, section: sections.push(coding.encode(grid, positions())) })
}

fn bits(mask: &Mask, sections: &mut Sections) -> SectionRecord {
    sections.push(Coding::Bitmask.encode(Grid::vector(mask.len()), mask.iter()))
}

/// The raw little-endian values.
pub(crate) fn value_bytes(param: &Param, backend: &dyn Backend) -> Result<Vec<u8>> {
    let value = param.value();
    let dtype = value.dtype();
    let mut bytes = Vec::with_capacity(value.len() * dtype.bytes());
    // Host values are taken as they are; a device hands them over widened, which is exact.
    match (dtype, value.host::<f32>(), value.host::<f64>()) {
        (DType::F32, Ok(v), _) => v.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
        (DType::F64, _, Ok(v)) => v.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
        (DType::F32, ..) => {
            backend.download(value)?.iter().for_each(|v| bytes.extend_from_slice(&f32::of(*v).to_le_bytes()));
        }
        (DType::F64, ..) => backend.download(value)?.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes())),
    }
    Ok(bytes)
}
