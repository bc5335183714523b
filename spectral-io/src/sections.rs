//! Sections on their way to a file.

use crate::Result;
use crate::header::SectionRecord;
use spectral_core::{Backend, Tensor, little_endian};
use std::io::Write;

/// Sections in file order.
#[derive(Debug, Default)]
pub(crate) struct Sections<'a> {
    all: Vec<(SectionRecord, Content<'a>)>,
}

/// What a section holds.
#[derive(Debug)]
enum Content<'a> {
    Bytes(Vec<u8>),
    /// Every value of a tensor, read where it is.
    Values(&'a Tensor, &'a dyn Backend),
}

impl<'a> Sections<'a> {
    /// Appends a section.
    pub(crate) fn push(&mut self, bytes: Vec<u8>) -> SectionRecord {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.add(len, crc32fast::hash(&bytes), Content::Bytes(bytes))
    }

    /// Appends a section with every value of a tensor.
    pub(crate) fn push_values(&mut self, tensor: &'a Tensor, backend: &'a dyn Backend) -> Result<SectionRecord> {
        let mut hasher = crc32fast::Hasher::new();
        let mut len = 0u64;
        little_endian(backend, tensor, |bytes| {
            len = len.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            hasher.update(bytes);
        })?;
        Ok(self.add(len, hasher.finalize(), Content::Values(tensor, backend)))
    }

    fn add(&mut self, len: u64, crc32: u32, content: Content<'a>) -> SectionRecord {
        let record = SectionRecord { len, offset: 0, crc32 };
        self.all.push((record, content));
        record
    }

    /// Their lengths, in order.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = u64> + '_ {
        self.all.iter().map(|(record, _)| record.len)
    }

    /// Their lengths together, without padding.
    pub(crate) fn bytes(&self) -> u64 {
        self.lengths().fold(0, u64::saturating_add)
    }

    /// Writes the sections behind a header that ends at `end`, each at the place that `place` gives for the end of the
    /// one before it and its own length.
    pub(crate) fn write(
        &self,
        mut end: u64,
        place: impl Fn(u64, u64) -> u64,
        to: &mut dyn Write,
    ) -> std::io::Result<()> {
        for (record, content) in &self.all {
            let start = place(end, record.len);
            // Less than one alignment.
            std::io::copy(&mut std::io::Read::take(std::io::repeat(0), start.saturating_sub(end)), to)?;
            content.write(to)?;
            end = start.saturating_add(record.len);
        }
        Ok(())
    }
}

impl Content<'_> {
    fn write(&self, to: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Self::Bytes(bytes) => to.write_all(bytes),
            Self::Values(tensor, backend) => {
                let mut written = Ok(());
                let read = little_endian(*backend, tensor, |bytes| {
                    if written.is_ok() {
                        written = to.write_all(bytes);
                    }
                });
                read.map_err(std::io::Error::other).and(written)
            }
        }
    }
}
