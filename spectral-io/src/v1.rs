//! Files of format version 1: their headers, and the content hash that models had in them.
//!
//! Histories and deltas of such files name models by that hash, so it has to be taken for as long as they are read. It
//! is a hash over texts that the program printed at the time, settings with their defaults included; a file's own texts
//! are therefore used where there is a file. Nothing here may change.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::codec::{self, decode_fixed};
use crate::delta::{self, TrainableSet};
use crate::header::{
    self, AxisRecord, HashRecord, Header, KeptRecord, NODES, OthersRecord, PARAMS, ParamRecord, PenaltyRecord,
    SetRecord, SourceRecord, TrainableRecord,
};
use crate::layout::Prefix;
use crate::meta::MetaRecord;
use crate::positions::Coding;
use crate::{Error, Result, inspect};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use spectral_core::{ContentHash, DType, Graph, HashVersion, Mask, Meta, Model, Params, Shape, Source, little_endian};

#[derive(Deserialize)]
struct HeaderV1<'a> {
    /// In hexadecimal.
    hash: &'a str,
    input: Vec<u64>,
    #[serde(borrow, deserialize_with = "header::at_most::<_, _, NODES>")]
    nodes: Vec<NodeV1<'a>>,
    #[serde(borrow, deserialize_with = "header::at_most::<_, _, PARAMS>")]
    params: Vec<ParamV1<'a>>,
    /// JSON.
    meta: &'a [u8],
}

#[derive(Deserialize)]
struct NodeV1<'a> {
    name: &'a str,
    kind: &'a str,
    inputs: Vec<SourceRecord>,
    params: Vec<u32>,
    /// All settings, JSON.
    config: &'a [u8],
}

#[derive(Deserialize)]
struct ParamV1<'a> {
    name: &'a str,
    role: &'a str,
    dtype: &'a str,
    shape: Vec<u64>,
    axes: Vec<AxisRecord>,
    l1: f64,
    l2: f64,
    trainable: TrainableV1,
    pattern: Option<SetV1>,
    kept: Option<KeptV1>,
    values: SectionV1,
}

#[derive(Deserialize)]
enum TrainableV1 {
    All,
    None,
    Only(SectionV1),
}

#[derive(Clone, Copy, Deserialize)]
struct SetV1 {
    coding: Coding,
    section: SectionV1,
}

#[derive(Clone, Copy, Deserialize)]
struct KeptV1 {
    others: OthersRecord,
    set: SetV1,
}

#[derive(Clone, Copy, Deserialize)]
struct SectionV1 {
    /// From the first section.
    offset: u64,
    len: u64,
    crc32: u32,
}

/// The header of a model file, its sections where they say that they are.
pub(crate) fn header<'a>(prefix: &Prefix, bytes: &'a [u8]) -> Result<Header<'a>> {
    let old: HeaderV1<'a> = decode_fixed(bytes)?;
    let start = prefix.place(prefix.end(), 0);
    let node = |node: NodeV1<'a>| header::NodeRecord {
        name: node.name,
        kind: node.kind,
        version: 1,
        config: node.config,
        inputs: node.inputs,
        params: node.params,
    };
    let param = |param: ParamV1<'a>| ParamRecord {
        name: param.name,
        role: param.role,
        dtype: param.dtype,
        shape: param.shape,
        axes: param.axes,
        penalty: penalty(param.l1, param.l2),
        trainable: match param.trainable {
            TrainableV1::All => TrainableRecord::All,
            TrainableV1::None => TrainableRecord::None,
            TrainableV1::Only(section) => TrainableRecord::Only(section.convert(start)),
        },
        pattern: param.pattern.map(|set| set.convert(start)),
        kept: param.kept.map(|k| KeptRecord { others: k.others, set: k.set.convert(start) }),
        values: param.values.convert(start),
    };
    Ok(Header {
        hash: hash_record(old.hash)?,
        input: old.input,
        nodes: old.nodes.into_iter().map(node).collect(),
        params: old.params.into_iter().map(param).collect(),
        meta: meta_record(old.meta, old.hash)?,
    })
}

#[derive(Deserialize)]
struct DeltaHeaderV1<'a> {
    /// In hexadecimal.
    base: &'a str,
    hash: &'a str,
    #[serde(deserialize_with = "header::at_most::<_, _, PARAMS>")]
    params: Vec<DeltaV1>,
    /// JSON.
    meta: &'a [u8],
}

#[derive(Deserialize)]
struct DeltaV1 {
    id: u32,
    l1: f64,
    l2: f64,
    pruned: Option<SetV1>,
    trainable: Option<TrainableSetV1>,
    changed: SetV1,
    values: SectionV1,
}

#[derive(Deserialize)]
enum TrainableSetV1 {
    All,
    None,
    Only(SetV1),
}

/// The header of a delta file, its sections where they say that they are.
pub(crate) fn delta_header<'a>(prefix: &Prefix, bytes: &'a [u8]) -> Result<delta::Header<'a>> {
    let old: DeltaHeaderV1<'a> = decode_fixed(bytes)?;
    let start = prefix.place(prefix.end(), 0);
    let record = |record: DeltaV1| delta::Record {
        id: record.id,
        penalty: penalty(record.l1, record.l2),
        pruned: record.pruned.map(|set| set.convert(start)),
        trainable: record.trainable.map(|trainable| match trainable {
            TrainableSetV1::All => TrainableSet::All,
            TrainableSetV1::None => TrainableSet::None,
            TrainableSetV1::Only(set) => TrainableSet::Only(set.convert(start)),
        }),
        changed: record.changed.convert(start),
        values: record.values.convert(start),
    };
    Ok(delta::Header {
        base: hash_record(old.base)?,
        hash: hash_record(old.hash)?,
        params: old.params.into_iter().map(record).collect(),
        meta: meta_record(old.meta, old.hash)?,
    })
}

