//! The 8x8 digits, embedded in the program.
//!
//! 1,797 images of handwritten digits with pixels 0 to 16: the test part of E. Alpaydin, C. Kaynak, "Optical
//! Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, licensed CC BY 4.0
//! (<https://doi.org/10.24432/C50P49>), as distributed with scikit-learn.

use crate::dataset::{Unsplit, scaled};
use crate::idx::Idx;
use crate::{DataOptions, Dataset, DatasetEntry, Error, Result};
use spectral_core::Preprocessing;
use std::path::Path;

const IMAGES: &[u8] = include_bytes!("../../data/digits-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../data/digits-labels-idx1-ubyte.gz");

crate::register_dataset!(DatasetEntry {
    name: "digits",
    summary: "1,797 handwritten digits of 8x8 pixels, part of the program (UCI, CC BY 4.0)",
    classes: 10,
    features: 64,
    load: digits,
    files: &[],
    mirrors: &[],
});

fn digits(options: &DataOptions) -> Result<Dataset> {
    let path = Path::new("embedded digits");
    let images = Idx::read(IMAGES, 3, path)?.into_images(path)?;
    let labels = Idx::read(LABELS, 1, path)?.labels(10, path)?;
    if labels.len() != images.count {
        return Err(Error::format(path, "numbers of images and labels differ"));
    }
    let preprocessing = Preprocessing { scale: 1.0 / 16.0, ..Preprocessing::default() };
    Unsplit {
        name: "digits".into(),
        inputs: scaled(path, &images.pixels, images.count, &preprocessing)?,
        labels,
        class_names: (0..10).map(|d| d.to_string()).collect(),
        preprocessing,
    }
    .split(options)
}

#[cfg(test)]
mod tests {
    use crate::{DataOptions, load};

    #[test]
    fn the_split_is_stratified_and_scaled() {
        let set = load("digits", &DataOptions::default()).unwrap();
        assert_eq!((set.train.len(), set.test.len(), set.train.features(), set.classes), (1437, 360, 64, 10));
        assert!(set.train.inputs().iter().all(|v| (0.0..=1.0).contains(v)));
        assert_eq!(set.train.inputs().iter().copied().fold(0.0, f32::max), 1.0);
        for class in 0..10 {
            let count = set.test.labels().unwrap().iter().filter(|l| **l == class).count();
            assert!((34..=38).contains(&count), "class {class}: {count}");
        }
        assert_eq!(set.origin.split_seed, Some(0));
        let rows = set.rows.unwrap();
        let mut all: Vec<usize> = rows.train.iter().chain(&rows.test).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1797).collect::<Vec<_>>());
    }

    #[test]
    fn the_seed_alone_decides_the_split() {
        let with = |seed| load("digits", &DataOptions { split_seed: Some(seed), ..Default::default() }).unwrap();
        assert_eq!(with(1).test.inputs(), with(1).test.inputs());
        assert_ne!(with(1).rows, with(2).rows);
    }

    #[test]
    fn the_first_image_is_a_zero() {
        let options = DataOptions { test_share: Some(0.01), ..Default::default() };
        let set = load("digits", &options).unwrap();
        let rows = set.rows.unwrap();
        assert_eq!(rows.train[0], 0);
        let first: Vec<u8> = set.train.inputs().row(0).iter().take(8).map(|v| (v * 16.0) as u8).collect();
        assert_eq!((set.train.labels().unwrap()[0], first), (0, vec![0, 0, 5, 13, 9, 1, 0, 0]));
    }
}
