//! What all files have in common: a fixed part, a header and sections, written in one step and checked when read.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::codec::{self, BINCODE};
use crate::inspect::header_bytes;
use crate::layout::{Kind, PREFIX, PREFIX_END, Prefix, Sections};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file that is ready to be written.
#[derive(Debug)]
pub(crate) struct Container {
    prefix: Prefix,
    header: Vec<u8>,
    sections: Sections,
}

impl Container {
    /// A file of these parts.
    pub(crate) fn new(kind: Kind, header: &impl Serialize, sections: Sections) -> Result<Self> {
        let header = codec::encode(header)?;
        let start = Prefix::new(kind, BINCODE, &header, 0);
        let total = match sections.is_empty() {
            true => start.header.saturating_add(PREFIX_END),
            false => start.data().saturating_add(sections.end()),
        };
        Ok(Self { prefix: Prefix::new(kind, BINCODE, &header, total), header, sections })
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
        let refused = |source| Error::Write { path: path.into(), source };
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".spectral-");
        // A temporary file is private by default; a model is as readable as any other new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = builder.tempfile_in(folder).map_err(refused)?;
        self.write(temporary.as_file_mut()).map_err(refused)?;
        temporary.as_file().sync_all().map_err(refused)?;
        temporary.persist(path).map(drop).map_err(|e| refused(e.error))
    }

    /// The bytes of the file.
    pub(crate) fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        to.write_all(&self.prefix.to_bytes())?;
        to.write_all(&self.header)?;
        let mut at = PREFIX_END.saturating_add(self.prefix.header);
        for (record, bytes) in self.sections.iter() {
            let start = self.prefix.data().saturating_add(record.offset);
            // Less than one alignment.
            std::io::copy(&mut std::io::repeat(0).take(start.saturating_sub(at)), to)?;
            to.write_all(bytes)?;
            at = start.saturating_add(record.len);
        }
        to.flush()
    }
}

/// The bytes of the file at `path`, if its first ones are right.
pub(crate) fn read(kind: Kind, path: &Path) -> Result<Vec<u8>> {
    let refused = |source| Error::Read { path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(refused)?;
    let length = file.seek(SeekFrom::End(0)).map_err(refused)?;
    file.rewind().map_err(refused)?;
    // The first bytes decide whether the rest is worth reading.
    let mut bytes = Vec::with_capacity(PREFIX);
    (&mut file).take(PREFIX_END).read_to_end(&mut bytes).map_err(refused)?;
    Prefix::parse(kind, &bytes, length)?;
    file.take(length.saturating_sub(PREFIX_END)).read_to_end(&mut bytes).map_err(refused)?;
    Ok(bytes)
}

/// The fixed part and the header of a file, checked against their checksum.
pub(crate) fn open<'a, H: Deserialize<'a>>(kind: Kind, file: &'a [u8]) -> Result<(Prefix, H)> {
    let prefix = Prefix::parse(kind, file, u64::try_from(file.len()).unwrap_or(u64::MAX))?;
    let header = header_bytes(&prefix, file);
    prefix.verify(header)?;
    Ok((prefix, codec::decode(prefix.codec, header)?))
}
