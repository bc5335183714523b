//! Samples from NumPy files: an `.npy` of inputs with one of labels beside it, or both in an `.npz`.
//!
//! Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays". Numbers of 1 to 8 bytes, both
//! byte orders, both axis orders; everything after the first axis becomes the features of a sample.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::classes::classes;
use crate::dataset::Unsplit;
use crate::{DataOptions, Dataset, Error, Result};
use ndarray::{Array2, ArrayD, IxDyn, Order, ShapeBuilder};
use spectral_core::{DataOrigin, Preprocessing, Samples, Targets};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes one array may hold.
const LIMIT: u64 = 4 << 30;

/// Names that inputs and labels go by in an `.npz`.
const PAIRS: [(&str, &str); 4] = [("x", "y"), ("X", "y"), ("data", "target"), ("inputs", "labels")];

/// An array as it is in the file.
struct Array {
    shape: Vec<usize>,
    fortran: bool,
    big_endian: bool,
    kind: u8,
    width: usize,
    bytes: Vec<u8>,
}

/// Loads `NAME.npy` with `NAME_labels.npy`, or the pair that the options name.
pub(crate) fn load_npy(name: &str, options: &DataOptions) -> Result<Dataset> {
    let path = Path::new(name);
    let beside = || {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        path.with_file_name(format!("{stem}_labels.npy"))
    };
    let labels: PathBuf = options.labels.clone().unwrap_or_else(beside);
    let read = |path: &Path| Array::read(std::fs::File::open(path).map_err(Error::io(path))?, path);
    unsplit(name, read(path)?.inputs(path)?, &read(&labels)?.labels(&labels)?)?.split(options)
}

/// Loads an `.npz` with inputs and labels, split (`x_train`, `y_train`, `x_test`, `y_test`) or not.
pub(crate) fn load_npz(name: &str, options: &DataOptions) -> Result<Dataset> {
    let path = Path::new(name);
    let bad = |e: zip::result::ZipError| Error::format(path, format!("is not an npz file: {e}"));
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(bad)?;
    let names: Vec<String> = archive.file_names().flatten().map(|n| n.trim_end_matches(".npy").to_owned()).collect();
    let has = |name: &str| names.iter().any(|n| n == name);
    let mut read = |array: &str| -> Result<Array> {
        Array::read(archive.by_name(&format!("{array}.npy")).map_err(bad)?, &path.join(array))
    };
    if ["x_train", "y_train", "x_test", "y_test"].into_iter().all(has) {
        let train = (read("x_train")?.inputs(path)?, read("y_train")?.labels(path)?);
        let test = (read("x_test")?.inputs(path)?, read("y_test")?.labels(path)?);
        return ready(name, train, test);
    }
    match PAIRS.into_iter().find(|(x, y)| has(x) && has(y)) {
        Some((x, y)) => unsplit(name, read(x)?.inputs(path)?, &read(y)?.labels(path)?)?.split(options),
        None => {
            let wanted = PAIRS.map(|(x, y)| format!("`{x}` and `{y}`")).join(", ");
            let names = names.join(", ");
            Err(Error::format(path, format!("has the arrays {names}; needed are {wanted}, or x_train and so on")))
        }
    }
}

fn unsplit(name: &str, inputs: Array2<f32>, labels: &[String]) -> Result<Unsplit> {
    let (labels, class_names) = classes(name, labels)?;
    Ok(Unsplit { name: name.into(), inputs, labels, class_names, preprocessing: Preprocessing::default() })
}

fn ready(name: &str, train: (Array2<f32>, Vec<String>), test: (Array2<f32>, Vec<String>)) -> Result<Dataset> {
    let (mut first, class_names) = classes(name, &[train.1.clone(), test.1].concat())?;
    let second = first.split_off(train.1.len().min(first.len()));
    let side = |inputs, labels| Samples::new(name, inputs, Targets::Classes { labels, classes: class_names.len() });
    Ok(Dataset {
        train: side(train.0, first)?,
        test: side(test.0, second)?,
        origin: DataOrigin { name: name.into(), ..DataOrigin::default() },
        preprocessing: Preprocessing::default(),
        classes: class_names.len(),
        class_names,
        rows: None,
    })
}