/// The hash that the text of a header is.
fn hash_record(text: &str) -> Result<HashRecord> {
    let hash = ContentHash::try_from(text.to_owned()).map_err(|e| Error::damaged("the header", e.to_string()))?;
    Ok(HashRecord::new(hash))
}

/// What a model remembers, from the one JSON document that it was.
fn meta_record<'a>(json: &[u8], hash: &str) -> Result<MetaRecord<'a>> {
    let meta: Meta = codec::from_json("meta data", json)?;
    MetaRecord::new(&meta, hash_record(hash)?.read()?)
}

/// Factors of a penalty, which were always written.
fn penalty(l1: f64, l2: f64) -> Option<PenaltyRecord> {
    (l1 != 0.0 || l2 != 0.0).then_some(PenaltyRecord { l1, l2 })
}

impl SetV1 {
    fn convert(self, start: u64) -> SetRecord {
        SetRecord { coding: self.coding, section: self.section.convert(start) }
    }
}

impl SectionV1 {
    fn convert(self, start: u64) -> header::SectionRecord {
        header::SectionRecord { len: self.len, offset: start.saturating_add(self.offset), crc32: self.crc32 }
    }
}

/// What version 1 printed about a node.
struct NodeText {
    name: String,
    kind: String,
    config: String,
    inputs: Vec<Source>,
    params: Vec<u32>,
}

/// The content hash of version 1 of a model with these nodes.
fn hash(dtype: DType, input: Shape, nodes: &[NodeText], model: &Model) -> Result<ContentHash> {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(bytes);
    };
    let extents: Vec<String> = input.extents().iter().map(usize::to_string).collect();
    part(format!("{dtype} [{}]", extents.join(", ")).as_bytes());
    for node in nodes {
        part(node.name.as_bytes());
        part(node.kind.as_bytes());
        part(node.config.as_bytes());
        let input = |source: &Source| match source {
            Source::Input => "Input".to_owned(),
            Source::Node(n) => format!("Node({n})"),
        };
        let inputs: Vec<String> = node.inputs.iter().map(input).collect();
        let params: Vec<String> = node.params.iter().map(|id| format!("ParamId({id})")).collect();
        part(format!("[{}] [{}]", inputs.join(", "), params.join(", ")).as_bytes());
    }
    values(model.params(), model, &mut hasher)?;
    let mut digest = [0; 16];
    digest.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
    Ok(ContentHash::new(HashVersion::V1, digest))
}

fn values(params: &Params, model: &Model, hasher: &mut Sha256) -> Result<()> {
    let length = |len: usize| u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes();
    for (_, param) in params.iter() {
        hasher.update(length(param.name.len()));
        hasher.update(param.name.as_bytes());
        hasher.update(length(param.value().len().saturating_mul(param.value().dtype().bytes())));
        little_endian(&**model.backend(), param.value(), |bytes| hasher.update(bytes))?;
        let mask = param.pruned().map_or(&[][..], Mask::words);
        hasher.update(length(mask.len().saturating_mul(8)));
        mask.iter().for_each(|word| hasher.update(word.to_le_bytes()));
        let entries = param.pattern.iter().flat_map(|p| p.starts().iter().chain(p.indices()));
        hasher.update(length(entries.clone().count().saturating_mul(4)));
        entries.for_each(|v| hasher.update(v.to_le_bytes()));
    }
    Ok(())
}

/// The content hash that version 1 would give `model`, as far as its layers have settings that version 1 had.
pub(crate) fn hash_of(model: &Model) -> Result<ContentHash> {
    let graph: &Graph = model.graph();
    let text = |node: &spectral_core::Node| {
        Ok(NodeText {
            name: node.name.clone(),
            kind: node.layer.kind().into(),
            config: node.layer.config()?.to_string(),
            inputs: node.inputs.clone(),
            params: node.params.iter().map(|id| id.0).collect(),
        })
    };
    let nodes = graph.nodes().iter().map(text).collect::<Result<Vec<_>>>()?;
    hash(model.dtype(), graph.input(), &nodes, model)
}

/// The content hash of the model that was loaded from a file of version 1 with this header, taken from its contents.
fn hash_of_file(header: &Header<'_>, model: &Model) -> Result<ContentHash> {
    let text = |node: &header::NodeRecord<'_>| {
        Ok(NodeText {
            name: node.name.into(),
            kind: node.kind.into(),
            config: String::from_utf8_lossy(node.config).into_owned(),
            inputs: node.inputs.iter().map(inspect::source).collect::<Result<_>>()?,
            params: node.params.clone(),
        })
    };
    let nodes = header.nodes.iter().map(text).collect::<Result<Vec<_>>>()?;
    hash(model.dtype(), inspect::shape("input", &header.input)?, &nodes, model)
}

/// Whether the file with this header, loaded as `model`, holds what version 1 called `hash`.
pub(crate) fn holds(header: &Header<'_>, model: &Model, hash: ContentHash) -> Result<bool> {
    match header.hash.read()?.version() {
        HashVersion::V1 => Ok(hash_of_file(header, model)? == hash),
        HashVersion::V2 => is(model, hash),
    }
}

/// Whether `model` is the one that version 1 called `hash`: it came from a file that did, or its layers still have the
/// settings they had then and no others.
pub(crate) fn is(model: &Model, hash: ContentHash) -> Result<bool> {
    if let Some(alias) = model.meta.alias.filter(|a| a.version_1 == hash)
        && model.content_hash()? == alias.hash
    {
        return Ok(true);
    }
    Ok(hash_of(model)? == hash)
}
