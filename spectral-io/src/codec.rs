//! How a header is turned into bytes: bincode 2 and deflate behind a few functions, so that they can be replaced.
//!
//! The byte in the file says which codec wrote it. bincode is not self-describing, so only structures whose fields
//! never change go through it; everything that evolves is JSON inside a length-prefixed byte string.

use crate::{Error, Result};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// bincode 2 with numbers of fixed width: the codec of version 1.
pub(crate) const FIXED: u8 = 1;

/// bincode 2 with numbers of variable width, compressed; hashes and checksums stand in front, as they are.
pub(crate) const PACKED: u8 = 2;

/// No header may be longer, in the file or unfolded.
pub(crate) const HEADER_LIMIT: usize = 64 << 20;

/// What every header may unfold to, and how many times its own length beyond that.
const FREE: usize = 1 << 20;
const FACTOR: usize = 64;

/// Text that headers are compressed against, as if it stood before them. It is part of the format.
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");

const WIDE: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<HEADER_LIMIT>,
> = bincode::config::legacy().with_limit::<HEADER_LIMIT>();

const NARROW: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<HEADER_LIMIT>,
> = bincode::config::standard().with_limit::<HEADER_LIMIT>();

/// The bytes of `record`, not compressed.
pub(crate) fn encode(record: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = bincode::serde::encode_to_vec(record, NARROW).map_err(|e| Error::Unsupported(e.to_string()))?;
    if bytes.len() > HEADER_LIMIT {
        let problem =
            format!("its header would take {} bytes, more than {HEADER_LIMIT}; shorten the history", bytes.len());
        return Err(Error::Unsupported(problem));
    }
    Ok(bytes)
}

/// Reads what [`encode`] wrote; strings borrow from `bytes`, so a lie about a length allocates nothing.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    all_used(bytes, bincode::serde::borrow_decode_from_slice(bytes, NARROW))
}

/// As [`decode`], for version 1.
pub(crate) fn decode_fixed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    all_used(bytes, bincode::serde::borrow_decode_from_slice(bytes, WIDE))
}

fn all_used<T>(bytes: &[u8], decoded: Result<(T, usize), bincode::error::DecodeError>) -> Result<T> {
    let damaged = |problem: String| Error::damaged("the header", problem);
    let (value, used) = decoded.map_err(|e| damaged(e.to_string()))?;
    match bytes.len().saturating_sub(used) {
        0 => Ok(value),
        left => Err(damaged(format!("{left} bytes are left over"))),
    }
}

/// What a packed header consists of.
#[derive(Debug)]
pub(crate) struct Unpacked<'a> {
    /// Hashes and checksums, in the order in which the records refer to them.
    pub(crate) digests: Cow<'a, [u8]>,
    /// The records, as [`encode`] wrote them.
    pub(crate) records: Cow<'a, [u8]>,
}

impl Unpacked<'_> {
    /// The bytes of the header: the length of the digests, the digests, the records as a raw deflate stream.
    pub(crate) fn pack(&self) -> Result<Vec<u8>> {
        let packed = self.pack_at(Compression::best())?;
        // A reader refuses what unfolds beyond all proportion.
        if self.records.len() > unfolded_limit(packed.len()) { self.pack_at(Compression::none()) } else { Ok(packed) }
    }

    fn pack_at(&self, level: Compression) -> Result<Vec<u8>> {
        let failed = || Error::Unsupported("its header cannot be compressed".into());
        let digests = u32::try_from(self.digests.len()).map_err(|_| failed())?;
        let mut bytes = digests.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.digests);
        let mut compress = Compress::new(level, false);
        // What the dictionary compresses to is thrown away; the encoder then refers back to it.
        let mut discarded = Vec::with_capacity(2 * DICTIONARY.len());
        compress.compress_vec(DICTIONARY, &mut discarded, FlushCompress::Sync).map_err(|_| failed())?;
        let mut at = 0;
        loop {
            bytes.reserve(1 << 12);
            let before = compress.total_in();
            let rest = self.records.get(at..).unwrap_or_default();
            let status = compress.compress_vec(rest, &mut bytes, FlushCompress::Finish).map_err(|_| failed())?;
            at += usize::try_from(compress.total_in().saturating_sub(before)).unwrap_or(0);
            if status == Status::StreamEnd {
                return Ok(bytes);
            }
        }
    }
}