impl Array {
    fn read(mut source: impl Read, path: &Path) -> Result<Self> {
        let bad = |problem: &str| Error::format(path, problem);
        let mut bytes = Vec::new();
        source.by_ref().take(LIMIT).read_to_end(&mut bytes).map_err(Error::io(path))?;
        let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| bad("is not an npy file"))?;
        let cut = || bad("is truncated inside its header");
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let (length, rest) = match version {
            [1, _] => {
                let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
                (usize::from(u16::from_le_bytes(*length)), rest)
            }
            [2 | 3, _] => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
                (usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX), rest)
            }
            _ => return Err(bad("has an npy version newer than 3")),
        };
        let (header, values) = rest.split_at_checked(length).ok_or_else(cut)?;
        let header = String::from_utf8_lossy(header);
        let descr = text_after(&header, "'descr'").ok_or_else(|| bad("has no single number type (`descr`)"))?;
        let unknown = || bad(&format!("holds `{descr}`; only floats, integers and booleans of 1 to 8 bytes are read"));
        let (order, kind) = descr.split_at_checked(1).ok_or_else(unknown)?;
        let (kind, width) = kind.split_at_checked(1).ok_or_else(unknown)?;
        let width: usize = width.parse().map_err(|_| unknown())?;
        let kind = kind.bytes().next().unwrap_or_default();
        if !matches!((kind, width), (b'f', 4 | 8) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'b', 1)) {
            return Err(unknown());
        }
        let fortran = after(&header, "'fortran_order'").is_some_and(|v| v.starts_with("True"));
        let shape = shape(&header).ok_or_else(|| bad("has no readable shape"))?;
        let wanted = shape.iter().try_fold(width, |n, &e| n.checked_mul(e));
        if wanted != Some(values.len()) {
            let problem = format!("has shape {shape:?} of `{descr}` but {} bytes of values", values.len());
            return Err(bad(&problem));
        }
        Ok(Self { shape, fortran, big_endian: order == ">", kind, width, bytes: values.to_vec() })
    }

    /// The values in file order.
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.bytes.chunks_exact(self.width).map(|chunk| {
            let mut raw = [0u8; 8];
            // Little-endian, sign-extended for integers.
            let negative =
                self.kind == b'i' && (if self.big_endian { chunk.first() } else { chunk.last() }) > Some(&127);
            raw.fill(if negative { 0xff } else { 0 });
            let forward = chunk.iter().copied();
            match self.big_endian {
                true => raw.iter_mut().zip(forward.rev()).for_each(|(to, from)| *to = from),
                false => raw.iter_mut().zip(forward).for_each(|(to, from)| *to = from),
            }
            number(self.kind, self.width, raw)
        })
    }

    /// `[samples, features]`.
    fn inputs(&self, path: &Path) -> Result<Array2<f32>> {
        let bad = |e: ndarray::ShapeError| Error::format(path, e.to_string());
        let samples = self.shape.first().copied().unwrap_or(0);
        let features = self.shape.iter().skip(1).product();
        if samples == 0 || features == 0 {
            return Err(Error::format(path, format!("has shape {:?}: no samples with features", self.shape)));
        }
        let values = self.values().map(narrow).collect();
        let array = ArrayD::from_shape_vec(IxDyn(&self.shape).set_f(self.fortran), values).map_err(bad)?;
        Ok(array.to_shape(((samples, features), Order::RowMajor)).map_err(bad)?.into_owned())
    }

    /// One label a sample, as text.
    fn labels(&self, path: &Path) -> Result<Vec<String>> {
        match self.shape.as_slice() {
            [_] | [_, 1] => Ok(self.values().map(|v| v.to_string()).collect()),
            shape => Err(Error::format(path, format!("has shape {shape:?}; labels need one number a sample"))),
        }
    }
}

#[allow(clippy::as_conversions, reason = "rounding to the nearest f32 is the purpose")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[allow(
    clippy::as_conversions,
    reason = "no lossless conversion from 64-bit integers exists; the nearest f64 is meant"
)]
fn number(kind: u8, width: usize, raw: [u8; 8]) -> f64 {
    match (kind, width) {
        (b'f', 4) => raw.first_chunk::<4>().map_or(0.0, |b| f64::from(f32::from_le_bytes(*b))),
        (b'f', _) => f64::from_le_bytes(raw),
        (b'i', _) => i64::from_le_bytes(raw) as f64,
        _ => u64::from_le_bytes(raw) as f64,
    }
}

