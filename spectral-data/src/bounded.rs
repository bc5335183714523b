//! Reading files whose length nobody has promised: a device may have no end, an archive unfold to anything.

use std::io::{Error, Read, Result};

/// The most bytes without a line break in a text.
const LINE: u64 = 16 << 20;

/// Why reading was given up. It is about the contents, not about the system.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

impl Refused {
    /// More than `limit` bytes.
    pub(crate) fn too_long(limit: u64) -> Self {
        Self(format!("takes more than {limit} bytes; SPECTRAL_MAX_DATA=N raises the limit"))
    }
}

/// Text that ends with an error where it gets longer than a limit, a line gets too long or a byte is 0.
#[derive(Debug)]
pub(crate) struct Text<R> {
    from: R,
    limit: u64,
    left: u64,
    line: u64,
}

impl<R: Read> Text<R> {
    /// At most `limit` bytes of `from`.
    pub(crate) fn new(from: R, limit: u64) -> Self {
        Self { from, limit, left: limit, line: 0 }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let count = self.from.read(to)?;
        let read = to.get(..count).unwrap_or_default();
        let length = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(|| Error::other(Refused::too_long(self.limit)))?;
        if read.contains(&0) {
            return Err(Error::other(Refused("is no text: it has bytes that are 0".into())));
        }
        self.line = match read.iter().rposition(|b| *b == b'\n') {
            Some(last) => u64::try_from(count - last).unwrap_or(u64::MAX),
            None => self.line.saturating_add(length),
        };
        if self.line > LINE {
            return Err(Error::other(Refused(format!("has a line of more than {LINE} bytes"))));
        }
        Ok(count)
    }
}
