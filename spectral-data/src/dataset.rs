//! A loaded data set, and loading by name or path.

use crate::{DatasetEntry, Error, Result};
use ndarray::Array2;
use spectral_core::{DataOrigin, Preprocessing, Samples, Seed, Targets, registry};
use std::path::{Path, PathBuf};

/// The environment variable that names the data folder when [`DataOptions::dir`] does not.
pub const ENV_DIR: &str = "SPECTRAL_DATA";

/// Training and test samples, ready for a network.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What to train on.
    pub train: Samples,
    /// What to judge by.
    pub test: Samples,
    /// Enough to load the same again.
    pub origin: DataOrigin,
    /// How raw values became inputs; already applied.
    pub preprocessing: Preprocessing,
    /// Number of classes.
    pub classes: usize,
    /// What the classes are called, in order.
    pub class_names: Vec<String>,
    /// Rows of the source that each side consists of; `None` where the set comes split.
    pub rows: Option<SplitRows>,
}

/// Which rows of a source went where, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRows {
    /// Rows to train on.
    pub train: Vec<usize>,
    /// Rows to judge by.
    pub test: Vec<usize>,
}

/// How a data set is loaded. The default is right for the registered sets.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// Folder with a set's files, or with one folder a set; else `SPECTRAL_DATA` says.
    pub dir: Option<PathBuf>,
    /// Seed of the train/test split, for sets that do not come split; else 0.
    pub split_seed: Option<u64>,
    /// Share of the samples to judge by, for sets that do not come split; else 0.2.
    pub test_share: Option<f64>,
    /// For a CSV file: the column with the label, by name or by number from 0; else the last one.
    pub label: Option<String>,
    /// For an npy file: the file with the labels; else `STEM_labels.npy` beside it.
    pub labels: Option<PathBuf>,
}

impl DataOptions {
    /// What loads the data of `origin` again, split as it was.
    pub fn again(self, origin: &DataOrigin) -> Self {
        let DataOrigin { name: _, split_seed, test_share, label } = origin.clone();
        Self { split_seed, test_share, label, ..self }
    }

    /// The data folder: the own one, else that of the environment.
    pub fn folder(&self) -> Option<PathBuf> {
        let from_env = || std::env::var_os(ENV_DIR).filter(|d| !d.is_empty()).map(PathBuf::from);
        self.dir.clone().or_else(from_env)
    }
}

/// Loads the registered set called `source`, or the file at that path (`.csv`, `.npy`, `.npz`).
///
/// # Errors
/// The name is unknown, files are missing, damaged or of another set, an option does not fit the source, or the data
/// is not usable.
pub fn load(source: &str, options: &DataOptions) -> Result<Dataset> {
    let extension = Path::new(source).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let unfit = |problem: &str| spectral_core::Error::Data(format!("{source}: {problem}"));
    if options.label.is_some() && extension.as_deref() != Some("csv") {
        return Err(unfit("a label column can be named in a .csv file only; leave it out").into());
    }
    let loaded = match extension.as_deref() {
        Some("csv") => crate::table::load(source, options),
        Some("npy") => crate::npy::load_npy(source, options),
        Some("npz") => crate::npy::load_npz(source, options),
        _ if Path::new(source).is_file() => Err(Error::format(Path::new(source), "is no .csv, .npy or .npz file")),
        _ => (registry::find::<DatasetEntry>(source)?.load)(options),
    }?;
    if options.test_share.is_some() && loaded.rows.is_none() {
        return Err(unfit("comes split into training and test samples; leave the test share out").into());
    }
    Ok(loaded)
}

/// All samples of a source that does not come split.
pub(crate) struct Unsplit {
    /// What the set is called.
    pub(crate) name: String,
    /// `[samples, features]`, preprocessed.
    pub(crate) inputs: Array2<f32>,
    /// Class of each sample.
    pub(crate) labels: Vec<u32>,
    /// What the classes are called.
    pub(crate) class_names: Vec<String>,
    /// How raw values became inputs.
    pub(crate) preprocessing: Preprocessing,
}

impl Unsplit {
    /// Splits off the test samples: stratified, seeded.
    pub(crate) fn split(self, options: &DataOptions) -> Result<Dataset> {
        let seed = options.split_seed.unwrap_or(0);
        // Rounded up to whole samples, so that a small set keeps at least one to judge by.
        let samples = self.labels.len() as f64;
        let share = (samples * options.test_share.unwrap_or(0.2) - 1e-9).ceil() / samples;
        let classes = self.class_names.len();
        // A split depends on targets alone, so splitting row numbers says which rows go where.
        let rows = Array2::from_shape_fn((self.labels.len(), 1), |(r, _)| r as f32);
        if rows.len() >= 1 << f32::MANTISSA_DIGITS {
            let problem = format!("{}: {} samples are too many to split; split the file first", self.name, rows.len());
            return Err(spectral_core::Error::Data(problem).into());
        }
        let targets = Targets::Classes { labels: self.labels, classes };
        let (train, test) = Samples::new(&self.name, rows, targets.clone())?.split(share, Seed(seed))?;
        let numbers = |s: &Samples| s.inputs().iter().map(|&r| r as usize).collect::<Vec<_>>();
        let rows = SplitRows { train: numbers(&train), test: numbers(&test) };
        let all = Samples::new(&self.name, self.inputs, targets)?;
        Ok(Dataset {
            train: all.subset(&rows.train)?,
            test: all.subset(&rows.test)?,
            origin: DataOrigin {
                name: self.name,
                split_seed: Some(seed),
                test_share: options.test_share,
                label: options.label.clone(),
            },
            preprocessing: self.preprocessing,
            classes,
            class_names: self.class_names,
            rows: Some(rows),
        })
    }
}

/// Bytes as inputs `[samples, features]`.
pub(crate) fn scaled(path: &Path, pixels: &[u8], count: usize, preprocessing: &Preprocessing) -> Result<Array2<f32>> {
    // 256 values are possible, so the arithmetic is done once for each.
    let table: Vec<f32> = (0..=u8::MAX).map(|p| preprocessing.apply(f32::from(p))).collect();
    let values = pixels.iter().map(|&p| table[usize::from(p)]).collect();
    let features = pixels.len().checked_div(count).unwrap_or(0);
    Array2::from_shape_vec((count, features), values).map_err(|e| Error::format(path, e.to_string()))
}
