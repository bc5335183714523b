//! Operations on sets: keep, remove and rename classes, join sets, and distribute a set.

use super::{Samples, Targets};
use crate::base::{Error, Result, Seed};
use ndarray::Axis;

impl Samples {
    /// Number of classes, if the targets are classes.
    pub fn classes(&self) -> Option<usize> {
        match &self.targets {
            Targets::Classes { classes, .. } => Some(*classes),
            Targets::Values(_) => None,
        }
    }

    /// The samples of the classes in `keep`, in their old order. Labels and number of classes stay as they were.
    ///
    /// # Errors
    /// The targets are values, a class does not exist, or no sample is of these classes.
    pub fn of_classes(&self, keep: &[u32]) -> Result<Self> {
        let labels = self.labels_with(keep)?;
        self.rows_where(|row| keep.contains(&labels[row]), || format!("no sample is of the classes {keep:?}"))
    }

    /// The samples of all classes except those in `remove`. Labels and number of classes stay as they were.
    ///
    /// # Errors
    /// The targets are values, a class does not exist, or no sample is left.
    pub fn without_classes(&self, remove: &[u32]) -> Result<Self> {
        let labels = self.labels_with(remove)?;
        let none = || format!("no sample is left without the classes {remove:?}");
        self.rows_where(|row| !remove.contains(&labels[row]), none)
    }

    /// Removes classes together with their outputs.
    ///
    /// Returns the samples of the other classes, renumbered without gaps in their old order, and for each class of
    /// `remove` its samples with their old labels. [`relabel`](Self::relabel) prepares a removed class to be added
    /// again under any label: `removed[0].relabel(classes, |_| label)`. It also makes room in the rest:
    /// `rest.relabel(classes, |label| label)`.
    ///
    /// # Errors
    /// The targets are values, a class does not exist or has no sample, or no sample is left.
    pub fn remove_classes(&self, remove: &[u32]) -> Result<(Self, Vec<Self>)> {
        let removed = remove.iter().map(|class| self.of_classes(&[*class])).collect::<Result<Vec<_>>>()?;
        let rest = self.without_classes(remove)?;
        let before = |label: u32| (0..label).filter(|class| !remove.contains(class)).count();
        let left = before(self.targets.outputs() as u32);
        Ok((rest.relabel(left, |label| before(label) as u32)?, removed))
    }

    /// The same samples with label `label(old)` in place of `old`, and with `classes` classes.
    ///
    /// # Errors
    /// The targets are values, or a new label is not below `classes`.
    pub fn relabel(&self, classes: usize, label: impl Fn(u32) -> u32) -> Result<Self> {
        let labels = self.labels_with(&[])?.iter().map(|&old| label(old)).collect();
        Self::new(self.name.clone(), self.inputs.clone(), Targets::Classes { labels, classes })
    }

    /// All samples of `sets`, one set after the other, under the name of the first.
    ///
    /// # Errors
    /// There is no set, or the sets differ in features, in the number of outputs, or in the kind of targets.
    pub fn concat(sets: &[&Self]) -> Result<Self> {
        let [first, rest @ ..] = sets else {
            return Err(Error::Data("there are no sets to put together; give at least one".into()));
        };
        let form = |s: &Self| (s.features(), s.targets.outputs(), s.classes().is_some());
        if let Some(other) = rest.iter().find(|s| form(s) != form(first)) {
            let say = |s: &Self| {
                let kind = if s.classes().is_some() { "classes" } else { "values" };
                format!("{} with {} features and {} {kind}", s.name, s.features(), s.targets.outputs())
            };
            return Err(Error::Data(format!("cannot put together {} and {}", say(first), say(other))));
        }
        let join = |parts: &[ndarray::ArrayView2<'_, f32>]| {
            ndarray::concatenate(Axis(0), parts).map_err(|e| Error::Data(format!("{}: {e}", first.name)))
        };
        let inputs = join(&sets.iter().map(|s| s.inputs()).collect::<Vec<_>>())?;
        let targets = match first.classes() {
            Some(classes) => {
                let labels = sets.iter().filter_map(|s| s.labels()).flatten().copied().collect();
                Targets::Classes { labels, classes }
            }
            None => {
                let values = sets.iter().filter_map(|s| match &s.targets {
                    Targets::Values(v) => Some(v.view()),
                    Targets::Classes { .. } => None,
                });
                Targets::Values(join(&values.collect::<Vec<_>>())?)
            }
        };
        Self::new(first.name.clone(), inputs, targets)
    }

    /// Shuffles the samples by `seed` and distributes them over `parts` sets of nearly equal size, larger sets first.
    /// [`concat`](Self::concat) joins them again.
    ///
    /// # Errors
    /// `parts` is 0 or larger than the number of samples.
    pub fn distribute(&self, parts: usize, seed: Seed) -> Result<Vec<Self>> {
        if parts == 0 || parts > self.len() {
            let problem = format!("{} samples cannot be dealt out to {parts} parts; each needs one", self.len());
            return Err(Error::Data(format!("{}: {problem}", self.name)));
        }
        let mut rows: Vec<usize> = (0..self.len()).collect();
        seed.stream("distribute", 0).shuffle(&mut rows);
        let (size, larger) = (self.len() / parts, self.len() % parts);
        let mut rest = rows.as_slice();
        (0..parts)
            .map(|part| {
                let (own, others) = rest.split_at(size + usize::from(part < larger));
                rest = others;
                self.subset(own)
            })
            .collect()
    }