/// What a header of `length` bytes may unfold to.
fn unfolded_limit(length: usize) -> usize {
    FREE.saturating_add(length.saturating_mul(FACTOR)).min(HEADER_LIMIT)
}

/// Takes a packed header apart.
pub(crate) fn unpack<'a>(bytes: &[u8]) -> Result<Unpacked<'a>> {
    let damaged = |problem: &str| Error::damaged("the header", problem);
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (digests, packed) = rest.split_at_checked(length).ok_or_else(|| damaged("its hashes are cut off"))?;
    let records = inflate(packed, unfolded_limit(bytes.len()))?;
    Ok(Unpacked { digests: digests.to_vec().into(), records: records.into() })
}

/// Unfolds a raw deflate stream that refers to the dictionary into at most `limit` bytes.
fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    let damaged = |problem: String| Error::damaged("the header", problem);
    let broken = || damaged("it cannot be unfolded".into());
    let mut decompress = Decompress::new(false);
    // A stored block with the dictionary puts it where the stream refers to it.
    let length = u16::try_from(DICTIONARY.len()).unwrap_or(u16::MAX);
    let mut start = vec![0];
    start.extend_from_slice(&length.to_le_bytes());
    start.extend_from_slice(&(!length).to_le_bytes());
    start.extend_from_slice(DICTIONARY);
    let mut dictionary = Vec::with_capacity(DICTIONARY.len());
    decompress.decompress_vec(&start, &mut dictionary, FlushDecompress::None).map_err(|_| broken())?;
    let read = |d: &Decompress| usize::try_from(d.total_in()).unwrap_or(usize::MAX);
    let mut records = Vec::new();
    loop {
        let rest = packed.get(read(&decompress).saturating_sub(start.len())..).unwrap_or_default();
        let (before, length) = (read(&decompress), records.len());
        records.reserve(packed.len().saturating_mul(2).clamp(1 << 10, 1 << 20));
        let status = decompress.decompress_vec(rest, &mut records, FlushDecompress::None).map_err(|_| broken())?;
        if records.len() > limit {
            return Err(damaged(format!("it unfolds to more than {limit} bytes")));
        }
        if status == Status::StreamEnd {
            break;
        }
        if read(&decompress) == before && records.len() == length {
            return Err(broken());
        }
    }
    match packed.len().saturating_sub(read(&decompress).saturating_sub(start.len())) {
        0 => Ok(records),
        left => Err(damaged(format!("{left} bytes are left over"))),
    }
}

/// JSON bytes of the part called `what`.
pub(crate) fn to_json(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Unsupported(format!("{what}: {e}")))
}

/// Reads JSON bytes of the part called `what`.
pub(crate) fn from_json<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::damaged(format!("`{what}`"), e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_short_ones_are_short() {
        for records in [&b""[..], b"{\"action\":\"prune\",\"criterion\":\"magnitude\"}", &[7; 100_000]] {
            let header = Unpacked { digests: vec![1, 2, 3].into(), records: records.into() };
            let packed = header.pack().unwrap();
            let again = unpack(&packed).unwrap();
            assert_eq!((&*again.digests, &*again.records), (&[1, 2, 3][..], records));
            assert!(packed.len() <= 9 + records.len() / 2, "{} of {}", packed.len(), records.len());
            assert!(unpack(&[&packed[..], &[0]].concat()).is_err());
            for end in 0..packed.len() {
                assert!(unpack(&packed[..end]).is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn a_header_that_unfolds_beyond_all_proportion_is_refused() {
        let header = Unpacked { digests: vec![].into(), records: vec![0; 8 << 20].into() };
        let error = unpack(&header.pack_at(Compression::best()).unwrap()).unwrap_err().to_string();
        assert!(error.contains("unfolds to more than"), "{error}");
        assert_eq!(unpack(&header.pack().unwrap()).unwrap().records, header.records);
    }
}
