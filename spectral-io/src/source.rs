//! Where the bytes of a file come from, and how its sections are read.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::header::SectionRecord;
use crate::layout::Prefix;
use crate::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time; a multiple of every width of values.
const CHUNK: usize = 1 << 16;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Memory(&'a [u8]),
    File(File, PathBuf),
}

impl<'a> Source<'a> {
    /// The file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let refused = |source| Error::Read { path: path.into(), source };
        Ok(Self::File(File::open(path).map_err(refused)?, path.into()))
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            // The meta data of a device says 0.
            Self::File(file, path) => {
                let mut file = file;
                file.seek(SeekFrom::End(0)).map_err(|source| Error::Read { path: path.clone(), source })
            }
        }
    }

    /// `len` bytes from `start` on, which must be there: whoever asks has checked that against the length of the file.
    pub(crate) fn bytes(&self, start: u64, len: u64) -> Result<Cow<'a, [u8]>> {
        match self {
            Self::Memory(bytes) => {
                let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(len)).ok());
                let found = range.and_then(|(start, end)| bytes.get(start..end));
                found.map(Cow::Borrowed).ok_or_else(|| Error::damaged("the file", "a part lies outside of it"))
            }
            Self::File(..) => {
                let mut bytes = Vec::new();
                let wanted = usize::try_from(len).ok().filter(|n| bytes.try_reserve_exact(*n).is_ok());
                wanted
                    .ok_or_else(|| Error::damaged("the file", format!("there is no memory for {len} bytes of it")))?;
                self.visit(start, len, |chunk| bytes.extend_from_slice(chunk))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Hands `len` bytes from `start` on to `visit`, some ten thousand at a time.
    fn visit(&self, start: u64, len: u64, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let Self::File(file, path) = self else {
            let bytes = self.bytes(start, len)?;
            bytes.chunks(CHUNK).for_each(visit);
            return Ok(());
        };
        let refused = |source| Error::Read { path: path.clone(), source };
        let mut file = file;
        file.seek(SeekFrom::Start(start)).map_err(refused)?;
        let mut buffer = vec![0; usize::try_from(len).unwrap_or(CHUNK).min(CHUNK)];
        let mut left = len;
        while left > 0 {
            let chunk = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let chunk = buffer.get_mut(..chunk).unwrap_or_default();
            file.read_exact(chunk).map_err(refused)?;
            visit(chunk);
            left = left.saturating_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

/// The sections of a file, each in its place.
#[derive(Debug)]
pub(crate) struct Data<'a> {
    source: &'a Source<'a>,
}

impl<'a> Data<'a> {
    /// The sections of `source`, after checking that all padding between them is zero.
    pub(crate) fn new(source: &'a Source<'a>, prefix: &Prefix, sections: &[(&str, SectionRecord)]) -> Result<Self> {
        let mut end = prefix.end();
        for (_, section) in sections {
            let gap = section.offset.saturating_sub(end);
            if gap > 0 && source.bytes(end, gap)?.iter().any(|b| *b != 0) {
                return Err(Error::damaged("the file", "the padding between its sections is not zero"));
            }
            end = section.offset.saturating_add(section.len);
        }
        Ok(Self { source })
    }

    /// The bytes of one section of what is called `name`, checked against its checksum.
    pub(crate) fn section(&self, name: &str, section: &SectionRecord) -> Result<Cow<'a, [u8]>> {
        let bytes = self.source.bytes(section.offset, section.len)?;
        check(name, section, crc32fast::hash(&bytes))?;
        Ok(bytes)
    }

    /// Hands the bytes of one section to `visit`, some ten thousand at a time. They are checked against the checksum
    /// at the end: after an error nothing of them may be used.
    pub(crate) fn stream(&self, name: &str, section: &SectionRecord, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut hasher = crc32fast::Hasher::new();
        self.source.visit(section.offset, section.len, |chunk| {
            hasher.update(chunk);
            visit(chunk);
        })?;
        check(name, section, hasher.finalize())
    }
}

fn check(name: &str, section: &SectionRecord, found: u32) -> Result<()> {
    if found == section.crc32 {
        return Ok(());
    }
    Err(Error::damaged(format!("`{name}`"), "its checksum does not match"))
}
