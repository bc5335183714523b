//! Samples from a CSV file: one row a sample, numbers and a label.

#![cfg_attr(not(test), deny(clippy::as_conversions, clippy::indexing_slicing))]

use crate::bounded::Text;
use crate::classes::classes;
use crate::dataset::Unsplit;
use crate::{DataOptions, Dataset, Error, Result};
use csv::StringRecord;
use ndarray::Array2;
use spectral_core::registry::Unknown;
use spectral_core::{Limits, Preprocessing};
use std::path::Path;

/// Loads a CSV file. A first row with words where numbers belong is taken for a header.
pub(crate) fn load(name: &str, options: &DataOptions) -> Result<Dataset> {
    let path = Path::new(name);
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let bad = |e: csv::Error| match e.into_kind() {
        csv::ErrorKind::Io(source) => Error::io(path)(source),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |p| p.line());
            Error::format(path, format!("line {line} has {len} fields, the first one has {expected_len}"))
        }
        csv::ErrorKind::Utf8 { err, .. } => Error::format(path, format!("is not text in UTF-8: {err}")),
        other => Error::format(path, format!("is not CSV: {other:?}")),
    };
    let text = Text::new(file, Limits::get()?.data);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text);
    let mut records = reader.records();
    let first = match records.next() {
        Some(first) => first.map_err(bad)?,
        None => return Err(Error::format(path, "is empty; it needs one row a sample")),
    };
    let columns = first.len();
    if columns < 2 {
        return Err(Error::format(path, "has one column; it needs numbers and a label, separated by commas"));
    }
    let (label, header) = label_column(&first, options.label.as_deref())?;
    let mut values = Vec::new();
    let mut labels = Vec::new();
    let rows = (!header).then_some(Ok(first)).into_iter().chain(records);
    for row in rows {
        let row = row.map_err(bad)?;
        let line = row.position().map_or(0, csv::Position::line);
        for (column, field) in row.iter().enumerate() {
            if column == label {
                labels.push(field.to_owned());
            } else {
                let problem =
                    |_| Error::format(path, format!("line {line}, column {column}: `{field}` is not a number"));
                values.push(field.parse::<f32>().map_err(problem)?);
            }
        }
    }
    let (labels, class_names) = classes(name, &labels)?;
    let inputs = Array2::from_shape_vec((labels.len(), columns.saturating_sub(1)), values);
    let inputs = inputs.map_err(|e| Error::format(path, e.to_string()))?;
    let preprocessing = Preprocessing::default();
    Unsplit { name: name.into(), inputs, labels, class_names, preprocessing }.split(options)
}

/// The column with the label, and whether the first row is a header.
fn label_column(first: &StringRecord, wanted: Option<&str>) -> Result<(usize, bool)> {
    let named = wanted.and_then(|w| first.iter().position(|f| f == w));
    let numbered = wanted.and_then(|w| w.parse::<usize>().ok()).filter(|&c| c < first.len());
    let column = match (wanted, numbered.or(named)) {
        (None, _) => first.len().saturating_sub(1),
        (Some(_), Some(column)) => column,
        (Some(wanted), None) => {
            let known: Vec<&str> = first.iter().collect();
            return Err(spectral_core::Error::from(Unknown::new("column", wanted, &known)).into());
        }
    };
    let words = first.iter().enumerate().any(|(c, f)| c != column && f.parse::<f32>().is_err());
    Ok((column, words || (numbered.is_none() && named.is_some())))
}

#[cfg(test)]
mod tests {
    use crate::{DataOptions, Dataset, load};

