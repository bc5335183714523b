//! What all files have in common: a fixed part, a header and sections, written in one step and checked when read.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::codec::Unpacked;
use crate::header::Digested;
use crate::layout::{Kind, PREFIX_END, Prefix};
use crate::sections::Sections;
use crate::source::Source;
use crate::{Error, Result, codec};
use serde::Serialize;
use spectral_core::write_file;
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

/// A file that is ready to be written.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    prefix: Prefix,
    header: Vec<u8>,
    sections: Sections<'a>,
}

impl<'a> Container<'a> {
    /// A file of these parts.
    pub(crate) fn new(kind: Kind, header: impl Digested + Serialize, sections: Sections<'a>) -> Result<Self> {
        let header = header.pack()?;
        Ok(Self { prefix: Prefix::new(kind, &header, sections.lengths()), header, sections })
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.prefix.total
    }

    /// Length of the header.
    pub(crate) fn header_bytes(&self) -> u64 {
        self.prefix.header
    }

    /// Writes the file to `path`, all of it or nothing: a file that is there is replaced in one step.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        write_file(path, |to| self.write(to)).map_err(|source| Error::Write { path: path.into(), source })
    }

    /// The bytes of the file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes).map_err(|e| Error::Unsupported(e.to_string()))?;
        Ok(bytes)
    }

    fn write(&self, to: &mut dyn Write) -> std::io::Result<()> {
        to.write_all(&self.prefix.to_bytes())?;
        to.write_all(&self.header)?;
        self.sections.write(self.prefix.end(), |end, len| self.prefix.place(end, len), to)
    }
}

/// A file whose fixed part and header were checked against their checksum.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) prefix: Prefix,
    /// The header. In version 1 it has hashes among its records.
    pub(crate) header: Unpacked<'a>,
    pub(crate) source: Source<'a>,
}

impl<'a> Opened<'a> {
    /// Opens what is in memory or in a file.
    pub(crate) fn new(kind: Kind, source: Source<'a>) -> Result<Self> {
        let available = source.len()?;
        // The first bytes decide whether the rest is worth reading.
        let prefix = Prefix::parse(kind, &source.bytes(0, available.min(PREFIX_END))?, available)?;
        let header = source.bytes(PREFIX_END, prefix.header)?;
        prefix.verify(&header)?;
        let header = match prefix.version {
            1 => Unpacked { digests: Cow::default(), records: header },
            _ => codec::unpack(&header)?,
        };
        Ok(Self { prefix, header, source })
    }
}
