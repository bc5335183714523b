//! The fixed part at the start of the file, and where sections lie.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::codec::HEADER_LIMIT;
use crate::header::SectionRecord;
use crate::{Error, Result};

/// The first bytes of every model file.
pub const MAGIC: [u8; 8] = *b"SPECTRAL";

/// What a file holds: its first bytes, and what errors call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    magic: [u8; 8],
    name: &'static str,
}

/// A whole model.
pub(crate) const MODEL: Kind = Kind { magic: MAGIC, name: "model" };

/// What turns one model into another.
pub(crate) const DELTA: Kind = Kind { magic: *b"SPECDELT", name: "delta" };

/// The format version written, and the newest one read.
pub const VERSION: u16 = 1;

/// Length of the fixed part, as an index and as a place in the file.
pub(crate) const PREFIX: usize = 32;
pub(crate) const PREFIX_END: u64 = 32;

const ALIGN: u64 = 64;

/// The fixed part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefix {
    kind: Kind,
    pub(crate) codec: u8,
    crc32: u32,
    /// Length of the file.
    pub(crate) total: u64,
    /// Length of the header.
    pub(crate) header: u64,
}

impl Prefix {
    /// For a file of `total` bytes with this header.
    pub(crate) fn new(kind: Kind, codec: u8, header: &[u8], total: u64) -> Self {
        let header_len = u64::try_from(header.len()).unwrap_or(u64::MAX);
        let mut prefix = Self { kind, codec, crc32: 0, total, header: header_len };
        prefix.crc32 = prefix.checksum(header);
        prefix
    }

    /// Its bytes.
    pub(crate) fn to_bytes(self) -> [u8; PREFIX] {
        let mut bytes = [0; PREFIX];
        let fields = self.kind.magic.into_iter().chain(VERSION.to_le_bytes()).chain([self.codec, 0]);
        let fields = fields.chain(self.crc32.to_le_bytes());
        let fields = fields.chain(self.total.to_le_bytes()).chain(self.header.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads the start of a file of `available` bytes.
    pub(crate) fn parse(kind: Kind, bytes: &[u8], available: u64) -> Result<Self> {
        let damaged = |problem: String| Error::damaged("the file", problem);
        let Some(mut rest) = bytes.strip_prefix(kind.magic.as_slice()) else {
            return Err(Error::Magic { kind: kind.name, start: String::from_utf8_lossy(&kind.magic).into_owned() });
        };
        let truncated = || damaged(format!("it ends after {available} bytes, inside its first {PREFIX}"));
        let version = u16::from_le_bytes(take(&mut rest).ok_or_else(truncated)?);
        let [codec, zero] = take(&mut rest).ok_or_else(truncated)?;
        let crc32 = u32::from_le_bytes(take(&mut rest).ok_or_else(truncated)?);
        let total = u64::from_le_bytes(take(&mut rest).ok_or_else(truncated)?);
        let header = u64::from_le_bytes(take(&mut rest).ok_or_else(truncated)?);
        if version > VERSION {
            return Err(Error::Newer { found: version, newest: VERSION });
        }
        if version == 0 || zero != 0 {
            return Err(damaged(format!("format version {version}, reserved byte {zero}")));
        }
        if total != available {
            return Err(damaged(format!("it says that it is {total} bytes long, but it has {available}")));
        }
        let end = PREFIX_END.checked_add(header);
        if end.is_none_or(|end| end > total) || usize::try_from(header).is_ok_and(|h| h > HEADER_LIMIT) {
            return Err(damaged(format!("it says that its header is {header} bytes long")));
        }
        Ok(Self { kind, codec, crc32, total, header })
    }

    /// Checks the header against the checksum.
    pub(crate) fn verify(&self, header: &[u8]) -> Result<()> {
        if self.checksum(header) == self.crc32 {
            return Ok(());
        }
        Err(Error::damaged("the header", "its checksum does not match"))
    }

    /// Where the first section is.
    pub(crate) fn data(&self) -> u64 {
        aligned(self.header.saturating_add(PREFIX_END))
    }

    fn checksum(&self, header: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let bytes = Self { crc32: 0, ..*self }.to_bytes();
        hasher.update(bytes.get(..12).unwrap_or_default());
        hasher.update(bytes.get(16..).unwrap_or_default());
        hasher.update(header);
        hasher.finalize()
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// The next multiple of the alignment.
pub(crate) fn aligned(offset: u64) -> u64 {
    offset.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX)
}

/// Sections on their way to a file.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    all: Vec<(SectionRecord, Vec<u8>)>,
    end: u64,
}

impl Sections {
    /// Appends a section.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) -> SectionRecord {
        let offset = aligned(self.end);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let record = SectionRecord { offset, len, crc32: crc32fast::hash(&bytes) };
        self.end = offset.saturating_add(len);
        self.all.push((record, bytes));
        record
    }

    /// All sections in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(SectionRecord, Vec<u8>)> {
        self.all.iter()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Where the last section ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }
}

/// Checks that the sections follow each other as [`Sections`] lays them out and fill the file to its end.
///
/// After this every section lies inside the file, so what its length allows to be allocated is bounded.
///
/// Each section comes with the name of what it belongs to.
pub(crate) fn check_table(prefix: &Prefix, sections: &[(&str, SectionRecord)]) -> Result<()> {
    let damaged = |what: &str| Error::damaged("the header", format!("the place of `{what}` does not fit the file"));
    let mut end = 0;
    for (name, section) in sections {
        if section.offset != aligned(end) {
            return Err(damaged(name));
        }
        end = section.offset.checked_add(section.len).ok_or_else(|| damaged(name))?;
    }
    let start = if sections.is_empty() { prefix.header.saturating_add(PREFIX_END) } else { prefix.data() };
    if start.checked_add(end) != Some(prefix.total) {
        return Err(Error::damaged("the header", "its sections do not end where the file does"));
    }
    Ok(())
}

/// The bytes after the fixed part and the header, with every section's place checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Data<'a> {
    bytes: &'a [u8],
}

impl<'a> Data<'a> {
    /// The data of `file`, after checking that all padding is zero.
    pub(crate) fn new(file: &'a [u8], prefix: &Prefix, sections: &[(&str, SectionRecord)]) -> Result<Self> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let gap = |from: u64, to: u64, bytes: &[u8]| match bytes.get(at(from)..at(to)) {
            Some(padding) if padding.iter().all(|b| *b == 0) => Ok(()),
            _ => Err(Error::damaged("the file", "the padding between its sections is not zero")),
        };
        let data = prefix.data().min(prefix.total);
        gap(prefix.header.saturating_add(PREFIX_END), data, file)?;
        let bytes = file.get(at(data)..).unwrap_or_default();
        let mut end = 0;
        for (_, section) in sections {
            gap(end, section.offset, bytes)?;
            end = section.offset.saturating_add(section.len);
        }
        Ok(Self { bytes })
    }

    /// The bytes of one section of what is called `name`, checked against its checksum.
    pub(crate) fn section(&self, name: &str, section: &SectionRecord) -> Result<&'a [u8]> {
        let start = usize::try_from(section.offset).ok();
        let end = section.offset.checked_add(section.len).and_then(|e| usize::try_from(e).ok());
        let bytes = start.zip(end).and_then(|(s, e)| self.bytes.get(s..e));
        match bytes {
            Some(bytes) if crc32fast::hash(bytes) == section.crc32 => Ok(bytes),
            Some(_) => Err(Error::damaged(format!("`{name}`"), "its checksum does not match")),
            None => Err(Error::damaged(format!("`{name}`"), "it lies outside the file")),
        }
    }
}
