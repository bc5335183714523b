//! The records of a model's header. Their fields and order are the format: a change needs a new version.
//!
//! Hashes and checksums are skipped here. They cannot be compressed, so they stand in front of the records, see
//! [`Digested`].

use crate::codec::{self, Unpacked};
use crate::meta::MetaRecord;
use crate::positions::Coding;
use crate::{Error, Result};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use spectral_core::{ContentHash, HashVersion};
use std::marker::PhantomData;

/// The most nodes, parameters and axes that a file may have.
pub(crate) const NODES: usize = 1 << 16;
pub(crate) const PARAMS: usize = 1 << 17;
const AXES: usize = 8;

/// The whole header.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header<'a> {
    /// Content hash of the model.
    pub(crate) hash: HashRecord,
    /// Shape of an input sample.
    pub(crate) input: Vec<u64>,
    /// Nodes in execution order.
    #[serde(borrow, deserialize_with = "at_most::<_, _, NODES>")]
    pub(crate) nodes: Vec<NodeRecord<'a>>,
    /// Parameters, by id.
    #[serde(borrow, deserialize_with = "at_most::<_, _, PARAMS>")]
    pub(crate) params: Vec<ParamRecord<'a>>,
    pub(crate) meta: MetaRecord<'a>,
}

/// A content hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HashRecord {
    version: u8,
    #[serde(skip)]
    digest: [u8; 16],
}

/// One node of the graph.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeRecord<'a> {
    pub(crate) name: &'a str,
    /// Registry name of the layer.
    pub(crate) kind: &'a str,
    /// Version of the settings.
    pub(crate) version: u32,
    /// Settings that do not have their default value, JSON.
    pub(crate) config: &'a [u8],
    pub(crate) inputs: Vec<SourceRecord>,
    /// Ids of its parameters, by slot.
    pub(crate) params: Vec<u32>,
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
    #[serde(deserialize_with = "at_most::<_, _, AXES>")]
    pub(crate) shape: Vec<u64>,
    #[serde(deserialize_with = "at_most::<_, _, AXES>")]
    pub(crate) axes: Vec<AxisRecord>,
    pub(crate) penalty: Option<PenaltyRecord>,
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
pub(crate) struct PenaltyRecord {
    pub(crate) l1: f64,
    pub(crate) l2: f64,
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

/// A run of bytes. Where it is follows from the lengths of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SectionRecord {
    pub(crate) len: u64,
    /// From the start of the file; known once the length of the header is.
    #[serde(skip)]
    pub(crate) offset: u64,
    #[serde(skip)]
    pub(crate) crc32: u32,
}

/// A header that can be written: records, and the hashes and checksums that they leave out.
pub(crate) trait Digested: Sized {
    /// Its hashes.
    fn hashes(&mut self) -> Vec<&mut HashRecord>;

    /// Its sections, in file order.
    fn sections_mut(&mut self) -> Vec<&mut SectionRecord>;

    /// The same, each with the name of what it belongs to.
    fn sections(&self) -> Vec<(&str, SectionRecord)>;

    /// The bytes of the header.
    fn pack(mut self) -> Result<Vec<u8>>
    where
        Self: Serialize,
    {
        let mut digests: Vec<u8> = self.hashes().iter().flat_map(|h| h.digest).collect();
        digests.extend(self.sections_mut().iter().flat_map(|s| s.crc32.to_le_bytes()));
        Unpacked { digests: digests.into(), records: codec::encode(&self)?.into() }.pack()
    }

    /// The header that was unpacked, with its hashes and checksums in their places.
    fn read<'a>(unpacked: &'a Unpacked<'_>) -> Result<Self>
    where
        Self: Deserialize<'a>,
    {
        let mut header: Self = codec::decode(&unpacked.records)?;
        let mut rest = &*unpacked.digests;
        let short = || Error::damaged("the header", "it has too few hashes");
        for hash in header.hashes() {
            let (digest, after) = rest.split_first_chunk().ok_or_else(short)?;
            (hash.digest, rest) = (*digest, after);
        }
        for section in header.sections_mut() {
            let (crc32, after) = rest.split_first_chunk().ok_or_else(short)?;
            (section.crc32, rest) = (u32::from_le_bytes(*crc32), after);
        }
        if rest.is_empty() { Ok(header) } else { Err(Error::damaged("the header", "it has too many hashes")) }
    }
}

impl Digested for Header<'_> {
    fn hashes(&mut self) -> Vec<&mut HashRecord> {
        [&mut self.hash].into_iter().chain(self.meta.hashes()).collect()
    }

    fn sections_mut(&mut self) -> Vec<&mut SectionRecord> {
        self.params.iter_mut().flat_map(ParamRecord::sections_mut).collect()
    }

    fn sections(&self) -> Vec<(&str, SectionRecord)> {
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

    fn sections_mut(&mut self) -> Vec<&mut SectionRecord> {
        let trainable = match &mut self.trainable {
            TrainableRecord::Only(section) => Some(section),
            TrainableRecord::All | TrainableRecord::None => None,
        };
        let pattern = self.pattern.as_mut().map(|p| &mut p.section);
        let kept = self.kept.as_mut().map(|k| &mut k.set.section);
        pattern.into_iter().chain(kept).chain([&mut self.values]).chain(trainable).collect()
    }

    /// Bytes of all its sections.
    pub(crate) fn bytes(&self) -> u64 {
        self.sections().fold(0, |sum, s| sum.saturating_add(s.len))
    }
}

impl HashRecord {
    /// The record of `hash`.
    pub(crate) fn new(hash: ContentHash) -> Self {
        let version = match hash.version() {
            HashVersion::V1 => 1,
            HashVersion::V2 => 2,
        };
        Self { version, digest: hash.digest() }
    }

    /// The hash it holds.
    pub(crate) fn read(&self) -> Result<ContentHash> {
        let version = match self.version {
            1 => HashVersion::V1,
            2 => HashVersion::V2,
            other => return Err(Error::damaged("the header", format!("it has a hash of version {other}"))),
        };
        Ok(ContentHash::new(version, self.digest))
    }
}

/// A list that stops being read at element `N`, so that a short file cannot unfold into a long one.
pub(crate) fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const N: usize>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct AtMost<T, const N: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for AtMost<T, N> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {N} elements")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = from.next_element()? {
                if list.len() == N {
                    return Err(serde::de::Error::custom(format!("a list has more than {N} elements")));
                }
                list.push(element);
            }
            Ok(list)
        }
    }
    from.deserialize_seq(AtMost::<T, N>(PhantomData))
}
