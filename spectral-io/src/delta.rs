//! Deltas: what turns one model into another of the same form, in one small file.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::container::{self, Container};
use crate::encode::{self, grid_of};
use crate::header::{SectionRecord, SetRecord};
use crate::layout::{self, DELTA, Data, Sections};
use crate::positions::{Coding, Grid};
use crate::{Error, Result, codec, decode};
use serde::{Deserialize, Serialize};
use spectral_core::{Backend, ContentHash, Mask, Meta, Model, Param, ParamId, Params, Penalty, Trainable};
use std::path::Path;

/// The header. Fields and order are the format, as in the model file.
#[derive(Debug, Serialize, Deserialize)]
struct Header<'a> {
    /// Content hash of the model it was made from, in hexadecimal.
    base: &'a str,
    /// Content hash of the model it makes.
    hash: &'a str,
    /// The parameters that differ, by ascending id.
    params: Vec<Record>,
    /// Meta data of the model it makes, JSON.
    meta: &'a [u8],
}

/// What is different about one parameter. Its sections come in the order of the fields.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    id: u32,
    l1: f64,
    l2: f64,
    /// The entries that are pruned in one of the two models alone.
    pruned: Option<SetRecord>,
    /// Which entries may move, if that differs.
    trainable: Option<TrainableSet>,
    /// The entries that are not pruned and whose bits differ.
    changed: SetRecord,
    /// Their values.
    values: SectionRecord,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum TrainableSet {
    All,
    None,
    Only(SetRecord),
}

/// What a delta file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaReport {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Content hash of the model it was made from.
    pub base: ContentHash,
    /// Content hash of the model it makes.
    pub hash: ContentHash,
    /// Entries whose value differs, per parameter that differs.
    pub changed: Vec<(String, usize)>,
}

/// Writes to `path` what turns `base` into `model`: every entry whose bits differ, zeros too, of weights and biases,
/// with masks, frozen entries, penalties, history and the like. All of the file is written or nothing.
///
/// A model of which only selected entries were trained differs from its base in these alone; so its delta is as
/// small as the selection. Source: Sparana G7 to G10.
///
/// # Errors
/// The models differ in more than that (layers, shapes, patterns, element type), the system refuses to write, or a
/// device failed.
pub fn save_delta(path: impl AsRef<Path>, base: &Model, model: &Model) -> Result<DeltaReport> {
    let path = path.as_ref();
    let (file, report) = file(base, model).map_err(|e| e.in_file(path))?;
    file.save(path)?;
    Ok(report)
}

/// The bytes that [`save_delta`] writes.
///
/// # Errors
/// As [`save_delta`], but for writing.
pub fn delta_to_bytes(base: &Model, model: &Model) -> Result<Vec<u8>> {
    file(base, model)?.0.to_bytes().map_err(|e| Error::Unsupported(e.to_string()))
}

/// The model that the delta at `path` makes of `base`, to the bits it was made from, on the backend of `base`.
///
/// # Errors
/// The file cannot be read, is not a delta of a known version, was made from another base, is damaged, or the device
/// failed.
pub fn load_delta(path: impl AsRef<Path>, base: &Model) -> Result<Model> {
    let path = path.as_ref();
    let model = container::read(DELTA, path).and_then(|bytes| delta_from_bytes(&bytes, base));
    model.map_err(|e| e.in_file(path))
}

