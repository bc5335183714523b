//! MNIST and Fashion-MNIST from their official files.
//!
//! Sources: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; H. Xiao, K. Rasul, R.
//! Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017 (MIT licence).

use crate::dataset::scaled;
use crate::files::{self, verify};
use crate::idx::Idx;
use crate::{DataFile, DataOptions, Dataset, DatasetEntry, Error, Result};
use spectral_core::{DataOrigin, Preprocessing, Samples, Targets};
use std::path::Path;

crate::register_dataset!(DatasetEntry {
    name: "mnist",
    summary: "70,000 handwritten digits of 28x28 pixels",
    classes: 10,
    features: 784,
    load: |options| load(&MNIST, options),
    files: MNIST.files,
    mirrors: &["http://storage.googleapis.com/cvdf-datasets/mnist/"],
});

crate::register_dataset!(DatasetEntry {
    name: "fashion-mnist",
    summary: "70,000 pictures of clothes of 28x28 pixels (MIT licence)",
    classes: 10,
    features: 784,
    load: |options| load(&FASHION, options),
    files: FASHION.files,
    mirrors: &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
});

/// A set in MNIST's format: training images and labels, then test images and labels.
struct Official {
    name: &'static str,
    files: &'static [DataFile],
    classes: [&'static str; 10],
}

const MNIST: Official = Official {
    name: "mnist",
    files: &[
        DataFile {
            name: "train-images-idx3-ubyte",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            content_sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        },
        DataFile {
            name: "train-labels-idx1-ubyte",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            content_sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        },
        DataFile {
            name: "t10k-images-idx3-ubyte",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            content_sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        },
        DataFile {
            name: "t10k-labels-idx1-ubyte",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            content_sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ],
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
};

const FASHION: Official = Official {
    name: "fashion-mnist",
    files: &[
        DataFile {
            name: "train-images-idx3-ubyte",
            bytes: 26_421_880,
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            content_sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        },
        DataFile {
            name: "train-labels-idx1-ubyte",
            bytes: 29_515,
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            content_sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
        DataFile {
            name: "t10k-images-idx3-ubyte",
            bytes: 4_422_102,
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            content_sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        },
        DataFile {
            name: "t10k-labels-idx1-ubyte",
            bytes: 5_148,
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            content_sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ],
    classes: ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
};

fn load(set: &Official, options: &DataOptions) -> Result<Dataset> {
    let folder = options.folder().ok_or_else(|| Error::NoFolder { name: set.name.into() })?;
    let preprocessing = Preprocessing { scale: 1.0 / 255.0, ..Preprocessing::default() };
    let side = |images: &DataFile, labels: &DataFile| samples(set, &folder, images, labels, &preprocessing);
    let [train_images, train_labels, test_images, test_labels] = set.files else {
        return Err(spectral_core::Error::Data(format!("{}: needs four files", set.name)).into());
    };
    Ok(Dataset {
        train: side(train_images, train_labels)?,
        test: side(test_images, test_labels)?,
        origin: DataOrigin { name: set.name.into(), ..DataOrigin::default() },
        preprocessing,
        classes: set.classes.len(),
        class_names: set.classes.map(String::from).into(),
        rows: None,
    })
}

fn samples(
    set: &Official,
    folder: &Path,
    images: &DataFile,
    labels: &DataFile,
    preprocessing: &Preprocessing,
) -> Result<Samples> {
    let path = files::locate(set.name, images.name, folder)?;
    let label_path = files::locate(set.name, labels.name, folder)?;
    let pixels = Idx::open(&path, 3)?;
    let given = Idx::open(&label_path, 1)?;
    // Errors inside a file are reported before a wrong checksum.
    let classes = given.labels(set.classes.len(), &label_path)?;
    if pixels.extents.first() != Some(&classes.len()) {
        let (count, extents) = (classes.len(), &pixels.extents);
        let problem = format!("has {count} labels, but {} has images of extents {extents:?}", path.display());
        return Err(Error::format(&label_path, problem));
    }
    verify(set.name, images, pixels.contents(), &path)?;
    verify(set.name, labels, given.contents(), &label_path)?;
    let pixels = pixels.into_images(&path)?;
    let inputs = scaled(&path, &pixels.pixels, pixels.count, preprocessing)?;
    let targets = Targets::Classes { labels: classes, classes: set.classes.len() };
    Ok(Samples::new(set.name, inputs, targets)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use std::fs;
    use std::io::Write;

    fn in_folder(dir: &Path) -> DataOptions {
        DataOptions { dir: Some(dir.into()), ..Default::default() }
    }

    /// The folder with the real files, or `None` after a visible note that the test did not run.
    fn real(set: &str) -> Option<DataOptions> {
        let options = DataOptions::default();
        let there = options.folder().is_some_and(|f| files::locate(set, FASHION.files[0].name, &f).is_ok());
        if !there {
            // Written directly, because the test harness captures the output of passing tests.
            let note = format!("SKIPPED: SPECTRAL_DATA names no folder with {set}; this test did not run\n");
            std::io::stderr().write_all(note.as_bytes()).unwrap();
        }
        there.then_some(options)
    }

    #[test]
    fn the_real_sets_load() {
        for (name, first) in [("mnist", 5), ("fashion-mnist", 9)] {
            let Some(options) = real(name) else { continue };
            let set = load(name, &options).unwrap();
            assert_eq!((set.train.len(), set.test.len(), set.train.features()), (60_000, 10_000, 784));
            assert_eq!(set.train.labels().unwrap()[0], first);
            assert_eq!(set.train.inputs().iter().copied().fold(0.0, f32::max), 1.0);
        }
    }

    #[test]
    fn another_set_in_its_place_is_recognised() {
        let Some(options) = real("fashion-mnist") else { return };
        let fashion = options.folder().unwrap().join("fashion-mnist");
        let error = load("mnist", &in_folder(&fashion)).unwrap_err().to_string();
        assert!(error.contains("expected `train-images-idx3-ubyte` of `mnist`"), "{error}");
        assert!(error.contains("found `train-images-idx3-ubyte` of `fashion-mnist`"), "{error}");
    }

    #[test]
    fn missing_and_damaged_files_are_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        let error = || load("mnist", &in_folder(folder.path())).unwrap_err().to_string();
        assert!(error().contains("`train-images-idx3-ubyte` is neither in") && error().contains("data fetch mnist"));
        write("train-images-idx3-ubyte", &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7, 9]);
        assert!(error().contains("`train-labels-idx1-ubyte` is neither in"));
        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 1, 3]);
        assert!(error().contains("has 1 labels, but"), "{}", error());
        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 3, 10]);
        assert!(error().contains("label 10 of sample 1"), "{}", error());
        write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 3, 4]);
        assert!(error().contains("contents that are not the published ones"), "{}", error());
        assert!(!error().contains('\n'));
    }
}
