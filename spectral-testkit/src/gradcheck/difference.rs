//! Difference quotients that are checked for reliability.

use super::{SKIPPED, TOLERANCE};
use crate::Report;
use spectral_core::Result;

/// Steps to try, from the one that best balances truncation (`h^4`) and rounding (`1e-16 / h`) to one that fits between
/// most kinks.
const STEPS: [f64; 4] = [1e-3, 1e-4, 1e-5, 2e-6];

/// The largest relative difference of two quotients that count as settled: a tenth of the gradient's tolerance.
const SETTLED: f64 = TOLERANCE / 10.0;

/// The derivative at 0 of `f`, which is given the step; `None` if it does not settle.
///
/// Five-point central differences of two step sizes must agree. They agree if `f` is smooth over the stencil. A kink
/// inside either stencil makes them differ by a share of the jump in slope, because a quotient weights the two sides of
/// a kink by its place in the stencil; then smaller steps are tried. Exactly on a kink, they settle on the mean of both
/// slopes. The analytic gradient has no part in this, so a wrong one is never excused.
pub(super) fn derivative(floor: f64, mut f: impl FnMut(f64) -> Result<f64>) -> Result<Option<f64>> {
    let mut quotient =
        |h: f64| -> Result<f64> { Ok((8.0 * (f(h)? - f(-h)?) - (f(2.0 * h)? - f(-2.0 * h)?)) / (12.0 * h)) };
    for h in STEPS {
        let (wide, narrow) = (quotient(h)?, quotient(0.3 * h)?);
        if (wide - narrow).abs() <= SETTLED * wide.abs().max(narrow.abs()).max(floor) {
            return Ok(Some(wide));
        }
    }
    Ok(None)
}

/// The comparison of one tensor's gradient with its differences.
pub(super) struct Comparison<'a> {
    name: &'a str,
    gradient: &'a [f64],
    floor: f64,
    settled: usize,
    unsettled: usize,
    worst: (f64, String),
}

impl<'a> Comparison<'a> {
    pub(super) fn new(name: &'a str, gradient: &'a [f64]) -> Self {
        let largest = gradient.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        // Entries far below the largest are sums whose terms cancel; their size says nothing about their rounding
        // errors.
        let floor = (1e-2 * largest).max(1e-4);
        Self { name, gradient, floor, settled: 0, unsettled: 0, worst: (0.0, String::new()) }
    }

    /// The least size that errors are taken relative to.
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }

    pub(super) fn add(&mut self, index: usize, numeric: Option<f64>) {
        let Some(numeric) = numeric else {
            self.unsettled += 1;
            return;
        };
        self.settled += 1;
        let analytic = self.gradient[index];
        let error = (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(self.floor);
        let error = if error.is_nan() { f64::INFINITY } else { error };
        if error > self.worst.0 {
            let text = format!("gradient of `{}`[{index}] is {analytic}, differences give {numeric}", self.name);
            self.worst = (error, text);
        }
    }

    pub(super) fn finish(self, report: &mut Report) {
        let coordinates = self.settled + self.unsettled;
        report.cases += self.settled.saturating_sub(1);
        report.skipped += self.unsettled;
        report.worst = report.worst.max(self.worst.0);
        let (error, text) = self.worst;
        report.expect(error <= TOLERANCE, format!("{text} (relative error {error:.1e})"));
        report.expect(
            self.unsettled as f64 <= SKIPPED * coordinates as f64,
            format!("{} of {coordinates} coordinates of `{}` lie on a kink", self.unsettled, self.name),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smooth_functions_settle_and_are_exact() {
        let d = derivative(1.0, |x| Ok((1.3 + x).sin() * (2.0 * x).exp())).unwrap().unwrap();
        assert!((d - (1.3f64.cos() + 2.0 * 1.3f64.sin())).abs() < 1e-10, "{d}");
    }

    #[test]
    fn a_kink_is_stepped_past_or_skipped_but_never_averaged() {
        for distance in [5e-3, 1.5e-3, 1e-3, 3e-4, 1e-4, 2e-5, 5e-6] {
            let d = derivative(1.0, |x| Ok((x + distance).max(0.0))).unwrap();
            assert!(d.is_none_or(|d| (d - 1.0).abs() < 1e-7), "{distance}: {d:?}");
        }
        assert_eq!(derivative(1.0, |x| Ok(x.max(0.0) + (x - 1e-7).max(0.0))).unwrap(), None);
    }
}
