//! Mean cosine distances between the vectors of classes, computed from sums only.

use serde::{Deserialize, Serialize};

/// Mean cosine distance `1 - cos` between the vectors of two classes, over all pairs of distinct samples.
///
/// The direction of a zero vector is undefined; its cosine with any other vector counts as 0, so its distance is 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassDistances {
    /// Samples of each class.
    counts: Vec<usize>,
    /// Sums of the cosines over the pairs of each two classes, `a <= b`, row by row.
    cosines: Vec<f64>,
}

impl ClassDistances {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Mean distance of a sample of class `a` from one of class `b`, or of two samples of one class if `a = b`.
    ///
    /// `None` if there is no pair of samples, or no such class.
    pub fn mean(&self, a: usize, b: usize) -> Option<f64> {
        self.sum(a, b).and_then(mean)
    }

    /// Mean distance of two samples of different classes, over all pairs of samples: larger classes count more.
    pub fn mean_between(&self) -> Option<f64> {
        let sums = self.pairs().filter(|(a, b)| a != b).filter_map(|(a, b)| self.sum(a, b));
        mean(sums.fold((0.0, 0), |(sum, pairs), (s, p)| (sum + s, pairs + p)))
    }

    /// Mean over all pairs of different classes of their mean distance: every class counts the same.
    pub fn class_mean_between(&self) -> Option<f64> {
        average(self.pairs().filter(|(a, b)| a != b).filter_map(|(a, b)| self.mean(a, b)))
    }

    /// Mean over all classes of the mean distance of two samples of the class.
    pub fn class_mean_within(&self) -> Option<f64> {
        average((0..self.classes()).filter_map(|class| self.mean(class, class)))
    }

    /// The sum of the distances and the number of pairs.
    fn sum(&self, a: usize, b: usize) -> Option<(f64, u64)> {
        let (a, b) = (a.min(b), a.max(b));
        let (n, m) = (*self.counts.get(a)? as u64, *self.counts.get(b)? as u64);
        let pairs = if a == b { n * n.saturating_sub(1) / 2 } else { n * m };
        Some((pairs as f64 - self.cosines[a * self.classes() + b], pairs))
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let classes = self.classes();
        (0..classes).flat_map(move |a| (a..classes).map(move |b| (a, b)))
    }
}

fn mean((sum, pairs): (f64, u64)) -> Option<f64> {
    (pairs > 0).then(|| (sum / pairs as f64).clamp(0.0, 2.0))
}

fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Sums over the vectors of each class. All mean distances follow from them without visiting pairs.
///
/// With `u = v / |v|`, the cosines of all pairs of two classes add up to the product of the two sums of `u`. Within a
/// class they add up to half of the square of its sum, after the pairs of samples with themselves are subtracted.
#[derive(Debug)]
pub(super) struct Sums {
    width: usize,
    counts: Vec<usize>,
    /// Vectors of each class that are not zero.
    directed: Vec<usize>,
    /// `[classes, width]`.
    directions: Vec<f64>,
}

impl Sums {
    pub(super) fn new(classes: usize, width: usize) -> Self {
        Self { width, counts: vec![0; classes], directed: vec![0; classes], directions: vec![0.0; classes * width] }
    }

    /// Adds vectors, `[width, batch]`, one for each label.
    pub(super) fn add(&mut self, values: &[f64], labels: &[u32]) {
        let batch = labels.len();
        for (sample, label) in labels.iter().enumerate() {
            let class = *label as usize;
            self.counts[class] += 1;
            let vector = || values.iter().skip(sample).step_by(batch);
            // Scaling by the largest entry first keeps squares from over- or underflowing.
            let largest = vector().fold(0.0f64, |m, v| m.max(v.abs()));
            if largest == 0.0 || !largest.is_finite() {
                continue;
            }
            let norm = vector().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt();
            self.directed[class] += 1;
            let sum = &mut self.directions[class * self.width..][..self.width];
            sum.iter_mut().zip(vector()).for_each(|(s, v)| *s += v / largest / norm);
        }
    }