    /// The labels, if all of `classes` exist.
    fn labels_with(&self, classes: &[u32]) -> Result<&[u32]> {
        let Targets::Classes { labels, classes: count } = &self.targets else {
            return Err(Error::Data(format!("{}: its targets are values, not classes", self.name)));
        };
        match classes.iter().find(|class| **class as usize >= *count) {
            Some(class) => {
                Err(Error::Data(format!("{}: class {class} does not exist, there are {count} from 0 on", self.name)))
            }
            None => Ok(labels),
        }
    }

    fn rows_where(&self, holds: impl Fn(usize) -> bool, none: impl Fn() -> String) -> Result<Self> {
        let rows: Vec<usize> = (0..self.len()).filter(|&row| holds(row)).collect();
        if rows.is_empty() {
            return Err(Error::Data(format!("{}: {}", self.name, none())));
        }
        self.subset(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Sample `i` has the input `i` and the class `i % classes`.
    fn set(n: usize, classes: usize) -> Samples {
        let labels = (0..n).map(|i| (i % classes) as u32).collect();
        Samples::new("set", Array2::from_shape_fn((n, 1), |(i, _)| i as f32), Targets::Classes { labels, classes })
            .unwrap()
    }

    fn ids(s: &Samples) -> Vec<usize> {
        s.inputs().column(0).iter().map(|v| *v as usize).collect()
    }

    /// Samples of removed classes go, and so do their label columns; the other classes move up.
    #[test]
    fn removed_classes_leave_with_their_outputs() {
        let (rest, removed) = set(20, 5).remove_classes(&[3, 1]).unwrap();
        assert_eq!((rest.classes(), rest.len()), (Some(3), 12));
        for (id, label) in ids(&rest).iter().zip(rest.labels().unwrap()) {
            assert_eq!([0, 9, 1, 9, 2][id % 5], *label as usize);
        }
        assert_eq!(removed.iter().map(ids).collect::<Vec<_>>(), [vec![3, 8, 13, 18], vec![1, 6, 11, 16]]);
        assert_eq!(removed[0].labels().unwrap(), [3; 4]);
    }

    /// A removed class comes back under a chosen label, in a set with room for it.
    #[test]
    fn removed_classes_come_back_under_chosen_labels() {
        let (rest, removed) = set(20, 5).remove_classes(&[3, 1]).unwrap();
        let wider = rest.relabel(4, |label| label).unwrap();
        let back = removed[0].relabel(4, |_| 3).unwrap();
        let all = Samples::concat(&[&wider, &back]).unwrap();
        assert_eq!((all.len(), all.classes()), (16, Some(4)));
        assert_eq!(all.labels().unwrap()[12..], [3; 4]);
        assert_eq!(ids(&all)[12..], [3, 8, 13, 18]);
    }

    #[test]
    fn filters_keep_order_labels_and_outputs() {
        let s = set(10, 5);
        let kept = s.of_classes(&[4, 0]).unwrap();
        assert_eq!((ids(&kept), kept.classes()), (vec![0, 4, 5, 9], Some(5)));
        let other = s.without_classes(&[4, 0]).unwrap();
        assert_eq!(ids(&other), [1, 2, 3, 6, 7, 8]);
        assert_eq!(other.labels().unwrap(), [1, 2, 3, 1, 2, 3]);
    }

    /// Parts are nearly equal, larger ones first, and hold every sample once.
    #[test]
    fn distributed_parts_hold_every_sample_once() {
        let s = set(23, 5);
        let parts = s.distribute(4, Seed(1)).unwrap();
        assert_eq!(parts.iter().map(Samples::len).collect::<Vec<_>>(), [6, 6, 6, 5]);
        let all = Samples::concat(&parts.iter().collect::<Vec<_>>()).unwrap();
        assert_ne!(ids(&all), (0..23).collect::<Vec<_>>());
        let mut sorted = ids(&all);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..23).collect::<Vec<_>>());
        assert!(ids(&all).iter().zip(all.labels().unwrap()).all(|(id, label)| id % 5 == *label as usize));
        assert_eq!(ids(&s.distribute(4, Seed(1)).unwrap()[2]), ids(&parts[2]));
        assert_ne!(ids(&s.distribute(4, Seed(2)).unwrap()[2]), ids(&parts[2]));
    }

    #[test]
    fn impossible_requests_name_the_problem() {
        let s = set(4, 5);
        let values = Samples::new("values", Array2::zeros((4, 1)), Targets::Values(Array2::zeros((4, 5)))).unwrap();
        let wide = Samples::new("wide", Array2::zeros((1, 2)), Targets::Classes { labels: vec![0], classes: 5 });
        for (result, word) in [
            (s.of_classes(&[5]), "class 5 does not exist, there are 5 from 0 on"),
            (s.without_classes(&[7]), "class 7 does not exist"),
            (s.of_classes(&[4]), "no sample is of the classes [4]"),
            (s.of_classes(&[]), "no sample is of the classes []"),
            (s.without_classes(&[0, 1, 2, 3]), "no sample is left"),
            (s.remove_classes(&[4]).map(|(rest, _)| rest), "no sample is of the classes [4]"),
            (s.relabel(2, |label| label), "label 2 of sample 2 is not below the 2 classes"),
            (values.of_classes(&[0]), "values, not classes"),
            (Samples::concat(&[]), "no sets"),
            (Samples::concat(&[&s, &values]), "1 features and 5 values"),
            (Samples::concat(&[&s, &wide.unwrap()]), "wide with 2 features"),
            (s.distribute(0, Seed(0)).map(|mut p| p.remove(0)), "0 parts"),
            (s.distribute(5, Seed(0)).map(|mut p| p.remove(0)), "4 samples cannot be dealt out to 5 parts"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(word), "`{word}` in {error}");
        }
    }
}
