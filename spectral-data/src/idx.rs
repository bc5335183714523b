//! The IDX format of MNIST: a big-endian header, then one byte a value.
//!
//! Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits". Files may be plain or
//! compressed with gzip; which one is seen from the contents, not from the name.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::bounded::Refused;
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use spectral_core::Limits;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// Images: `count` times `rows * columns` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Number of images.
    pub count: usize,
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// Row-major pixels, image after image.
    pub pixels: Vec<u8>,
}

/// A file read and parsed, with the bytes it had after decompression still at hand for a checksum.
#[derive(Debug)]
pub struct Idx {
    /// Extents, outermost first.
    pub extents: Vec<usize>,
    /// Header and values.
    contents: Vec<u8>,
    header: usize,
}

impl Idx {
    /// Reads a file of unsigned bytes with `axes` axes.
    ///
    /// # Errors
    /// The file cannot be read, is not IDX with that many axes of unsigned bytes, is truncated, or has bytes
    /// left over.
    pub fn open(path: &Path, axes: u8) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        Self::read(BufReader::new(file), axes, path)
    }

    /// Reads from `source`; `path` is for messages.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(mut source: impl BufRead, axes: u8, path: &Path) -> Result<Self> {
        let start = source.fill_buf().map_err(Error::io(path))?;
        if start.starts_with(&[0x1f, 0x8b]) {
            return Self::parse(MultiGzDecoder::new(source), axes, path);
        }
        Self::parse(source, axes, path)
    }

    fn parse(mut source: impl Read, axes: u8, path: &Path) -> Result<Self> {
        let bad = |problem: String| Error::format(path, problem);
        let mut header = vec![0; 4 + 4 * usize::from(axes)];
        let (magic, extents) = header.split_at_mut(4);
        read_exact(&mut source, magic, path, "the header")?;
        let expected = [0, 0, 8, axes];
        if magic != expected {
            return Err(bad(format!(
                "is not an IDX file of unsigned bytes with {axes} axes: it starts with {magic:02x?} instead of \
                 {expected:02x?}"
            )));
        }
        read_exact(&mut source, extents, path, "the header")?;
        let extents: Vec<usize> = extents
            .chunks_exact(4)
            .map(|e| e.iter().fold(0usize, |n, &b| n.saturating_mul(256).saturating_add(usize::from(b))))
            .collect();
        let limit = Limits::get()?.data;
        let values = extents.iter().try_fold(1usize, |n, &e| n.checked_mul(e));
        let values = values.filter(|&n| u64::try_from(n).is_ok_and(|n| n <= limit));
        let too_many = || bad(format!("has extents {extents:?}; it {}", Refused::too_long(limit)));
        let values = values.ok_or_else(too_many)?;
        let wanted = header.len() + values;
        // Grows with what is really there, so a lie in the header costs nothing. One byte more than wanted is
        // asked for: it drives gzip to its trailer (which checks length and CRC) and shows surplus bytes.
        let start = header.len();
        let mut contents = header;
        let limit = u64::try_from(values).unwrap_or(u64::MAX).saturating_add(1);
        source.take(limit).read_to_end(&mut contents).map_err(|e| unreadable(e, path))?;
        match contents.len() {
            n if n < wanted => Err(bad(format!("is truncated: extents {extents:?} need {wanted} bytes, it has {n}"))),
            n if n > wanted => Err(bad(format!("has bytes left over after the {wanted} that {extents:?} need"))),
            _ => Ok(Self { extents, contents, header: start }),
        }
    }

    /// The values.
    pub fn values(&self) -> &[u8] {
        self.contents.get(self.header..).unwrap_or_default()
    }

    /// The whole file after decompression.
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// As images.
    ///
    /// # Errors
    /// There are not three axes, or there is no pixel.
    pub fn into_images(mut self, path: &Path) -> Result<Images> {
        let [count, rows, columns] = *self.extents.as_slice() else {
            return Err(Error::format(path, format!("images need three axes, not {:?}", self.extents)));
        };
        if count == 0 || rows == 0 || columns == 0 {
            return Err(Error::format(path, format!("has no pixels: its extents are {:?}", self.extents)));
        }
        let pixels = self.contents.split_off(self.header);
        Ok(Images { count, rows, columns, pixels })
    }

    /// As labels, all below `classes`.
    ///
    /// # Errors
    /// A label is out of range.
    pub fn labels(&self, classes: usize, path: &Path) -> Result<Vec<u32>> {
        match self.values().iter().enumerate().find(|(_, l)| usize::from(**l) >= classes) {
            Some((i, l)) => Err(Error::format(path, format!("label {l} of sample {i} is not below {classes}"))),
            None => Ok(self.values().iter().map(|&l| u32::from(l)).collect()),
        }
    }
}

/// Reads images from a plain or compressed file.
///
/// # Errors
/// As [`Idx::open`], or there is no pixel.
pub fn read_images(path: &Path) -> Result<Images> {
    Idx::open(path, 3)?.into_images(path)
}

