//! What the outputs of a classifier say: its ranking of the classes, their probabilities, and how sure it is.

use crate::{Error, Result};
use spectral_core::Samples;
use spectral_core::ndarray::{Array2, ArrayView1, ArrayView2};

/// The outputs of a network for some samples, `[samples, outputs]`, as inputs of a softmax. Source: Sparana.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits(Array2<f64>);

impl Logits {
    pub(super) fn new(values: Array2<f64>) -> Self {
        Self(values)
    }

    /// The values, `[samples, outputs]`.
    pub fn values(&self) -> ArrayView2<'_, f64> {
        self.0.view()
    }

    /// Share of samples whose class is among the `k` largest outputs; of equal outputs, the first counts as larger.
    /// With `k = 1`, this is the accuracy.
    ///
    /// # Errors
    /// `k` is not between 1 and the number of outputs, the targets are values, or `data` has another number of samples.
    pub fn top_k_accuracy(&self, data: &Samples, k: usize) -> Result<f64> {
        if k == 0 || k > self.0.ncols() {
            return Err(Error::setting("k", k, "it must be between 1 and the number of outputs"));
        }
        let labels = data
            .labels()
            .ok_or_else(|| spectral_core::Error::Data(format!("{}: its targets are values, not classes", data.name)))?;
        if labels.len() != self.0.nrows() {
            return Err(spectral_core::Error::shape("top-k accuracy", self.0.nrows(), labels.len()).into());
        }
        let among = self.0.rows().into_iter().zip(labels).filter(|(outputs, label)| {
            let label = **label as usize;
            let right = outputs[label];
            let before = |(i, y): (usize, &f64)| *y > right || (*y == right && i < label);
            outputs.iter().enumerate().filter(|entry| before(*entry)).count() < k
        });
        Ok(among.count() as f64 / labels.len() as f64)
    }

    /// Class probabilities `softmax(y)`, `[samples, outputs]`. Each row adds up to 1.
    pub fn probabilities(&self) -> Array2<f64> {
        let mut p = self.0.clone();
        for mut row in p.rows_mut() {
            let top = row.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            row.mapv_inplace(|y| (y - top).exp());
            let sum = row.sum();
            row.mapv_inplace(|y| y / sum);
        }
        p
    }

    /// For each sample, the ratio `p1 / p2` of its two largest class probabilities, computed as `exp(y1 - y2)` so that
    /// nothing is divided by a small number; at least 1, at most [`f64::MAX`].
    ///
    /// # Errors
    /// There are fewer than two outputs.
    pub fn top_two_ratio(&self) -> Result<Vec<f64>> {
        if self.0.ncols() < 2 {
            return Err(Error::setting("outputs", self.0.ncols(), "a ratio of the two largest needs at least 2"));
        }
        let ratio = |row: ArrayView1<'_, f64>| {
            let (first, second) = row
                .iter()
                .fold((f64::NEG_INFINITY, f64::NEG_INFINITY), |(a, b), &y| if y > a { (y, a) } else { (a, b.max(y)) });
            (first - second).exp().min(f64::MAX)
        };
        Ok(self.0.rows().into_iter().map(ratio).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_core::Targets;
    use spectral_core::ndarray::array;

    fn labelled(labels: Vec<u32>, classes: usize) -> Samples {
        let inputs = Array2::zeros((labels.len(), 1));
        Samples::new("set", inputs, Targets::Classes { labels, classes }).unwrap()
    }

    /// Sparana lists this as a to-do.
    #[test]
    fn top_k_counts_samples_whose_class_is_among_the_k_largest() {
        let logits = Logits(array![[3.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 0.0]]);
        let data = labelled(vec![2, 0, 1], 4);
        let share = |k| logits.top_k_accuracy(&data, k).unwrap();
        assert_eq!([share(1), share(2), share(3), share(4)], [0.0, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
        for k in [0, 5] {
            let error = logits.top_k_accuracy(&data, k).unwrap_err().to_string();
            assert!(error.contains("between 1 and the number of outputs"), "{error}");
        }
        assert!(logits.top_k_accuracy(&labelled(vec![0], 4), 1).is_err());
        let values = Samples::new("v", Array2::zeros((3, 1)), Targets::Values(Array2::zeros((3, 4)))).unwrap();
        assert!(logits.top_k_accuracy(&values, 1).unwrap_err().to_string().contains("not classes"));
    }

    /// Sparana's `softmax_output` has no exponential and gives 1.24 and -0.24. A large output must not overflow either.
    #[test]
    fn probabilities_are_a_softmax_and_never_overflow() {
        let p = Logits(array![[0.0, 3.0f64.ln()], [1e4, 1e4], [-1e4, 1e4]]).probabilities();
        let expected = array![[0.25, 0.75], [0.5, 0.5], [0.0, 1.0]];
        assert!(p.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-15), "{p}");
    }

    /// In Sparana, the ratio of signed outputs is negative or divides by about 0.
    #[test]
    fn the_ratio_of_the_two_largest_is_that_of_probabilities() {
        let logits = Logits(array![[2.0f64.ln(), 6.0f64.ln(), 0.0], [1e-300, 0.0, -5.0], [-1.0, -3.0, -2.0]]);
        let ratios = logits.top_two_ratio().unwrap();
        for (ratio, expected) in ratios.iter().zip([3.0, 1.0, 1.0f64.exp()]) {
            assert!((ratio - expected).abs() < 1e-14, "{ratios:?}");
        }
        assert_eq!(Logits(array![[0.0, -1e9]]).top_two_ratio().unwrap(), [f64::MAX]);
        assert_eq!(Logits(array![[4.0, 4.0]]).top_two_ratio().unwrap(), [1.0]);
        assert!(Logits(array![[4.0]]).top_two_ratio().is_err());
    }
}
