//! A file taken apart and put together again as docs/file-format.md says, to tell lies in its header.

use std::io::{Read, Write};

const DICTIONARY: &[u8] = include_bytes!("../../src/dictionary.bin");

/// The parts of a file of version 2 whose sections are too small to be aligned.
#[derive(Clone)]
pub(crate) struct Parts {
    prefix: [u8; 32],
    pub(crate) digests: Vec<u8>,
    pub(crate) records: Vec<u8>,
    pub(crate) sections: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(file: &[u8]) -> Self {
        let prefix: [u8; 32] = file[..32].try_into().unwrap();
        let header = u64::from_le_bytes(prefix[24..].try_into().unwrap()) as usize;
        let (header, sections) = file[32..].split_at(header);
        let (length, header) = header.split_first_chunk().unwrap();
        let (digests, packed) = header.split_at(u32::from_le_bytes(*length) as usize);
        let stream = [&stored(DICTIONARY, false), packed].concat();
        let mut unfolded = Vec::new();
        flate2::read::DeflateDecoder::new(&stream[..]).read_to_end(&mut unfolded).unwrap();
        let records = unfolded.split_off(DICTIONARY.len());
        Self { prefix, digests: digests.into(), records, sections: sections.into() }
    }

    /// The file, its checksum and lengths right.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::none());
        packed.write_all(&self.records).unwrap();
        let length = (self.digests.len() as u32).to_le_bytes();
        let header = [&length[..], &self.digests, &packed.finish().unwrap()].concat();
        let mut file = [&self.prefix[..], &header, &self.sections].concat();
        let total = file.len() as u64;
        file[16..24].copy_from_slice(&total.to_le_bytes());
        file[24..32].copy_from_slice(&(header.len() as u64).to_le_bytes());
        sign(&mut file);
        file
    }
}

/// A block of a deflate stream that holds `bytes` as they are.
fn stored(bytes: &[u8], last: bool) -> Vec<u8> {
    let length = bytes.len() as u16;
    [&[u8::from(last)][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
}

/// Makes the header's checksum right again.
pub(crate) fn sign(file: &mut [u8]) {
    let header = u64::from_le_bytes(file[24..32].try_into().unwrap()) as usize;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file[..12]);
    hasher.update(&file[16..32]);
    hasher.update(&file[32..32 + header]);
    file[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
}
