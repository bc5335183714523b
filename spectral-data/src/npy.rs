//! Samples from NumPy files: an `.npy` of inputs with one of labels beside it, or both in an `.npz`.
//!
//! Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays". Numbers of 1 to 8 bytes, both
//! byte orders, both axis orders; everything after the first axis becomes the features of a sample.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::bounded::Refused;
use crate::classes::classes;
use crate::dataset::Unsplit;
use crate::{DataOptions, Dataset, Error, Result};
use ndarray::{Array2, ArrayD, IxDyn, Order, ShapeBuilder};
use spectral_core::{DataOrigin, Limits, Preprocessing, Samples, Targets};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes a header may have; NumPy's own are a few hundred.
const HEADER: u64 = 1 << 16;

/// Bytes that are read at a time; a multiple of every width of values.
const CHUNK: usize = 1 << 16;

/// The most samples there may be labels for.
const LABELS: usize = 1 << 24;

/// Names that inputs and labels go by in an `.npz`.
const PAIRS: [(&str, &str); 4] = [("x", "y"), ("X", "y"), ("data", "target"), ("inputs", "labels")];

/// The values of an array and where they belong.
struct Array<T> {
    shape: Vec<usize>,
    fortran: bool,
    values: Vec<T>,
}

/// What the header of an array says.
struct Header {
    shape: Vec<usize>,
    fortran: bool,
    big_endian: bool,
    /// `f`, `i`, `u` or `b`.
    kind: u8,
    /// Bytes of a value.
    width: usize,
    /// Number of values.
    count: usize,
}

/// Loads `NAME.npy` with `NAME_labels.npy`, or the pair that the options name.
pub(crate) fn load_npy(name: &str, options: &DataOptions) -> Result<Dataset> {
    let path = Path::new(name);
    let beside = || {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        path.with_file_name(format!("{stem}_labels.npy"))
    };
    let labels: PathBuf = options.labels.clone().unwrap_or_else(beside);
    let open = |path: &Path| std::fs::File::open(path).map_err(Error::io(path));
    let inputs = Array::read(open(path)?, path, narrow)?.inputs(path)?;
    let labels = Array::read(open(&labels)?, &labels, |v| v)?.labels(&labels)?;
    unsplit(name, inputs, &labels)?.split(options)
}

/// Loads an `.npz` with inputs and labels, split (`x_train`, `y_train`, `x_test`, `y_test`) or not.
pub(crate) fn load_npz(name: &str, options: &DataOptions) -> Result<Dataset> {
    let path = Path::new(name);
    let mut npz = Npz::open(path)?;
    let names = npz.names();
    let has = |name: &str| names.iter().any(|n| n == name);
    if ["x_train", "y_train", "x_test", "y_test"].into_iter().all(has) {
        let train = (npz.inputs("x_train")?, npz.labels("y_train")?);
        let test = (npz.inputs("x_test")?, npz.labels("y_test")?);
        return ready(name, train, test);
    }
    match PAIRS.into_iter().find(|(x, y)| has(x) && has(y)) {
        Some((x, y)) => unsplit(name, npz.inputs(x)?, &npz.labels(y)?)?.split(options),
        None => {
            let wanted = PAIRS.map(|(x, y)| format!("`{x}` and `{y}`")).join(", ");
            let names = names.join(", ");
            Err(Error::format(path, format!("has the arrays {names}; needed are {wanted}, or x_train and so on")))
        }
    }
}

/// An archive of arrays.
struct Npz<'a> {
    path: &'a Path,
    archive: zip::ZipArchive<std::io::BufReader<std::fs::File>>,
}

impl<'a> Npz<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        let archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(|e| not_npz(path, &e))?;
        Ok(Self { path, archive })
    }

    fn names(&self) -> Vec<String> {
        self.archive.file_names().flatten().map(|n| n.trim_end_matches(".npy").to_owned()).collect()
    }

    fn inputs(&mut self, array: &str) -> Result<Array2<f32>> {
        self.read(array, narrow)?.inputs(self.path)
    }

    fn labels(&mut self, array: &str) -> Result<Vec<String>> {
        self.read(array, |v| v)?.labels(self.path)
    }

    fn read<T>(&mut self, array: &str, value: fn(f64) -> T) -> Result<Array<T>> {
        let file = self.archive.by_name(&format!("{array}.npy")).map_err(|e| not_npz(self.path, &e))?;
        Array::read(file, &self.path.join(array), value)
    }
}

