//! One layer in one batch class: the dense kernel against kernels for stored entries.

use super::{ClassChoice, MeasureOptions, Watch};
use crate::Result;
use crate::convert::Entries;
use crate::measure::{Paired, paired_timed};
use spectral_core::{
    Affine, BATCH_CLASSES, Backend, Choice, Kernel, Linear, Model, Packed, PackedLinear, Seed, Shape, SparseLinear,
    Tensor,
};
use std::collections::BTreeMap;

/// The choice for every batch class.
pub(super) fn choose(
    model: &Model,
    node: usize,
    affine: Affine,
    stored: Entries,
    watch: Watch<'_>,
) -> Result<BTreeMap<usize, ClassChoice>> {
    let (rows, columns) = (stored.pattern.rows(), stored.pattern.columns());
    let zeros = 1.0 - stored.pattern.nonzeros() as f64 / (rows * columns).max(1) as f64;
    let least = watch.options.min_zeros;
    if zeros < least {
        let reason = format!("dense: {} of weights are zero, below {}: not measured", percent(zeros), percent(least));
        let dense = ClassChoice::untimed(Kernel::Dense, reason);
        return Ok(BATCH_CLASSES.into_iter().map(|class| (class, dense.clone())).collect());
    }
    let (backend, operands) = (&**model.backend(), model.operands(node)?);
    let tensor = |shape, values: &[f64]| -> Result<Tensor> {
        let mut t = backend.zeros(shape, model.dtype())?;
        backend.write(values, &mut t)?;
        Ok(t)
    };
    let weight = &tensor(Shape::matrix(rows, columns), &operands.matrix(affine.weight)?.to_dense(backend)?)?;
    let (pattern, values) = (&*stored.pattern, &tensor(Shape::vector(stored.values.len()), &stored.values)?);
    let mut packed = Vec::new();
    for kernel in Kernel::SPARSE {
        packed.extend(backend.pack(kernel, pattern, values)?.map(|packed| (kernel, packed)));
    }
    let (bias, activation) = (affine.bias.map(|bias| operands.tensor(bias)).transpose()?, affine.activation);
    let mut classes = BTreeMap::new();
    for class in BATCH_CLASSES {
        let mut stream = Seed(0).stream("measure", class as u64);
        let x: Vec<f64> = (0..columns * class).map(|_| stream.uniform(-1.0, 1.0)).collect();
        let x = &tensor(Shape::matrix(columns, class), &x)?;
        let dense = Linear { x, weight, bias, activation };
        let sparse = SparseLinear { x, pattern, values, bias, activation };
        let mut compared = vec![(Kernel::Csr, compare(backend, &dense, &Rival::Stored(sparse), watch)?)];
        for (kernel, packed) in packed.iter().filter(|(_, packed)| class <= packed.most_samples()) {
            let rival = Rival::Packed(&**packed, PackedLinear { x, bias, activation });
            compared.push((*kernel, compare(backend, &dense, &rival, watch)?));
        }
        classes.insert(class, judge(&compared, zeros, watch.options));
    }
    Ok(classes)
}

/// The alternative to the dense kernel.
enum Rival<'a> {
    Stored(SparseLinear<'a>),
    Packed(&'a dyn Packed, PackedLinear<'a>),
}

/// Times both kernels.
fn compare(backend: &dyn Backend, dense: &Linear<'_>, rival: &Rival<'_>, watch: Watch<'_>) -> Result<Paired> {
    let shape = Shape::matrix(dense.weight.shape().rows(), dense.x.shape().columns());
    let mut y = [backend.zeros(shape, dense.x.dtype())?, backend.zeros(shape, dense.x.dtype())?];
    let [y_dense, y_rival] = &mut y;
    let run_dense = || {
        backend.linear(dense, y_dense, None)?;
        backend.synchronize()
    };
    let run_rival = || {
        match rival {
            Rival::Stored(op) => backend.sparse_linear(op, y_rival, None)?,
            Rival::Packed(packed, op) => packed.linear(op, y_rival)?,
        }
        backend.synchronize()
    };
    Ok(paired_timed(watch.clock, &watch.options.timing, run_dense, run_rival)?)
}

/// The best kernel by the measured times, with the reason in words.
fn judge(compared: &[(Kernel, Paired)], zeros: f64, options: &MeasureOptions) -> ClassChoice {
    let mut times = BTreeMap::new();
    for (kernel, paired) in compared {
        times.insert(*kernel, paired.b_median);
        times.entry(Kernel::Dense).or_insert(paired.a_median);
    }
    let wins = |paired: &Paired| paired.ratio_median >= options.min_gain && paired.quartiles.0 > 1.0;
    let rank = |paired: &Paired| (wins(paired), paired.ratio_median);
    let best = compared.iter().max_by(|(_, a), (_, b)| {
        let ((a_wins, a), (b_wins, b)) = (rank(a), rank(b));
        a_wins.cmp(&b_wins).then(a.total_cmp(&b))
    });
    let (kernel, reason) = match best {
        None => (Kernel::Dense, "dense: nothing else was timed".into()),
        Some((kernel, paired)) => {
            let Paired { ratio_median: gain, quartiles, a_median: dense, b_median: sparse, .. } = *paired;
            if wins(paired) {
                let times = format!("{} against {}", time(sparse), time(dense));
                (*kernel, format!("{kernel} {gain:.1}x faster than dense: {times}"))
            } else if gain < 1.0 {
                (Kernel::Dense, format!("dense: {} of weights are zero; {kernel} {gain:.2}x", percent(zeros)))
            } else if gain < options.min_gain {
                (Kernel::Dense, format!("dense: {kernel} only {gain:.2}x, below {:.2}x", options.min_gain))
            } else {
                let quarter = format!("only {:.2}x in a quarter of the pairs", quartiles.0);
                (Kernel::Dense, format!("dense: {kernel} {gain:.2}x, but {quarter}"))
            }
        }
    };
    ClassChoice { choice: Choice { kernel, reason }, times }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Two or three digits with a suitable unit.
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
            let choice = judge(&[(Kernel::Csr, paired)], 0.61, &MeasureOptions::default()).choice;
            assert_eq!((choice.kernel, choice.reason.as_str()), (kernel, reason));
        }
        // The larger gain wins, unless too few pairs show it.
        let both = |csr, sliced| [(Kernel::Csr, csr), (Kernel::Sliced, sliced)];
        for (both, kernel, reason) in [
            (
                both(paired(20.0, 10.0, 2.0), paired(20.0, 5.0, 2.0)),
                Kernel::Sliced,
                "sliced 4.0x faster than dense: 5.0 ns against 20 ns",
            ),
            (
                both(paired(20.0, 10.0, 2.0), paired(20.0, 5.0, 0.9)),
                Kernel::Csr,
                "csr 2.0x faster than dense: 10 ns against 20 ns",
            ),
            (
                both(paired(10.5, 10.0, 1.0), paired(9.0, 10.0, 0.9)),
                Kernel::Dense,
                "dense: csr only 1.05x, below 1.10x",
            ),
        ] {
            let chosen = judge(&both, 0.61, &MeasureOptions::default());
            assert_eq!((chosen.choice.kernel, chosen.choice.reason.as_str()), (kernel, reason));
            assert_eq!(chosen.times.len(), 3);
        }
    }
}