/// Reads labels below `classes` from a plain or compressed file.
///
/// # Errors
/// As [`Idx::open`], or a label is out of range.
pub fn read_labels(path: &Path, classes: usize) -> Result<Vec<u32>> {
    Idx::open(path, 1)?.labels(classes, path)
}

fn read_exact(source: &mut impl Read, to: &mut [u8], path: &Path, what: &str) -> Result<()> {
    source.read_exact(to).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => Error::format(path, format!("is truncated: it ends inside {what}")),
        _ => unreadable(e, path),
    })
}

/// Damaged gzip data is a matter of the format, the rest of the system.
fn unreadable(e: std::io::Error, path: &Path) -> Error {
    match e.kind() {
        ErrorKind::UnexpectedEof => Error::format(path, "is truncated: its gzip data ends early"),
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            Error::format(path, format!("is damaged: its gzip data does not decode ({e})"))
        }
        _ => Error::Io { path: path.into(), source: e },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn idx(magic: [u8; 4], extents: &[u32], values: &[u8]) -> Vec<u8> {
        let extents = extents.iter().flat_map(|e| e.to_be_bytes());
        magic.into_iter().chain(extents).chain(values.iter().copied()).collect()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], axes: u8) -> Result<Idx> {
        Idx::read(bytes, axes, Path::new("some-file"))
    }

    #[test]
    fn plain_and_compressed_files_read_the_same() {
        let plain = idx([0, 0, 8, 3], &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        for bytes in [plain.clone(), gz(&plain)] {
            let idx = read(&bytes, 3).unwrap();
            assert_eq!(idx.contents(), plain);
            let images = idx.into_images(Path::new("f")).unwrap();
            assert_eq!(images, Images { count: 2, rows: 1, columns: 3, pixels: vec![1, 2, 3, 4, 5, 6] });
        }
        let labels = idx([0, 0, 8, 1], &[3], &[0, 2, 1]);
        assert_eq!(read(&gz(&labels), 1).unwrap().labels(3, Path::new("f")).unwrap(), [0, 2, 1]);
    }

    #[test]
    fn each_damage_is_one_clear_error() {
        let good = idx([0, 0, 8, 1], &[3], &[0, 1, 2]);
        let zipped = gz(&good);
        let mut bad_crc = zipped.clone();
        let at = bad_crc.len() - 8;
        bad_crc[at] ^= 1;
        let cases: [(&str, Vec<u8>, &str); 12] = [
            ("empty", vec![], "truncated"),
            ("half a header", good[..6].to_vec(), "truncated"),
            ("another magic", idx([0, 0, 13, 1], &[3], &[0, 1, 2]), "instead of [00, 00, 08, 01]"),
            ("another number of axes", idx([0, 0, 8, 3], &[1, 1, 3], &[0, 1, 2]), "instead of"),
            ("too few values", good[..good.len() - 1].to_vec(), "need 11 bytes, it has 10"),
            ("a value more", [&good[..], &[0]].concat(), "left over"),
            ("a count that lies", idx([0, 0, 8, 1], &[u32::MAX], &[0, 1, 2]), "is truncated"),
            ("truncated gz", zipped[..zipped.len() - 9].to_vec(), "gzip data ends early"),
            ("truncated gz trailer", zipped[..zipped.len() - 1].to_vec(), "gzip data ends early"),
            ("wrong gz checksum", bad_crc, "does not decode"),
            ("surplus in the gz", gz(&[&good[..], &[0]].concat()), "left over"),
            ("surplus after the gz", [&zipped[..], b"xy"].concat(), "gzip"),
        ];
        let mut failed = Vec::new();
        for (name, bytes, word) in cases {
            match read(&bytes, 1) {
                Err(e) if e.to_string().contains(word) && e.to_string().starts_with("some-file: ") => {}
                other => failed.push(format!("{name}: {other:?}")),
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn a_lie_about_counts_allocates_nothing_much() {
        let idx = read(&idx([0, 0, 8, 3], &[1 << 20, 32, 32], &[7; 5]), 3);
        assert!(idx.unwrap_err().to_string().contains("truncated"));
        let overflow = read(&super::tests::idx([0, 0, 8, 3], &[u32::MAX; 3], &[]), 3);
        assert!(overflow.unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn labels_out_of_range_and_empty_images_are_refused() {
        let labels = read(&idx([0, 0, 8, 1], &[2], &[9, 10]), 1).unwrap();
        let error = labels.labels(10, Path::new("l")).unwrap_err().to_string();
        assert_eq!(error, "l: label 10 of sample 1 is not below 10");
        let none = read(&idx([0, 0, 8, 3], &[0, 8, 8], &[]), 3).unwrap();
        assert!(none.into_images(Path::new("i")).unwrap_err().to_string().contains("no pixels"));
    }
}
