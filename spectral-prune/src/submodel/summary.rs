//! Fitting one unit to stand for many.

use crate::Result;
use spectral_core::Samples;
use spectral_core::ndarray::Array2;

/// Number of samples that a summary is fitted to.
const FITTED: usize = 1024;

/// At most [`FITTED`] samples, spread evenly over `data`.
pub(super) fn few(data: &Samples) -> Result<Samples> {
    let count = data.len().min(FITTED);
    let rows: Vec<usize> = (0..count).map(|i| i * data.len() / count).collect();
    Ok(data.subset(&rows)?)
}

/// For each of `units`: the factor on the summary's activity that fits the unit's own best, `sum a_r a_s / sum a_s^2`;
/// 1 if the summary is always 0.
pub(super) fn fit(original: &Array2<f64>, units: &[usize], summary: &[f64]) -> Vec<f64> {
    let power: f64 = summary.iter().map(|s| s * s).sum();
    let factor = |&unit: &usize| {
        let product: f64 = original.column(unit).iter().zip(summary).map(|(a, s)| a * s).sum();
        if power > 0.0 { product / power } else { 1.0 }
    };
    units.iter().map(factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_is_fitted_exactly_and_silence_counts_once() {
        let a = Array2::from_shape_vec((3, 2), vec![2.0, -1.0, 4.0, -2.0, 0.0, 0.0]).unwrap();
        assert_eq!(fit(&a, &[0, 1], &[1.0, 2.0, 0.0]), [2.0, -1.0]);
        assert_eq!(fit(&a, &[1], &[0.0; 3]), [1.0]);
    }
}
