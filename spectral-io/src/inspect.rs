//! What a model file says about itself, without building the model.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::container::Opened;
use crate::header::{NodeRecord, OthersRecord, ParamRecord, SourceRecord, TrainableRecord};
use crate::layout::MODEL;
use crate::positions::Coding;
use crate::source::Source;
use crate::{Error, Result, codec, reader};
use spectral_core::{ContentHash, DType, LayerEntry, Meta, ParamId, Role, Shape, registry};
use std::path::Path;

/// The contents of a header.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Format version.
    pub version: u16,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Length of the header in bytes.
    pub header_bytes: u64,
    /// Content hash the model had when it was saved.
    pub hash: ContentHash,
    /// Shape of an input sample.
    pub input: Shape,
    /// Nodes in execution order.
    pub nodes: Vec<NodeInfo>,
    /// Parameters, by id.
    pub tensors: Vec<TensorReport>,
    /// Origin, preprocessing and history.
    pub meta: Meta,
}

/// One node, of a known kind or not.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Registry name of its layer.
    pub kind: String,
    /// Whether a linked crate registered that kind.
    pub known: bool,
    /// Where it takes its inputs from.
    pub inputs: Vec<spectral_core::Source>,
    /// Indices of its parameters in [`Inspection::tensors`].
    pub params: Vec<usize>,
    /// Its settings, in files of version 2 only those that do not have their default.
    pub config: serde_json::Value,
}

/// How one parameter is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorReport {
    /// Its name, `node.parameter`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its element type.
    pub dtype: DType,
    /// Extents of the whole tensor, stored or not.
    pub shape: Shape,
    /// Where its values are.
    pub encoding: Encoding,
    /// What the entries without a stored value are.
    pub others: Others,
    /// Stored values.
    pub stored: u64,
    /// Whether only some of its entries may be trained.
    pub partly_trainable: bool,
    /// Bytes it takes in the file, without padding.
    pub bytes: u64,
    /// Bytes it would take with every entry written out.
    pub dense_bytes: u64,
}

/// Where the stored values of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// Every entry is stored.
    Dense,
    /// One bit an entry.
    Bitmask,
    /// Row starts and 16-bit columns.
    CsrU16,
    /// Row starts and 32-bit columns.
    CsrU32,
    /// One byte for the distance to each next entry.
    Gaps,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Dense => "dense",
            Self::Bitmask => "bitmask",
            Self::CsrU16 => "csr-u16",
            Self::CsrU32 => "csr-u32",
            Self::Gaps => "gaps-u8",
        })
    }
}

impl From<Coding> for Encoding {
    fn from(coding: Coding) -> Self {
        match coding {
            Coding::Bitmask => Self::Bitmask,
            Coding::CsrU16 => Self::CsrU16,
            Coding::CsrU32 => Self::CsrU32,
            Coding::Gaps => Self::Gaps,
        }
    }
}

/// What the entries of a tensor are that have no stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// There are none.
    Stored,
    /// Pruned: zero for good.
    Pruned,
    /// Zero at the moment, and free to change.
    Zero,
    /// Not part of the sparse matrix.
    Absent,
}

impl Inspection {
    /// Kinds of layers that no linked crate registered.
    pub fn unknown_kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.nodes.iter().filter(|n| !n.known).map(|n| n.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn new(file: &Opened<'_>) -> Result<Self> {
        let header = reader::header(file)?;
        let node = |n: &NodeRecord<'_>| -> Result<NodeInfo> {
            Ok(NodeInfo {
                name: n.name.into(),
                kind: n.kind.into(),
                known: registry::find::<LayerEntry>(n.kind).is_ok(),
                inputs: n.inputs.iter().map(source).collect::<Result<_>>()?,
                params: n.params.iter().map(|&p| ParamId(p).index()).collect(),
                config: codec::from_json(n.name, n.config)?,
            })
        };
        Ok(Self {
            version: file.prefix.version,
            bytes: file.prefix.total,
            header_bytes: file.prefix.header,
            hash: header.hash.read()?,
            input: shape("input", &header.input)?,
            nodes: header.nodes.iter().map(node).collect::<Result<_>>()?,
            tensors: header.params.iter().map(TensorReport::new).collect::<Result<_>>()?,
            meta: header.meta.read()?,
        })
    }
}

impl TensorReport {
    pub(crate) fn new(record: &ParamRecord<'_>) -> Result<Self> {
        let shape = shape(record.name, &record.shape)?;
        let dtype = dtype(record)?;
        let (encoding, others) = match (&record.pattern, &record.kept) {
            (Some(set), _) => (set.coding.into(), Others::Absent),
            (None, Some(kept)) => (
                kept.set.coding.into(),
                match kept.others {
                    OthersRecord::Pruned => Others::Pruned,
                    OthersRecord::Zero => Others::Zero,
                },
            ),
            (None, None) => (Encoding::Dense, Others::Stored),
        };
        let element = match dtype {
            DType::F32 => 4,
            DType::F64 => 8,
        };
        Ok(Self {
            name: record.name.into(),
            role: role(record)?,
            dtype,
            shape,
            encoding,
            others,
            stored: record.values.len / element,
            partly_trainable: matches!(record.trainable, TrainableRecord::Only(_)),
            bytes: record.bytes(),
            dense_bytes: record.shape.iter().fold(element, |n, &e| n.saturating_mul(e)),
        })
    }
}

/// Reads what the file at `path` says about itself. Layers of unknown kinds are listed, not refused.
///
/// # Errors
/// The file cannot be read, is not a model file of a known version, or its header is damaged. Values are not looked
/// at; only [`load`](crate::load) checks them.
pub fn read_header(path: impl AsRef<Path>) -> Result<Inspection> {
    let path = path.as_ref();
    let opened = Source::open(path).and_then(|source| Opened::new(MODEL, source));
    opened.and_then(|file| Inspection::new(&file)).map_err(|e| e.in_file(path))
}

/// Reads what a model file in memory says about itself; see [`read_header`].
///
/// # Errors
/// As [`read_header`].
pub fn inspect(file: &[u8]) -> Result<Inspection> {
    Inspection::new(&Opened::new(MODEL, Source::Memory(file))?)
}

/// A shape that the part of this name is said to have.
pub(crate) fn shape(part: &str, extents: &[u64]) -> Result<Shape> {
    Shape::try_from(extents.to_vec()).map_err(|e| Error::damaged(format!("`{part}`"), e.to_string()))
}

pub(crate) fn source(record: &SourceRecord) -> Result<spectral_core::Source> {
    Ok(match *record {
        SourceRecord::Input => spectral_core::Source::Input,
        SourceRecord::Node(n) => spectral_core::Source::Node(
            usize::try_from(n).map_err(|_| Error::damaged("the graph", format!("there is no node {n}")))?,
        ),
    })
}

pub(crate) fn role(record: &ParamRecord<'_>) -> Result<Role> {
    let known = Role::ALL.into_iter().find(|r| r.name() == record.role);
    known
        .ok_or_else(|| Error::damaged(format!("`{}`", record.name), format!("its role `{}` is not known", record.role)))
}

pub(crate) fn dtype(record: &ParamRecord<'_>) -> Result<DType> {
    match record.dtype {
        "f32" => Ok(DType::F32),
        "f64" => Ok(DType::F64),
        other => Err(Error::damaged(format!("`{}`", record.name), format!("its element type `{other}` is not known"))),
    }
}
