//! The records of the header. Their fields and order are the format: a change needs a new version.

use crate::positions::Coding;
use serde::{Deserialize, Serialize};

/// The whole header.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    /// Content hash of the model, in hexadecimal.
    pub(crate) hash: &'a str,
    /// Shape of an input sample.
    pub(crate) input: Vec<u64>,
    /// Nodes in execution order.
    #[serde(borrow)]
    pub(crate) nodes: Vec<NodeRecord<'a>>,
    /// Parameters, by id.
    pub(crate) params: Vec<ParamRecord<'a>>,
    /// Meta data, JSON.
    pub(crate) meta: &'a [u8],
}

/// One node of the graph.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeRecord<'a> {
    pub(crate) name: &'a str,
    /// Registry name of the layer.
    pub(crate) kind: &'a str,
    pub(crate) inputs: Vec<SourceRecord>,
    /// Ids of its parameters, by slot.
    pub(crate) params: Vec<u32>,
    /// Hyper-parameters, JSON.
    pub(crate) config: &'a [u8],
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum SourceRecord {
    Input,
    Node(u64),
}

/// One parameter: what it is, and where its bytes are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParamRecord<'a> {
    pub(crate) name: &'a str,
    /// Name of the role.
    pub(crate) role: &'a str,
    /// `f32` or `f64`.
    pub(crate) dtype: &'a str,
    /// Extents of the whole tensor, stored or not.
    pub(crate) shape: Vec<u64>,
    pub(crate) axes: Vec<AxisRecord>,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) trainable: TrainableRecord,
    /// Where the entries of a sparse matrix are; the values are then a vector over these.
    pub(crate) pattern: Option<SetRecord>,
    /// Which values are written; `None` means every one.
    pub(crate) kept: Option<KeptRecord>,
    /// The written values, one after the other.
    pub(crate) values: SectionRecord,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum AxisRecord {
    Out,
    In,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum TrainableRecord {
    All,
    None,
    /// The entries whose bit is set.
    Only(SectionRecord),
}

/// A set of positions.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SetRecord {
    pub(crate) coding: Coding,
    pub(crate) section: SectionRecord,
}

/// The positions of the written values, and what the others are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct KeptRecord {
    pub(crate) others: OthersRecord,
    pub(crate) set: SetRecord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OthersRecord {
    /// Pruned: zero for good. The set is the mask.
    Pruned,
    /// Zero at the moment.
    Zero,
}

/// A run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionRecord {
    /// From the first section.
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) crc32: u32,
}

impl Header<'_> {
    /// All sections in file order, each with the name of its parameter.
    pub(crate) fn sections(&self) -> Vec<(&str, SectionRecord)> {
        self.params.iter().flat_map(|p| p.sections().map(move |s| (p.name, *s))).collect()
    }
}

impl ParamRecord<'_> {
    /// Its sections in file order.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &SectionRecord> {
        let trainable = match &self.trainable {
            TrainableRecord::Only(section) => Some(section),
            TrainableRecord::All | TrainableRecord::None => None,
        };
        let pattern = self.pattern.as_ref().map(|p| &p.section);
        let kept = self.kept.as_ref().map(|k| &k.set.section);
        pattern.into_iter().chain(kept).chain([&self.values]).chain(trainable)
    }

    /// Bytes of all its sections.
    pub(crate) fn bytes(&self) -> u64 {
        self.sections().fold(0, |sum, s| sum.saturating_add(s.len))
    }
}
