//! Data in memory: what trainers, criteria and proofs read.

mod classes;
mod loader;

pub use loader::{Loader, MixedLoader};

use crate::base::{Element, Error, Result, Seed};
use crate::tensor::boundary;
use ndarray::{Array2, ArrayView2};

/// Samples and the answers that a network should give for them.
#[derive(Debug, Clone)]
pub struct Samples {
    /// What the set is called in reports.
    pub name: String,
    inputs: Array2<f32>,
    targets: Targets,
}

/// What a network should answer.
#[derive(Debug, Clone)]
pub enum Targets {
    /// One of `classes` classes per sample.
    Classes {
        /// The class of each sample.
        labels: Vec<u32>,
        /// Number of classes.
        classes: usize,
    },
    /// Values to reproduce, `[samples, outputs]`.
    Values(Array2<f32>),
}

impl Targets {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values(v) => v.nrows(),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of outputs that a network needs for these targets.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => *classes,
            Self::Values(v) => v.ncols(),
        }
    }
}

impl Samples {
    /// Samples `[samples, features]` with their targets.
    ///
    /// # Errors
    /// There are none, the numbers of inputs and targets differ, a label is out of range, or a value is NaN or
    /// infinite.
    pub fn new(name: impl Into<String>, inputs: Array2<f32>, targets: Targets) -> Result<Self> {
        let name = name.into();
        let bad = |problem: String| Err(Error::Data(format!("{name}: {problem}")));
        if inputs.is_empty() {
            return bad(format!("no samples ({} of {} features)", inputs.nrows(), inputs.ncols()));
        }
        if inputs.nrows() != targets.len() {
            return bad(format!("{} samples but {} targets", inputs.nrows(), targets.len()));
        }
        if let Some(((row, column), v)) = inputs.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return bad(format!("feature {column} of sample {row} is {v}; clean the data first"));
        }
        match &targets {
            Targets::Classes { labels, classes } => {
                if let Some((i, l)) = labels.iter().enumerate().find(|(_, l)| **l as usize >= *classes) {
                    return bad(format!("label {l} of sample {i} is not below the {classes} classes"));
                }
            }
            Targets::Values(v) => {
                if let Some(((row, column), v)) = v.indexed_iter().find(|(_, v)| !v.is_finite()) {
                    return bad(format!("target {column} of sample {row} is {v}; clean the data first"));
                }
            }
        }
        let inputs = inputs.as_standard_layout().into_owned();
        Ok(Self { name, inputs, targets })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.inputs.nrows()
    }

    /// Never true: a set has at least one sample.
    pub fn is_empty(&self) -> bool {
        self.inputs.nrows() == 0
    }

    /// Values per sample.
    pub fn features(&self) -> usize {
        self.inputs.ncols()
    }

    /// Inputs, `[samples, features]`.
    pub fn inputs(&self) -> ArrayView2<'_, f32> {
        self.inputs.view()
    }

    /// Targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The labels, if the targets are classes.
    pub fn labels(&self) -> Option<&[u32]> {
        match &self.targets {
            Targets::Classes { labels, .. } => Some(labels),
            Targets::Values(_) => None,
        }
    }

    /// The samples at `rows`, in that order.
    ///
    /// # Errors
    /// No row is given, or one is out of range.
    pub fn subset(&self, rows: &[usize]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|r| **r >= self.len()) {
            return Err(Error::Data(format!("{}: sample {row} does not exist, there are {}", self.name, self.len())));
        }
        let targets = match &self.targets {
            Targets::Classes { labels, classes } => {
                Targets::Classes { labels: rows.iter().map(|&r| labels[r]).collect(), classes: *classes }
            }
            Targets::Values(v) => Targets::Values(v.select(ndarray::Axis(0), rows)),
        };
        Self::new(self.name.clone(), self.inputs.select(ndarray::Axis(0), rows), targets)
    }

    /// Splits off a share of the samples, chosen by `seed`. It takes the same share of every class, rounded to whole
    /// samples. The last sample of a class stays with the rest, so that every class can be trained.
    ///
    /// Returns (rest, share); both keep the original order.
    ///
    /// # Errors
    /// The share is not between 0 and 1 (both excluded), or no sample can be split off.
    pub fn split(&self, share: f64, seed: Seed) -> Result<(Self, Self)> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::Data(format!(
                "{}: a share of {share} cannot be split off; it must be between 0 and 1",
                self.name
            )));
        }
        let mut groups: Vec<Vec<usize>> = match &self.targets {
            Targets::Classes { labels, classes } => {
                let mut groups = vec![Vec::new(); *classes];
                labels.iter().enumerate().for_each(|(i, l)| groups[*l as usize].push(i));
                groups
            }
            Targets::Values(_) => vec![(0..self.len()).collect()],
        };
        let mut chosen = vec![false; self.len()];
        // The rounding error is carried to the next class, so that the total is right too.
        let (mut due, mut taken) = (0.0, 0);
        for (class, group) in groups.iter_mut().enumerate() {
            seed.stream("split", class as u64).shuffle(group);
            due += share * group.len() as f64;
            let take = ((due.round() as usize).saturating_sub(taken)).min(group.len().saturating_sub(1));
            taken += take;
            group[..take].iter().for_each(|&i| chosen[i] = true);
        }
        if taken == 0 {
            let samples = match self.len() {
                1 => "its only sample".to_string(),
                n => format!("its {n} samples"),
            };
            let problem = match groups.iter().all(|g| g.len() < 2) {
                true => format!("a share of {share} of {samples} cannot be split off: no class has a second sample"),
                false => format!("a share of {share} of {samples} rounds to none; take a larger share or more samples"),
            };
            return Err(Error::Data(format!("{}: {problem}", self.name)));
        }
        let rows = |side: bool| (0..self.len()).filter(|&i| chosen[i] == side).collect::<Vec<_>>();
        Ok((self.subset(&rows(false))?, self.subset(&rows(true))?))
    }

    /// The order in which epoch `epoch` visits the samples: a permutation that depends only on `seed`, the epoch and
    /// the number of samples.
    pub fn epoch_order(&self, seed: Seed, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        seed.stream("epoch", epoch).shuffle(&mut order);
        order
    }

    /// Writes the inputs of `rows` feature-major, `[features, rows]`.
    pub fn gather_inputs<E: Element>(&self, rows: &[usize], to: &mut [E]) {
        let features = self.features();
        let table = self.inputs.as_slice().unwrap_or(&[]);
        let sample = |b: usize| &table[rows[b] * features..(rows[b] + 1) * features];
        boundary::transpose(rows.len(), sample, |x| E::of(f64::from(x)), to);
    }

    /// Writes the targets of `rows`, `[outputs, rows]`; classes become one-hot columns.
    pub fn gather_targets<E: Element>(&self, rows: &[usize], to: &mut [E]) {
        let batch = rows.len();
        match &self.targets {
            Targets::Classes { labels, .. } => {
                to.fill(E::zero());
                for (b, &row) in rows.iter().enumerate() {
                    to[labels[row] as usize * batch + b] = E::one();
                }
            }
            Targets::Values(v) => {
                for (b, &row) in rows.iter().enumerate() {
                    for (o, v) in v.row(row).iter().enumerate() {
                        to[o * batch + b] = E::of(f64::from(*v));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(n: usize, classes: usize) -> Samples {
        let inputs = Array2::from_shape_fn((n, 3), |(i, j)| (i * 10 + j) as f32);
        let labels = (0..n).map(|i| (i * i % classes) as u32).collect();
        Samples::new("set", inputs, Targets::Classes { labels, classes }).unwrap()
    }

    #[test]
    fn a_split_is_stratified_complete_and_repeatable() {
        let s = set(997, 5);
        let (train, test) = s.split(0.2, Seed(1)).unwrap();
        assert_eq!((train.len(), test.len()), (798, 199));
        for class in 0..5 {
            let count = |s: &Samples| s.labels().unwrap().iter().filter(|l| **l == class).count();
            let share = count(&test) as f64 / count(&s).max(1) as f64;
            assert!(count(&s) == 0 || (share - 0.2).abs() < 0.01, "{share}");
        }
        let mut all: Vec<i64> =
            train.inputs().column(0).iter().chain(test.inputs().column(0)).map(|v| *v as i64).collect();
        all.sort_unstable();
        assert_eq!(all, (0..997).map(|i| i * 10).collect::<Vec<_>>());
        assert_eq!(s.split(0.2, Seed(1)).unwrap().1.inputs(), test.inputs());
        assert_ne!(s.split(0.2, Seed(2)).unwrap().1.inputs(), test.inputs());
    }

    #[test]
    fn every_class_keeps_a_sample_to_train_on() {
        let labels = [vec![0; 1], vec![1; 3], vec![2; 100]].concat();
        let inputs = Array2::from_shape_fn((labels.len(), 1), |(i, _)| i as f32);
        let s = Samples::new("rare", inputs, Targets::Classes { labels, classes: 3 }).unwrap();
        for share in [0.1, 0.5, 0.9, 0.99] {
            let (rest, part) = s.split(share, Seed(3)).unwrap();
            let present = |class| rest.labels().unwrap().contains(&class);
            assert!((0..3).all(present), "{share}");
            assert!(part.len().abs_diff((share * 104.0).round() as usize) <= 3, "{share}: {}", part.len());
        }
    }

    #[test]
    fn a_share_that_comes_to_no_sample_is_named() {
        let error = set(4, 2).split(0.1, Seed(1)).unwrap_err().to_string();
        assert!(error.contains("a share of 0.1 of its 4 samples rounds to none"), "{error}");
        let error = set(1, 2).split(0.5, Seed(1)).unwrap_err().to_string();
        assert!(error.contains("no class has a second sample"), "{error}");
    }

    #[test]
    fn inputs_of_any_extents_are_gathered_feature_major() {
        for (features, batch) in [(1, 1), (5, 16), (16, 16), (37, 33), (48, 100)] {
            let inputs = Array2::from_shape_fn((101, features), |(i, j)| (i * 1000 + j) as f32);
            let labels = (0..101).map(|i| i % 2).collect();
            let s = Samples::new("set", inputs, Targets::Classes { labels, classes: 2 }).unwrap();
            let rows: Vec<usize> = (0..batch).map(|b| b * 37 % 101).collect();
            let mut x = vec![f64::NAN; features * batch];
            s.gather_inputs(&rows, &mut x);
            for (i, x) in x.iter().enumerate() {
                assert_eq!(*x, (rows[i % batch] * 1000 + i / batch) as f64, "{features} features, {batch} rows");
            }
        }
    }

    #[test]
    fn batches_are_feature_major() {
        let s = set(4, 2);
        let mut x = [0.0f32; 6];
        s.gather_inputs(&[3, 1], &mut x);
        assert_eq!(x, [30.0, 10.0, 31.0, 11.0, 32.0, 12.0]);
        let mut t = [9.0f64; 4];
        s.gather_targets(&[0, 1], &mut t);
        assert_eq!(t, [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn bad_data_is_refused() {
        let classes = |labels: Vec<u32>| Targets::Classes { labels, classes: 2 };
        let nan = Array2::from_elem((1, 1), f32::NAN);
        for (inputs, targets, word) in [
            (Array2::zeros((0, 3)), classes(vec![]), "no samples"),
            (Array2::zeros((2, 3)), classes(vec![0]), "2 samples but 1 targets"),
            (Array2::zeros((1, 3)), classes(vec![2]), "label 2"),
            (nan, classes(vec![0]), "NaN"),
        ] {
            let error = Samples::new("set", inputs, targets).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
