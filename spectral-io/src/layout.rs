//! The fixed part at the start of the file, and where sections lie.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::codec::{FIXED, HEADER_LIMIT, PACKED};
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
pub const VERSION: u16 = 2;

/// Length of the fixed part, as an index and as a place in the file.
pub(crate) const PREFIX: usize = 32;
pub(crate) const PREFIX_END: u64 = 32;

const ALIGN: u64 = 64;

/// Sections of at least this many bytes are aligned.
const ALIGNED_FROM: u64 = 4096;

/// The fixed part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefix {
    kind: Kind,
    pub(crate) version: u16,
    codec: u8,
    crc32: u32,
    /// Length of the file.
    pub(crate) total: u64,
    /// Length of the header.
    pub(crate) header: u64,
}

impl Prefix {
    /// For a file of the newest version with this header and sections of these lengths.
    pub(crate) fn new(kind: Kind, header: &[u8], sections: impl Iterator<Item = u64>) -> Self {
        let header_len = u64::try_from(header.len()).unwrap_or(u64::MAX);
        let mut prefix = Self { kind, version: VERSION, codec: PACKED, crc32: 0, total: 0, header: header_len };
        prefix.total = sections.fold(prefix.end(), |end, len| prefix.place(end, len).saturating_add(len));
        prefix.crc32 = prefix.checksum(header);
        prefix
    }

    /// Its bytes.
    pub(crate) fn to_bytes(self) -> [u8; PREFIX] {
        let mut bytes = [0; PREFIX];
        let fields = self.kind.magic.into_iter().chain(self.version.to_le_bytes()).chain([self.codec, 0]);
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
        if codec != if version == 1 { FIXED } else { PACKED } {
            return Err(damaged(format!("format version {version} does not know codec {codec}")));
        }
        if total != available {
            return Err(damaged(format!("it says that it is {total} bytes long, but it has {available}")));
        }
        let end = PREFIX_END.checked_add(header);
        if end.is_none_or(|end| end > total) || usize::try_from(header).is_ok_and(|h| h > HEADER_LIMIT) {
            return Err(damaged(format!("it says that its header is {header} bytes long")));
        }
        Ok(Self { kind, version, codec, crc32, total, header })
    }

    /// Checks the header against the checksum.
    pub(crate) fn verify(&self, header: &[u8]) -> Result<()> {
        if self.checksum(header) == self.crc32 {
            return Ok(());
        }
        Err(Error::damaged("the header", "its checksum does not match"))
    }

    /// Where the header ends.
    pub(crate) fn end(&self) -> u64 {
        self.header.saturating_add(PREFIX_END)
    }

    /// Where a section of `len` bytes starts if the one before it ends at `end`.
    pub(crate) fn place(&self, end: u64, len: u64) -> u64 {
        match self.version == 1 || len >= ALIGNED_FROM {
            true => end.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX),
            false => end,
        }
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

/// Puts every section in its place and checks that they fill the file to its end.
///
/// After this every section lies inside the file, so what its length allows to be allocated is bounded.
pub(crate) fn place_all(prefix: &Prefix, sections: Vec<&mut SectionRecord>) -> Result<()> {
    let mut end = prefix.end();
    for section in sections {
        let place = prefix.place(end, section.len);
        // Version 1 says where its sections are, and says it right.
        if prefix.version == 1 && section.offset != place {
            return Err(Error::damaged("the header", "the place of a section does not fit the file"));
        }
        section.offset = place;
        end = section.offset.saturating_add(section.len);
    }
    if end == prefix.total {
        return Ok(());
    }
    Err(Error::damaged("the header", "its sections do not end where the file does"))
}
