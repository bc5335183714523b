//! Deltas: what turns one model into another of the same form, in one small file.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::container::{Container, Opened};
use crate::encode::{self, grid_of};
use crate::header::{Digested, HashRecord, PARAMS, PenaltyRecord, SectionRecord, SetRecord, at_most};
use crate::layout::{DELTA, place_all};
use crate::meta::MetaRecord;
use crate::positions::{Coding, Grid};
use crate::sections::Sections;
use crate::source::{Data, Source};
use crate::{Error, Result, decode, v1};
use serde::{Deserialize, Serialize};
use spectral_core::{
    Alias, Backend, ContentHash, HashVersion, Mask, Model, Param, ParamId, Params, Trainable, little_endian,
};
use std::path::Path;

/// The header. Fields and order are the format, as in the model file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    /// Content hash of the model it was made from.
    pub(crate) base: HashRecord,
    /// Content hash of the model it makes.
    pub(crate) hash: HashRecord,
    /// The parameters that differ, by ascending id.
    #[serde(deserialize_with = "at_most::<_, _, PARAMS>")]
    pub(crate) params: Vec<Record>,
    /// What the model it makes remembers.
    #[serde(borrow)]
    pub(crate) meta: MetaRecord<'a>,
}

/// What is different about one parameter. Its sections come in the order of the fields.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u32,
    /// Of the model it makes.
    pub(crate) penalty: Option<PenaltyRecord>,
    /// The entries that are pruned in one of the two models alone.
    pub(crate) pruned: Option<SetRecord>,
    /// Which entries may move, if that differs.
    pub(crate) trainable: Option<TrainableSet>,
    /// The entries that are not pruned and whose bits differ.
    pub(crate) changed: SetRecord,
    /// Their values.
    pub(crate) values: SectionRecord,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum TrainableSet {
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
/// As [`save_delta`], except for writing.
pub fn delta_to_bytes(base: &Model, model: &Model) -> Result<Vec<u8>> {
    file(base, model)?.0.to_bytes()
}

/// The model that the delta at `path` makes of `base`, to the bits it was made from, on the backend of `base`.
///
/// # Errors
/// The file cannot be read, is not a delta of a known version, was made from another base, is damaged, or the device
/// failed.
pub fn load_delta(path: impl AsRef<Path>, base: &Model) -> Result<Model> {
    let path = path.as_ref();
    let opened = Source::open(path).and_then(|source| Opened::new(DELTA, source));
    opened.and_then(|file| applied(&file, base)).map_err(|e| e.in_file(path))
}

/// As [`load_delta`], from the bytes of a file.
///
/// # Errors
/// As [`load_delta`], except for reading.
pub fn delta_from_bytes(file: &[u8], base: &Model) -> Result<Model> {
    applied(&Opened::new(DELTA, Source::Memory(file))?, base)
}

fn applied(file: &Opened<'_>, base: &Model) -> Result<Model> {
    let mut header = match file.prefix.version {
        1 => v1::delta_header(&file.prefix, &file.header.records)?,
        _ => Header::read(&file.header)?,
    };
    place_all(&file.prefix, header.sections_mut())?;
    let data = Data::new(&file.source, &file.prefix, &header.sections())?;
    let (expected, promised) = (header.base.read()?, header.hash.read()?);
    check_base(base, expected)?;
    let mut model = base.duplicate()?;
    model.meta = header.meta.read()?;
    let (params, backend) = model.params_mut();
    let mut next = 0;
    for record in &header.params {
        if record.id < next || ParamId(record.id).index() >= params.len() {
            return Err(Error::damaged("the header", format!("there is no parameter {} in its place", record.id)));
        }
        next = record.id.saturating_add(1);
        apply(record, &data, params, backend)?;
    }
    let hash = model.content_hash()?;
    let kept = match promised.version() {
        HashVersion::V2 => hash == promised,
        // Layers that have other settings by now have another hash of version 1; that of the base shows whether they
        // do.
        HashVersion::V1 => v1::hash_of(&model)? == promised || v1::hash_of(base)? != expected,
    };
    if !kept {
        return Err(Error::damaged("the delta", "it does not give the model it was made for"));
    }
    if promised.version() == HashVersion::V1 {
        model.meta.alias = Some(Alias { hash, version_1: promised });
    }
    Ok(model)
}

/// Checks that a delta on the model `expected` was made from `base`.
fn check_base(base: &Model, expected: ContentHash) -> Result<()> {
    let (is, found) = match expected.version() {
        HashVersion::V2 => {
            let found = base.content_hash()?;
            (found == expected, found)
        }
        HashVersion::V1 => (v1::is(base, expected)?, v1::hash_of(base)?),
    };
    if is { Ok(()) } else { Err(Error::Base { expected: expected.to_string(), found: found.to_string() }) }
}

fn file(base: &Model, model: &Model) -> Result<(Container<'static>, DeltaReport)> {
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
    let header = Header {
        base: HashRecord::new(base),
        hash: HashRecord::new(hash),
        params: records,
        meta: MetaRecord::new(&model.meta, hash)?,
    };
    let file = Container::new(DELTA, header, sections)?;
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
    sections: &mut Sections<'static>,
) -> Result<Option<(Record, usize)>> {
    let grid = grid(new)?;
    let is_pruned = |p: &Param, i: usize| p.pruned().is_some_and(|m| m.contains(i));
    // The values of the base are copied, of one parameter at a time.
    let mut before = Vec::new();
    little_endian(&**base.backend(), old.value(), |bytes| before.extend_from_slice(bytes))?;
    let mut before = before.chunks_exact(new.value().dtype().bytes());
    let mut changed = Mask::none(grid.len());
    let mut values = Vec::new();
    encode::each_value(new.value(), &**model.backend(), |i, after| {
        // What the mask zeroes needs no value.
        if before.next() != Some(after) && !is_pruned(new, i) {
            changed.insert(i);
            values.extend_from_slice(after);
        }
    })?;
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
    let penalty = encode::penalty(new.penalty);
    let values = sections.push(values);
    Ok(Some((Record { id: id.0, penalty, pruned, trainable, changed: set, values }, changed.count())))
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
        let count = decode::count(record.coding, &bytes, grid).ok_or_else(|| damaged("a set has the wrong length"))?;
        let mut mask = Mask::none(grid.len());
        record.coding.decode(&bytes, grid, count, |p| mask.insert(p)).map_err(damaged)?;
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
    params.set_penalty(id, decode::penalty(&name, record.penalty)?);
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

impl Digested for Header<'_> {
    fn hashes(&mut self) -> Vec<&mut HashRecord> {
        [&mut self.base, &mut self.hash].into_iter().chain(self.meta.hashes()).collect()
    }

    fn sections_mut(&mut self) -> Vec<&mut SectionRecord> {
        self.params.iter_mut().flat_map(Record::sections_mut).collect()
    }

    fn sections(&self) -> Vec<(&str, SectionRecord)> {
        self.params.iter().flat_map(Record::sections).map(|section| ("a parameter", section)).collect()
    }
}

impl Record {
    /// Its sections in file order.
    fn sections(&self) -> impl Iterator<Item = SectionRecord> {
        let trainable = match self.trainable {
            Some(TrainableSet::Only(set)) => Some(set.section),
            _ => None,
        };
        let pruned = self.pruned.map(|set| set.section);
        pruned.into_iter().chain(trainable).chain([self.changed.section, self.values])
    }

    fn sections_mut(&mut self) -> Vec<&mut SectionRecord> {
        let trainable = match &mut self.trainable {
            Some(TrainableSet::Only(set)) => Some(&mut set.section),
            _ => None,
        };
        let pruned = self.pruned.as_mut().map(|set| &mut set.section);
        pruned.into_iter().chain(trainable).chain([&mut self.changed.section, &mut self.values]).collect()
    }
}
