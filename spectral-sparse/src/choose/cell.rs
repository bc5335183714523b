//! One layer in one batch class: dense against stored entries.

use super::{ClassChoice, MeasureOptions, Watch};
use crate::convert::Entries;
use crate::measure::{Paired, paired_timed};
use crate::{Error, Result};
use spectral_core::{Affine, BATCH_CLASSES, Backend, Choice, Kernel, Linear, Model, Seed, Shape, SparseLinear, Tensor};
use std::collections::BTreeMap;

/// The choice for every batch class.
pub(super) fn choose(
    model: &Model,
    affine: &Affine,
    stored: Entries,
    watch: Watch<'_>,
) -> Result<BTreeMap<usize, ClassChoice>> {
    let (rows, columns) = (affine.weight.rows(), affine.weight.columns());
    let zeros = 1.0 - stored.pattern.nonzeros() as f64 / (rows * columns).max(1) as f64;
    let least = watch.options.min_zeros;
    if zeros < least {
        let reason = format!("dense: {} of weights are zero, below {}: not measured", percent(zeros), percent(least));
        let dense = ClassChoice::untimed(Kernel::Dense, reason);
        return Ok(BATCH_CLASSES.into_iter().map(|class| (class, dense.clone())).collect());
    }
    let backend = &**model.backend();
    let tensor = |shape, values: &[f64]| -> Result<Tensor> {
        let mut t = backend.zeros(shape, model.dtype())?;
        backend.write(values, &mut t)?;
        Ok(t)
    };
    let weight = &tensor(Shape::matrix(rows, columns), &affine.weight.to_dense(backend)?)?;
    let (pattern, values) = (&*stored.pattern, &tensor(Shape::vector(stored.values.len()), &stored.values)?);
    let (bias, activation) = (affine.bias.as_ref(), affine.activation);
    let mut classes = BTreeMap::new();
    for class in BATCH_CLASSES {
        let mut stream = Seed(0).stream("measure", class as u64);
        let x: Vec<f64> = (0..columns * class).map(|_| stream.uniform(-1.0, 1.0)).collect();
        let x = &tensor(Shape::matrix(columns, class), &x)?;
        let dense = Linear { x, weight, bias, activation };
        let sparse = SparseLinear { x, pattern, values, bias, activation };
        classes.insert(class, judge(&compare(backend, &dense, &sparse, watch)?, zeros, watch.options));
    }
    Ok(classes)
}

/// Times both kernels where the backend's threads are at hand, as inference does.
fn compare(backend: &dyn Backend, dense: &Linear<'_>, sparse: &SparseLinear<'_>, watch: Watch<'_>) -> Result<Paired> {
    let shape = Shape::matrix(sparse.pattern.rows(), sparse.x.shape().columns());
    let mut y = [backend.zeros(shape, sparse.x.dtype())?, backend.zeros(shape, sparse.x.dtype())?];
    let [y_dense, y_sparse] = &mut y;
    let mut result = None;
    backend.within(&mut || {
        let run_dense = || {
            backend.linear(dense, y_dense, None)?;
            backend.synchronize()
        };
        let run_sparse = || {
            backend.sparse_linear(sparse, y_sparse, None)?;
            backend.synchronize()
        };
        result = Some(paired_timed(watch.clock, &watch.options.timing, run_dense, run_sparse));
    });
    let unfinished = || Error::Measure(format!("backend `{}` did not run the kernels", backend.name()));
    Ok(result.ok_or_else(unfinished)??)
}

/// The kernel that the numbers speak for, in words.
fn judge(compared: &Paired, zeros: f64, options: &MeasureOptions) -> ClassChoice {
    let Paired { ratio_median: gain, quartiles, a_median: dense, b_median: csr, .. } = *compared;
    let (kernel, reason) = if gain < options.min_gain {
        let reason = if gain < 1.0 {
            format!("dense: {} of weights are zero; csr {gain:.2}x", percent(zeros))
        } else {
            format!("dense: csr only {gain:.2}x, below {:.2}x", options.min_gain)
        };
        (Kernel::Dense, reason)
    } else if quartiles.0 <= 1.0 {
        (Kernel::Dense, format!("dense: csr {gain:.2}x, but only {:.2}x in a quarter of the pairs", quartiles.0))
    } else {
        let times = format!("{} against {}", time(csr), time(dense));
        (Kernel::Csr, format!("csr {gain:.1}x faster than dense: {times}"))
    };
    ClassChoice { choice: Choice { kernel, reason }, dense_ns: Some(dense), csr_ns: Some(csr) }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Two or three digits and the unit that fits.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ..1e3 => (ns, "ns"),
        ..1e6 => (ns / 1e3, "us"),
        _ => (ns / 1e6, "ms"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_give_the_numbers() {
        let paired = |dense: f64, csr: f64, low: f64| Paired {
            ratio_median: dense / csr,
            quartiles: (low, dense / csr),
            interval: (low, dense / csr),
            a_median: dense,
            b_median: csr,
            pairs: 25,
        };
        for (paired, kernel, reason) in [
            (paired(37_000.0, 12_000.0, 2.0), Kernel::Csr, "csr 3.1x faster than dense: 12 us against 37 us"),
            (paired(2_400_000.0, 900.0, 9.0), Kernel::Csr, "csr 2666.7x faster than dense: 900 ns against 2.4 ms"),
            (paired(10_200.0, 10_000.0, 1.01), Kernel::Dense, "dense: csr only 1.02x, below 1.10x"),
            (paired(7.0, 10.0, 0.6), Kernel::Dense, "dense: 61 % of weights are zero; csr 0.70x"),
            (paired(15.0, 10.0, 0.98), Kernel::Dense, "dense: csr 1.50x, but only 0.98x in a quarter of the pairs"),
        ] {
            let choice = judge(&paired, 0.61, &MeasureOptions::default()).choice;
            assert_eq!((choice.kernel, choice.reason.as_str()), (kernel, reason));
        }
    }
}
