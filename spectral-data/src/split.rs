//! Splits as files, for use outside.

use crate::{Dataset, Error, Result, SplitRows};
use spectral_core::write_file;
use std::path::{Path, PathBuf};

/// How row numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitFormat {
    /// One number a line.
    Csv,
    /// A NumPy vector of 64-bit integers.
    Npy,
}

/// Writes the rows of the source that each side of `set` consists of to `train.EXT` and `test.EXT` in `folder`.
///
/// Row 0 is the first sample of the source. Existing files are replaced, each in one step.
///
/// # Errors
/// The set comes split, or the system refuses to write.
pub fn write_split(set: &Dataset, folder: impl AsRef<Path>, format: SplitFormat) -> Result<[PathBuf; 2]> {
    let folder = folder.as_ref();
    let Some(SplitRows { train, test }) = &set.rows else {
        let problem =
            format!("{}: comes split into training and test samples; there are no rows to write", set.origin.name);
        return Err(spectral_core::Error::Data(problem).into());
    };
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let write = |name: &str, rows: &[usize]| -> Result<PathBuf> {
        let (extension, bytes) = match format {
            SplitFormat::Csv => ("csv", rows.iter().map(|r| format!("{r}\n")).collect::<String>().into_bytes()),
            SplitFormat::Npy => ("npy", npy(rows)),
        };
        let path = folder.join(format!("{name}.{extension}"));
        write_file(&path, |to| to.write_all(&bytes)).map_err(Error::io(&path))?;
        Ok(path)
    };
    Ok([write("train", train)?, write("test", test)?])
}

/// A version 1 npy file; its header is padded so that the values start at a multiple of 64.
fn npy(rows: &[usize]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", rows.len());
    const FIXED: usize = 10;
    let padded = (FIXED + header.len() + 1).next_multiple_of(64) - FIXED;
    header.extend(std::iter::repeat_n(' ', padded - header.len() - 1));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // A number of rows has at most 20 digits, so the header is shorter than 128 bytes.
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    rows.iter().for_each(|&r| bytes.extend((r as i64).to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn the_files_name_every_row_once() {
        let folder = tempfile::tempdir().unwrap();
        let set = load("digits", &Default::default()).unwrap();
        let paths = write_split(&set, folder.path(), SplitFormat::Csv).unwrap();
        let mut rows: Vec<usize> = Vec::new();
        for path in &paths {
            rows.extend(std::fs::read_to_string(path).unwrap().lines().map(|l| l.parse::<usize>().unwrap()));
        }
        assert_eq!(rows[..3], set.rows.as_ref().unwrap().train[..3]);
        rows.sort_unstable();
        assert_eq!(rows, (0..1797).collect::<Vec<_>>());
        let [_, test] = write_split(&set, folder.path(), SplitFormat::Npy).unwrap();
        let bytes = std::fs::read(test).unwrap();
        assert_eq!((bytes.len() - 360 * 8) % 64, 0);
        assert_eq!(bytes[bytes.len() - 8..], (*set.rows.unwrap().test.last().unwrap() as i64).to_le_bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