fn not_npz(path: &Path, e: &zip::result::ZipError) -> Error {
    Error::format(path, format!("is not an npz file: {e}"))
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

impl<T> Array<T> {
    /// Reads an array, each value turned into another type. Nothing is allocated for values before it is known how many
    /// there should be, and no more is read than that.
    fn read(mut source: impl Read, path: &Path, value: fn(f64) -> T) -> Result<Self> {
        let header = Header::read(&mut source, path)?;
        let limit = Limits::get()?.data;
        let bytes = |width: usize| u64::try_from(header.count.saturating_mul(width)).unwrap_or(u64::MAX);
        if bytes(header.width.max(size_of::<T>())) > limit {
            return Err(Error::io(path)(std::io::Error::other(Refused::too_long(limit))));
        }
        let mut values = Vec::new();
        // Grows with what is really there, so a lie in the header costs nothing.
        let mut buffer = vec![0; CHUNK];
        let mut source = source.take(bytes(header.width).saturating_add(1));
        let mut filled = 0;
        loop {
            let read = source.read(buffer.get_mut(filled..).unwrap_or_default()).map_err(Error::io(path))?;
            filled += read;
            let whole = filled - filled % header.width;
            let chunk = buffer.get(..whole).unwrap_or_default();
            if values.try_reserve(chunk.len() / header.width).is_err() {
                return Err(Error::format(path, format!("there is no memory for its {} values", header.count)));
            }
            values.extend(chunk.chunks_exact(header.width).map(|raw| value(header.value(raw))));
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
            if read == 0 {
                break;
            }
        }
        if values.len() != header.count || filled > 0 {
            let (shape, width, found) = (&header.shape, header.width, values.len());
            let problem = format!(
                "has shape {shape:?}, which is {} values of {width} bytes, but {} values{}",
                header.count,
                if found > header.count { "more".to_owned() } else { found.to_string() },
                if filled > 0 { " and a part of one" } else { "" }
            );
            return Err(Error::format(path, problem));
        }
        Ok(Self { shape: header.shape, fortran: header.fortran, values })
    }
}

impl Array<f32> {
    /// `[samples, features]`.
    fn inputs(self, path: &Path) -> Result<Array2<f32>> {
        let bad = |e: ndarray::ShapeError| Error::format(path, e.to_string());
        let samples = self.shape.first().copied().unwrap_or(0);
        let features = self.values.len().checked_div(samples).unwrap_or(0);
        if features == 0 {
            return Err(Error::format(path, format!("has shape {:?}: no samples with features", self.shape)));
        }
        if !self.fortran {
            return Array2::from_shape_vec((samples, features), self.values).map_err(bad);
        }
        let array = ArrayD::from_shape_vec(IxDyn(&self.shape).set_f(true), self.values).map_err(bad)?;
        Ok(array.to_shape(((samples, features), Order::RowMajor)).map_err(bad)?.into_owned())
    }
}

impl Array<f64> {
    /// One label a sample, as text.
    fn labels(self, path: &Path) -> Result<Vec<String>> {
        match self.shape.as_slice() {
            [count] | [count, 1] if *count > LABELS => {
                Err(Error::format(path, format!("has {count} labels; at most {LABELS} are read")))
            }
            [_] | [_, 1] => Ok(self.values.iter().map(f64::to_string).collect()),
            shape => Err(Error::format(path, format!("has shape {shape:?}; labels need one number a sample"))),
        }
    }
}

impl Header {
    fn read(source: &mut impl Read, path: &Path) -> Result<Self> {
        let bad = |problem: &str| Error::format(path, problem);
        let mut take = |count: u64| {
            let mut bytes = Vec::new();
            source.take(count).read_to_end(&mut bytes).map_err(Error::io(path))?;
            Ok::<_, Error>(bytes)
        };
        let start = take(8)?;
        let version = start.strip_prefix(b"\x93NUMPY").ok_or_else(|| bad("is not an npy file"))?;
        let length = match version {
            [1, _] => take(2)?,
            [2 | 3, _] => take(4)?,
            [_, _] => return Err(bad("has an npy version newer than 3")),
            _ => Vec::new(),
        };
        let length = length.iter().rev().fold(0u64, |n, &b| n.saturating_mul(256).saturating_add(b.into()));
        if length > HEADER {
            return Err(bad(&format!("has a header of {length} bytes; at most {HEADER} are read")));
        }
        let header = take(length)?;
        if length == 0 || u64::try_from(header.len()) != Ok(length) {
            return Err(bad("is truncated inside its header"));
        }
        let header = String::from_utf8_lossy(&header);
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
        let count = shape.iter().try_fold(1usize, |n, &e| n.checked_mul(e));
        let count = count.ok_or_else(|| bad(&format!("has shape {shape:?}, which no memory can hold")))?;
        Ok(Self { shape, fortran, big_endian: order == ">", kind, width, count })
    }

    /// The number that these bytes are.
    fn value(&self, bytes: &[u8]) -> f64 {
        let mut raw = [0u8; 8];
        // Little-endian, sign-extended for integers.
        let negative = self.kind == b'i' && (if self.big_endian { bytes.first() } else { bytes.last() }) > Some(&127);
        raw.fill(if negative { 0xff } else { 0 });
        let forward = bytes.iter().copied();
        match self.big_endian {
            true => raw.iter_mut().zip(forward.rev()).for_each(|(to, from)| *to = from),
            false => raw.iter_mut().zip(forward).for_each(|(to, from)| *to = from),
        }
        number(self.kind, self.width, raw)
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
        let labels = npy("<i8", "False", "(4,)", &[0i64, 1, 0, 1].map(i64::to_le_bytes).concat());
        let (one, two) = (vec![1.0, -2.0, 3.0], vec![4.0, 5.0, 6.0]);
        let wanted = vec![(0, one.clone(), 0), (1, two.clone(), 1), (2, one, 0), (3, two, 1)];
        let c = [1.0f32, -2.0, 3.0, 4.0, 5.0, 6.0, 1.0, -2.0, 3.0, 4.0, 5.0, 6.0];
        let f = [1.0f32, 4.0, 1.0, 4.0, -2.0, 5.0, -2.0, 5.0, 3.0, 6.0, 3.0, 6.0];
        let files = [
            npy("<f4", "False", "(4, 3)", &c.map(f32::to_le_bytes).concat()),
            npy(">f4", "False", "(4, 3)", &c.map(f32::to_be_bytes).concat()),
            npy("<f8", "False", "(4, 3, 1)", &c.map(|v| f64::from(v).to_le_bytes()).concat()),
            npy("<f4", "True", "(4, 3)", &f.map(f32::to_le_bytes).concat()),
            npy("|i1", "False", "(4, 3)", &c.map(|v| (v as i8).to_le_bytes()).concat()),
            npy(">i2", "False", "(4, 3)", &c.map(|v| (v as i16).to_be_bytes()).concat()),
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
            (good[..good.len() - 1].to_vec(), labels.clone(), "but 1 values"),
            ([&good[..], &[3]].concat(), labels.clone(), "but more values"),
            (npy("|u1", "False", "(99999999999, 99999999999)", &[1]), labels.clone(), "which no memory can hold"),
            (npy("|u1", "False", "(99999, 99999)", &[1]), labels.clone(), "SPECTRAL_MAX_DATA=N raises the limit"),
            (npy("<f4", "False", "(2, 3)", &[1, 2, 3, 4, 5]), labels.clone(), "but 1 values and a part of one"),
            (npy("=f4", "1", "(0, 9223372036854775807, 9223372036854775807)", &[]), labels.clone(), "no samples"),
            (npy("|\n1", "False", "(4,)", &[0; 4]), labels.clone(), "holds `|\\n1`"),
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
        let x = || npy("|u1", "False", "(4, 1)", &[7, 9, 7, 9]);
        let y = || npy("|u1", "False", "(4,)", &[0, 1, 0, 1]);
        let set = write(&[("x", x()), ("y", y())], &options()).unwrap();
        assert_eq!(rows(&set), [(0, vec![7.0], 0), (1, vec![9.0], 1), (2, vec![7.0], 0), (3, vec![9.0], 1)]);
        let split = [("x_train", x()), ("y_train", y()), ("x_test", x()), ("y_test", y())];
        assert!(write(&split, &options()).unwrap_err().contains("leave the test share out"));
        let set = write(&split, &DataOptions::default()).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.rows, set.classes), (4, 4, None, 2));
        // A few bytes of zip that unfold to more than the shape says, and to no more than is read of it.
        let error = write(&[("x", [x(), vec![0; 64 << 20]].concat()), ("y", y())], &options()).unwrap_err();
        assert!(error.contains("but more values") && std::fs::metadata(&path).unwrap().len() < 100_000, "{error}");
        let error = write(&[("a", x())], &options()).unwrap_err();
        assert!(error.contains("has the arrays a; needed are `x` and `y`"), "{error}");
        std::fs::write(&path, "no archive").unwrap();
        assert!(load(path.to_str().unwrap(), &options()).unwrap_err().to_string().contains("not an npz file"));
    }
}