    pub(super) fn distances(self) -> ClassDistances {
        let classes = self.counts.len();
        let of = |class: usize| &self.directions[class * self.width..][..self.width];
        let mut cosines = vec![0.0; classes * classes];
        for a in 0..classes {
            for b in a..classes {
                let product: f64 = of(a).iter().zip(of(b)).map(|(x, y)| x * y).sum();
                let sum = if a == b { (product - self.directed[a] as f64) / 2.0 } else { product };
                cosines[a * classes + b] = sum;
            }
        }
        ClassDistances { counts: self.counts, cosines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Seed;

    /// The distances of `vectors`, one for each label.
    fn measured(vectors: &[Vec<f64>], labels: &[u32], classes: usize) -> ClassDistances {
        let (width, n) = (vectors[0].len(), vectors.len());
        let mut sums = Sums::new(classes, width);
        for rows in [0..n / 3, n / 3..n] {
            let values: Vec<f64> = (0..width).flat_map(|f| vectors[rows.clone()].iter().map(move |v| v[f])).collect();
            sums.add(&values, &labels[rows]);
        }
        sums.distances()
    }

    fn cosine(a: &[f64], b: &[f64]) -> f64 {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        if norms == 0.0 { 0.0 } else { dot(a, b) / norms }
    }

    /// Sparana also counts every sample with itself, and gives NaN for zero vectors.
    #[test]
    fn sums_give_the_mean_over_all_pairs_of_distinct_samples() {
        let mut stream = Seed(4).stream("test", 0);
        let (n, classes) = (41, 5);
        let labels: Vec<u32> = (0..n).map(|_| stream.below(classes) as u32).collect();
        let mut vectors: Vec<Vec<f64>> = (0..n).map(|_| (0..7).map(|_| stream.normal()).collect()).collect();
        vectors[3] = vec![0.0; 7];
        vectors[20] = vec![0.0; 7];
        let got = measured(&vectors, &labels, classes);
        let (mut all, mut pairs) = (0.0, 0);
        for a in 0..classes {
            for b in a..classes {
                let mut sum = (0.0, 0);
                for i in 0..n {
                    for j in 0..i {
                        let (low, high) = (labels[i].min(labels[j]) as usize, labels[i].max(labels[j]) as usize);
                        if (low, high) == (a, b) {
                            sum = (sum.0 + 1.0 - cosine(&vectors[i], &vectors[j]), sum.1 + 1);
                        }
                    }
                }
                let expected = sum.0 / f64::from(sum.1);
                assert!((got.mean(a, b).unwrap() - expected).abs() < 1e-12, "{a} {b}");
                assert_eq!(got.mean(a, b), got.mean(b, a));
                if a != b {
                    (all, pairs) = (all + sum.0, pairs + sum.1);
                }
            }
        }
        assert!((got.mean_between().unwrap() - all / f64::from(pairs)).abs() < 1e-12);
    }

    /// In Sparana, two samples of a class at distance `d` give `d / 3`, and the mean is not weighted by counts.
    #[test]
    fn two_samples_have_their_own_distance_and_classes_count_as_asked() {
        let vectors = [[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1e-200, 0.0], [1e200, 0.0]].map(Vec::from);
        let got = measured(&vectors, &[0, 0, 1, 2, 2], 4);
        assert_eq!(
            [got.mean(0, 0), got.mean(1, 1), got.mean(2, 2), got.mean(3, 3)],
            [Some(1.0), None, Some(0.0), None]
        );
        assert_eq!([got.mean(0, 1), got.mean(0, 2), got.mean(1, 2)], [Some(1.5), Some(0.5), Some(2.0)]);
        assert_eq!((got.mean(0, 3), got.mean(7, 0)), (None, None));
        assert_eq!(got.class_mean_between(), Some((1.5 + 0.5 + 2.0) / 3.0));
        assert_eq!(got.mean_between(), Some((2.0 * 1.5 + 4.0 * 0.5 + 2.0 * 2.0) / 8.0));
        assert_eq!(got.class_mean_within(), Some(0.5));
    }

    /// Sparana takes index 0 for no index.
    #[test]
    fn class_zero_has_a_distance_of_its_own() {
        let vectors = [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [1.0, 0.0]].map(Vec::from);
        let got = measured(&vectors, &[0, 0, 1, 1], 2);
        assert_eq!((got.mean(0, 0), got.mean(1, 1), got.class_mean_within()), (Some(2.0), Some(0.0), Some(1.0)));
    }

    /// In Sparana, zero activations give NaN.
    #[test]
    fn zero_vectors_are_at_distance_one_from_everything() {
        let vectors = [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]].map(Vec::from);
        let got = measured(&vectors, &[0, 0, 1], 2);
        assert_eq!((got.mean(0, 0), got.mean(0, 1)), (Some(1.0), Some(1.0)));
    }
}