/// What follows `key` and a colon.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(key)?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// The quoted text that follows `key`.
fn text_after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    Some(after(header, key)?.strip_prefix('\'')?.split_once('\'')?.0)
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (inside, _) = after(header, "'shape'")?.strip_prefix('(')?.split_once(')')?;
    inside.split(',').map(str::trim).filter(|e| !e.is_empty()).map(|e| e.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use crate::{DataOptions, Dataset, load};
    use std::io::Write;
    use std::path::Path;

    fn npy(descr: &str, fortran: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
    }

    fn options() -> DataOptions {
        DataOptions { test_share: Some(0.5), ..Default::default() }
    }

    fn pair(folder: &Path, inputs: &[u8], labels: &[u8]) -> Result<Dataset, String> {
        std::fs::write(folder.join("set.npy"), inputs).unwrap();
        std::fs::write(folder.join("set_labels.npy"), labels).unwrap();
        load(folder.join("set.npy").to_str().unwrap(), &options()).map_err(|e| e.to_string())
    }

    fn rows(set: &Dataset) -> Vec<(usize, Vec<f32>, u32)> {
        let split = set.rows.clone().unwrap();
        let side = |rows: &[usize], s: &spectral_core::Samples| {
            let labels = s.labels().unwrap().to_vec();
            let one = |(i, &r): (usize, &usize)| (r, s.inputs().row(i).to_vec(), labels[i]);
            rows.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let mut all = [side(&split.train, &set.train), side(&split.test, &set.test)].concat();
        all.sort_by_key(|r| r.0);
        all
    }

    #[test]
    fn types_and_orders_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let labels = npy("<i8", "False", "(2,)", &[0i64, 1].map(i64::to_le_bytes).concat());
        let wanted = vec![(0, vec![1.0, -2.0, 3.0], 0), (1, vec![4.0, 5.0, 6.0], 1)];
        let c = [1.0f32, -2.0, 3.0, 4.0, 5.0, 6.0];
        let f = [1.0f32, 4.0, -2.0, 5.0, 3.0, 6.0];
        let files = [
            npy("<f4", "False", "(2, 3)", &c.map(f32::to_le_bytes).concat()),
            npy(">f4", "False", "(2, 3)", &c.map(f32::to_be_bytes).concat()),
            npy("<f8", "False", "(2, 3, 1)", &c.map(|v| f64::from(v).to_le_bytes()).concat()),
            npy("<f4", "True", "(2, 3)", &f.map(f32::to_le_bytes).concat()),
            npy("|i1", "False", "(2, 3)", &c.map(|v| (v as i8).to_le_bytes()).concat()),
            npy(">i2", "False", "(2, 3)", &c.map(|v| (v as i16).to_be_bytes()).concat()),
        ];
        for (i, file) in files.iter().enumerate() {
            assert_eq!(rows(&pair(folder.path(), file, &labels).unwrap()), wanted, "file {i}");
        }
    }

    #[test]
    fn bad_arrays_are_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let labels = npy("|u1", "False", "(2,)", &[0, 1]);
        let good = npy("|u1", "False", "(2, 1)", &[1, 2]);
        let cases = [
            (b"text".to_vec(), labels.clone(), "not an npy file"),
            (good[..9].to_vec(), labels.clone(), "truncated inside its header"),
            (good[..good.len() - 1].to_vec(), labels.clone(), "but 1 bytes"),
            (npy("|u1", "False", "(99999999999, 99999999999)", &[1]), labels.clone(), "but 1 bytes"),
            (npy("<c8", "False", "(2, 1)", &[0; 16]), labels.clone(), "holds `<c8`"),
            (npy("|u1", "False", "(0, 1)", &[]), labels.clone(), "no samples"),
            (npy("|u1", "False", "(-2, 1)", &[]), labels.clone(), "no readable shape"),
            (good.clone(), npy("|u1", "False", "(2, 2)", &[0; 4]), "labels need one number"),
            (good, npy("|u1", "False", "(3,)", &[0, 1, 1]), "2 samples but 3 targets"),
        ];
        let mut failed = Vec::new();
        for (inputs, labels, word) in cases {
            match pair(folder.path(), &inputs, &labels) {
                Err(e) if e.contains(word) && !e.contains('\n') => {}
                other => failed.push(format!("{word}: {other:?}")),
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn archives_are_read_split_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.npz");
        let write = |arrays: &[(&str, Vec<u8>)], options: &DataOptions| {
            let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
            for (name, bytes) in arrays {
                zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
                zip.write_all(bytes).unwrap();
            }
            zip.finish().unwrap();
            load(path.to_str().unwrap(), options).map_err(|e| e.to_string())
        };
        let x = || npy("|u1", "False", "(2, 1)", &[7, 9]);
        let y = || npy("|u1", "False", "(2,)", &[0, 1]);
        let set = write(&[("x", x()), ("y", y())], &options()).unwrap();
        assert_eq!(rows(&set), [(0, vec![7.0], 0), (1, vec![9.0], 1)]);
        let split = [("x_train", x()), ("y_train", y()), ("x_test", x()), ("y_test", y())];
        assert!(write(&split, &options()).unwrap_err().contains("leave the test share out"));
        let set = write(&split, &DataOptions::default()).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.rows, set.classes), (2, 2, None, 2));
        let error = write(&[("a", x())], &options()).unwrap_err();
        assert!(error.contains("has the arrays a; needed are `x` and `y`"), "{error}");
        std::fs::write(&path, "no archive").unwrap();
        assert!(load(path.to_str().unwrap(), &options()).unwrap_err().to_string().contains("not an npz file"));
    }
}