/// As [`load_delta`], from the bytes of a file.
///
/// # Errors
/// As [`load_delta`], but for reading.
pub fn delta_from_bytes(file: &[u8], base: &Model) -> Result<Model> {
    let (prefix, header): (_, Header<'_>) = container::open(DELTA, file)?;
    let sections = header.sections();
    layout::check_table(&prefix, &sections)?;
    let data = Data::new(file, &prefix, &sections)?;
    let found = base.content_hash()?.to_string();
    if header.base != found {
        return Err(Error::Base { expected: header.base.into(), found });
    }
    let meta: Meta = codec::from_json("meta data", header.meta)?;
    let mut model = base.duplicate()?;
    model.meta = meta;
    let (params, backend) = model.params_mut();
    let mut next = 0;
    for record in &header.params {
        if record.id < next || ParamId(record.id).index() >= params.len() {
            return Err(Error::damaged("the header", format!("there is no parameter {} in its place", record.id)));
        }
        next = record.id.saturating_add(1);
        apply(record, &data, params, backend)?;
    }
    if model.content_hash()?.to_string() != header.hash {
        return Err(Error::damaged("the delta", "it does not give the model it was made for"));
    }
    Ok(model)
}

fn file(base: &Model, model: &Model) -> Result<(Container, DeltaReport)> {
    same_form(base, model)?;
    let mut sections = Sections::default();
    let mut records = Vec::new();
    let mut changed = Vec::new();
    for ((id, old), (_, new)) in base.params().iter().zip(model.params().iter()) {
        if let Some((record, count)) = difference(id, (base, old), (model, new), &mut sections)? {
            records.push(record);
            changed.push((new.name.clone(), count));
        }
    }
    let (base, hash) = (base.content_hash()?, model.content_hash()?);
    let (base_text, hash_text) = (base.to_string(), hash.to_string());
    let meta = codec::to_json("meta data", &model.meta)?;
    let header = Header { base: &base_text, hash: &hash_text, params: records, meta: &meta };
    let file = Container::new(DELTA, &header, sections)?;
    let report = DeltaReport { bytes: file.bytes(), base, hash, changed };
    Ok((file, report))
}

/// Checks that two models differ in nothing that a delta does not hold.
fn same_form(base: &Model, model: &Model) -> Result<()> {
    let different = |what: &str| Error::Unsupported(format!("{what} of the two models differ; save the whole model"));
    let (a, b) = (base.graph(), model.graph());
    if base.dtype() != model.dtype() || a.input() != b.input() || a.nodes().len() != b.nodes().len() {
        return Err(different("inputs, element types or numbers of layers"));
    }
    for (x, y) in a.nodes().iter().zip(b.nodes()) {
        let same = x.name == y.name && x.inputs == y.inputs && x.params == y.params;
        if !same || x.layer.kind() != y.layer.kind() || x.layer.config()? != y.layer.config()? {
            return Err(different(&format!("layers `{}` and `{}`", x.name, y.name)));
        }
    }
    for ((_, p), (_, q)) in base.params().iter().zip(model.params().iter()) {
        if p.name != q.name || p.value().shape() != q.value().shape() || p.pattern != q.pattern {
            return Err(different(&format!("shapes or patterns of `{}` and `{}`", p.name, q.name)));
        }
    }
    Ok(())
}

/// What differs about one parameter, and in how many values; `None` if nothing does.
fn difference(
    id: ParamId,
    (base, old): (&Model, &Param),
    (model, new): (&Model, &Param),
    sections: &mut Sections,
) -> Result<Option<(Record, usize)>> {
    let (before, after) = (encode::value_bytes(old, &**base.backend())?, encode::value_bytes(new, &**model.backend())?);
    let width = new.value().dtype().bytes();
    let grid = grid(new)?;
    let is_pruned = |p: &Param, i: usize| p.pruned().is_some_and(|m| m.contains(i));
    let mut changed = Mask::none(grid.len());
    let mut values = Vec::new();
    for (i, (a, b)) in before.chunks_exact(width).zip(after.chunks_exact(width)).enumerate() {
        // What the mask zeroes needs no value.
        if a != b && !is_pruned(new, i) {
            changed.insert(i);
            values.extend_from_slice(b);
        }
    }
    let pruned = match old.pruned() == new.pruned() {
        true => None,
        false => Some(Mask::from_fn(grid.len(), |i| is_pruned(old, i) != is_pruned(new, i))),
    };
    let frees = old.trainable != new.trainable;
    if changed.count() == 0 && pruned.is_none() && !frees && old.penalty == new.penalty {
        return Ok(None);
    }
    let mut push = |mask: &Mask| encode::set(grid, mask.count(), || mask.iter(), &Coding::ALL, sections);
    let pruned = pruned.as_ref().map(&mut push).transpose()?;
    let trainable = match (frees, &new.trainable) {
        (false, _) => None,
        (true, Trainable::All) => Some(TrainableSet::All),
        (true, Trainable::None) => Some(TrainableSet::None),
        (true, Trainable::Only(mask)) => Some(TrainableSet::Only(push(mask)?)),
    };
    let set = push(&changed)?;
    let Penalty { l1, l2 } = new.penalty;
    let values = sections.push(values);
    Ok(Some((Record { id: id.0, l1, l2, pruned, trainable, changed: set, values }, changed.count())))
}

/// Changes one parameter.
fn apply(record: &Record, data: &Data<'_>, params: &mut Params, backend: &dyn Backend) -> Result<()> {
    let id = ParamId(record.id);
    let param = params.get(id);
    let (grid, name) = (grid(param)?, param.name.clone());
    let damaged = |problem: &str| Error::damaged(format!("`{name}`"), problem);
    let width = param.value().dtype().bytes();
    let set = |record: &SetRecord| -> Result<Mask> {
        let bytes = data.section(&name, &record.section)?;
        let count = decode::count(record.coding, bytes, grid).ok_or_else(|| damaged("a set has the wrong length"))?;
        let mut mask = Mask::none(grid.len());
        record.coding.decode(bytes, grid, count, |p| mask.insert(p)).map_err(damaged)?;
        Ok(mask)
    };
    let changed = set(&record.changed)?;
    let values = data.section(&name, &record.values)?;
    if Some(values.len()) != changed.count().checked_mul(width) {
        return Err(damaged("it has another number of values than of entries that differ"));
    }
    let pruned = match &record.pruned {
        None => None,
        Some(flipped) => {
            let flipped = set(flipped)?;
            let now = |i| param.pruned().is_some_and(|m| m.contains(i)) != flipped.contains(i);
            Some(Mask::from_fn(grid.len(), now))
        }
    };
    let trainable = match &record.trainable {
        None => None,
        Some(TrainableSet::All) => Some(Trainable::All),
        Some(TrainableSet::None) => Some(Trainable::None),
        Some(TrainableSet::Only(entries)) => Some(Trainable::Only(set(entries)?)),
    };
    if let Some(mask) = pruned {
        params.set_pruned(backend, id, Some(mask))?;
    }
    if let Some(trainable) = trainable {
        params.set_trainable(id, trainable)?;
    }
    params.set_penalty(id, Penalty { l1: record.l1, l2: record.l2 });
    params.edit(backend, id, |tensor| {
        let mut all = backend.download(tensor)?;
        for (position, bytes) in changed.iter().zip(values.chunks_exact(width)) {
            if let (Some(slot), Some(value)) = (all.get_mut(position), read(bytes)) {
                *slot = value;
            }
        }
        backend.write(&all, tensor)
    })?;
    Ok(())
}

/// A value of 4 or 8 bytes, widened.
fn read(bytes: &[u8]) -> Option<f64> {
    let narrow = bytes.try_into().map(|b| f64::from(f32::from_le_bytes(b)));
    narrow.or_else(|_| bytes.try_into().map(f64::from_le_bytes)).ok()
}

fn grid(param: &Param) -> Result<Grid> {
    grid_of(param.value().shape()).ok_or_else(|| Error::Unsupported(format!("`{}` has too many entries", param.name)))
}

impl Header<'_> {
    /// All sections in file order.
    fn sections(&self) -> Vec<(&str, SectionRecord)> {
        let of = |record: &Record| {
            let trainable = match record.trainable {
                Some(TrainableSet::Only(set)) => Some(set.section),
                _ => None,
            };
            let pruned = record.pruned.map(|set| set.section);
            pruned.into_iter().chain(trainable).chain([record.changed.section, record.values])
        };
        self.params.iter().flat_map(of).map(|section| ("a parameter", section)).collect()
    }
}