    fn read(text: &str, label: Option<&str>) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        let options = DataOptions { label: label.map(Into::into), test_share: Some(0.5), ..Default::default() };
        load(path.to_str().unwrap(), &options).map_err(|e| e.to_string())
    }

    fn first(set: &Dataset) -> (Vec<f32>, u32) {
        let side = if set.rows.as_ref().unwrap().train[0] == 0 { &set.train } else { &set.test };
        (side.inputs().row(0).to_vec(), side.labels().unwrap()[0])
    }

    #[test]
    fn headers_and_label_columns_are_found() {
        let cases = [
            ("1,2.5,0\n3,4,1\n1,2.5,0\n3,4,1\n", None, vec![1.0, 2.5], 0),
            ("a,b,kind\n1, 2.5 ,yes\n3,4,no\n1,2.5,yes\n3,4,no\n", None, vec![1.0, 2.5], 1),
            ("kind,a,b\nyes,1,2\nno,3,4\nyes,1,2\nno,3,4\n", Some("kind"), vec![1.0, 2.0], 1),
            ("0,1,2\n1,3,4\n0,1,2\n1,3,4\n", Some("0"), vec![1.0, 2.0], 0),
            ("\"b\",1,2\n\"a\",3,4\nb,1,2\na,3,4", Some("0"), vec![1.0, 2.0], 1),
        ];
        for (text, label, values, class) in cases {
            let set = read(text, label).unwrap();
            assert_eq!(first(&set), (values, class), "{text}");
            assert_eq!(set.train.len() + set.test.len(), 4);
        }
    }

    /// A model remembers the origin; what judges it later must be the samples it never saw.
    #[test]
    fn the_origin_loads_the_same_split_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let rows: String = (0..40).map(|i| format!("{},{i},{}\n", i % 2, i * i)).collect();
        std::fs::write(&path, rows).unwrap();
        let (source, label) = (path.to_str().unwrap(), Some("0".to_owned()));
        let options = DataOptions { label, test_share: Some(0.3), split_seed: Some(5), ..Default::default() };
        let set = load(source, &options).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (28, 12));
        let again = load(source, &DataOptions::default().again(&set.origin)).unwrap();
        assert_eq!((again.rows, again.test.inputs()), (set.rows, set.test.inputs()));
    }

    #[test]
    fn options_that_do_not_fit_the_source_are_refused() {
        let label = DataOptions { label: Some("x".into()), ..Default::default() };
        let error = load("digits", &label).unwrap_err().to_string();
        assert!(error.contains("digits: a label column can be named in a .csv file only"), "{error}");
    }

    #[test]
    fn bad_tables_are_one_clear_error() {
        let cases = [
            ("", None, "is empty"),
            ("1\n2\n", None, "one column"),
            ("a,b\n", None, "no samples"),
            ("1,2,0\n3,1\n", None, "line 2 has 2 fields, the first one has 3"),
            ("1,2,0\n3,x,1\n", None, "line 2, column 1: `x` is not a number"),
            ("1,2,0\n3,,1\n", None, "`` is not a number"),
            ("1,2,0\nNaN,2,1\n1,2,0\nNaN,2,1\n", None, "feature 0 of sample 1 is NaN"),
            ("1,2,0\ninf,2,1\n1,2,0\ninf,2,1\n", None, "feature 0 of sample 1 is inf"),
            ("size,colour,kind\n1,2,0\n", Some("colours"), "did you mean `colour`"),
        ];
        let mut failed = Vec::new();
        for (text, label, word) in cases {
            match read(text, label) {
                Err(e) if e.contains(word) && !e.contains('\n') => {}
                other => failed.push(format!("{text:?}: {other:?}")),
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn what_has_no_end_or_is_no_text_is_refused_in_one_sentence() {
        let of = |from: &mut dyn std::io::Read, limit| {
            let mut text = crate::bounded::Text::new(from, limit);
            let failed = std::io::copy(&mut text, &mut std::io::sink()).unwrap_err();
            crate::Error::io(std::path::Path::new("x.csv"))(failed).to_string()
        };
        let endless = of(&mut std::io::repeat(b'\n'), 1 << 20);
        assert_eq!(endless, "x.csv: takes more than 1048576 bytes; SPECTRAL_MAX_DATA=N raises the limit");
        assert!(of(&mut std::io::repeat(0), 1 << 20).contains("no text"));
        assert!(of(&mut std::io::repeat(b'1'), u64::MAX).contains("a line of more than"));
        let mut good = crate::bounded::Text::new(&b"1,2\n3,4\n"[..], 8);
        assert_eq!(std::io::copy(&mut good, &mut std::io::sink()).unwrap(), 8);
    }

    #[cfg(unix)]
    #[test]
    fn an_endless_device_is_no_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zero.csv");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let error = load(path.to_str().unwrap(), &DataOptions::default()).unwrap_err().to_string();
        assert!(error.ends_with("is no text: it has bytes that are 0"), "{error}");
    }
}
