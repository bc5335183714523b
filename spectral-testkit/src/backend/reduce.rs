//! Sums over samples, losses, and checks.

use super::fixture::{ACCUMS, EXTENTS, Fixture, Pair, random_sum};
use crate::gradcheck::LOSSES;
use spectral_core::backend::{Accum, LossKernel, LossKind, Reduce, RowSum};
use spectral_core::{DType, Memory, Reference, Result, Shape, Tensor};

pub(super) fn run(f: &mut Fixture<'_>) {
    // Rows that are long enough to be shared among workers.
    f.case("row_sums of [3, 9001]", |f| row_sums(f, RowSum::Square, 3, 9001, Accum::Add));
    for (rows, _, batch) in EXTENTS {
        for sum in [RowSum::Plain, RowSum::Absolute, RowSum::Square] {
            for accum in ACCUMS {
                f.case(format!("row_sums {sum:?} [{rows}, {batch}] {accum:?}"), |f| {
                    row_sums(f, sum, rows, batch, accum)
                });
            }
        }
        if rows == 0 {
            continue;
        }
        for kind in LOSSES {
            for accum in [None, Some(Accum::Replace), Some(Accum::Add)] {
                for size in [1.0, 1e4] {
                    let label = format!("loss {kind:?} [{rows}, {batch}] outputs of size {size} gradient {accum:?}");
                    f.case(label, |f| loss(f, kind, (rows, batch), size, accum));
                }
            }
        }
    }
    for kind in LOSSES {
        f.case(format!("loss {kind:?} of NaN"), |f| loss_of_nan(f, kind));
        f.case(format!("loss {kind:?} of ties"), |f| ties(f, kind));
    }
    all_finite(f);
    f.refused("row_sums into another length", |f| {
        let (x, mut sums) = (f.random(Shape::matrix(3, 4))?, f.random(Shape::vector(4))?);
        f.backend.row_sums(RowSum::Plain, &x.device, &mut sums.device, Accum::Replace)
    });
    for (label, [targets, totals, gradient]) in [
        ("loss with targets of another shape", [4, 2, 3]),
        ("loss with too many totals", [3, 3, 3]),
        ("loss with a gradient of another shape", [3, 2, 4]),
    ] {
        f.refused(label, |f| {
            let (y, t) = (f.random(Shape::matrix(3, 5))?, f.random(Shape::matrix(targets, 5))?);
            let mut sums = f.backend.zeros(Shape::vector(totals), DType::F64)?;
            let mut d = f.random(Shape::matrix(gradient, 5))?;
            let kind = LossKind::MeanSquaredError;
            let op = LossKernel { kind, outputs: &y.device, targets: &t.device, gradient_scale: 1.0 };
            f.backend.loss(&op, &mut sums, Some(d.slots(Accum::Replace).0))
        });
    }
}

fn row_sums(f: &mut Fixture<'_>, sum: RowSum, rows: usize, batch: usize, accum: Accum) -> Result<()> {
    let (x, mut sums) = (f.random(Shape::matrix(rows, batch))?, f.target(Shape::vector(rows), accum)?);
    let mut again = sums.device.duplicate()?;
    f.backend.row_sums(sum, &x.device, &mut sums.device, accum)?;
    f.backend.row_sums(sum, &x.device, &mut again, accum)?;
    Reference.row_sums(sum, &x.oracle, &mut sums.oracle, accum)?;
    let size = if sum == RowSum::Square { RowSum::Square } else { RowSum::Absolute };
    let mut sizes = Tensor::host_zeros(Shape::vector(rows), DType::F64);
    Reference.row_sums(size, &x.oracle, &mut sizes, Accum::Replace)?;
    let sizes = Reference.download(&sizes)?;
    f.agree("sums", &sums, |i| random_sum(&sizes, batch)(i).max(1.0))?;
    f.same_bits("sums", &sums.device, &again)
}

/// Totals, which are f64 whatever the network's element type.
fn totals(f: &Fixture<'_>) -> Result<Pair> {
    let (shape, start) = (Shape::vector(2), [0.5, 3.0]);
    let mut device = f.backend.zeros(shape, DType::F64)?;
    f.backend.write(&start, &mut device)?;
    let mut oracle = Tensor::host_zeros(shape, DType::F64);
    Reference.write(&start, &mut oracle)?;
    Ok(Pair { device, oracle })
}

fn loss(
    f: &mut Fixture<'_>,
    kind: LossKind,
    (rows, batch): (usize, usize),
    size: f64,
    accum: Option<Accum>,
) -> Result<()> {
    let shape = Shape::matrix(rows, batch);
    let mut outputs = f.normal(rows * batch);
    outputs.iter_mut().for_each(|y| *y *= size);
    let outputs = f.rounded(outputs);
    let y = f.pair(shape, &outputs)?;
    let mut targets = vec![0.0; rows * batch];
    for b in 0..batch {
        let class = f.below(rows);
        targets[class * batch + b] = 1.0;
    }
    let t = f.pair(shape, &targets)?;
    let mut d = f.target(shape, accum.unwrap_or(Accum::Replace))?;
    let mut sums = totals(f)?;
    let mut again = sums.device.duplicate()?;
    let mut spare = d.device.duplicate()?;

    let op = LossKernel { kind, outputs: &y.device, targets: &t.device, gradient_scale: 0.25 };
    let slot = accum.map(|accum| spectral_core::GradSlot { tensor: &mut spare, accum });
    f.backend.loss(&op, &mut again, slot)?;
    let (own, reference) = d.slots(accum.unwrap_or(Accum::Replace));
    f.backend.loss(&op, &mut sums.device, accum.map(|_| own))?;
    let op = LossKernel { outputs: &y.oracle, targets: &t.oracle, ..op };
    Reference.loss(&op, &mut sums.oracle, Some(reference))?;

    let largest = outputs.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    let per_sample = if kind == LossKind::MeanSquaredError { largest * largest } else { largest };
    let (got, want) = (f.backend.download(&sums.device)?, Reference.download(&sums.oracle)?);
    let right = got.get(1) == want.get(1);
    f.require(right, format!("right answers are {:?}, must be {:?}", got.get(1), want.get(1)));
    f.agree("totals", &sums, |_| per_sample * (batch.max(1) as f64).sqrt())?;
    if accum.is_some() {
        let scale = if kind == LossKind::MeanSquaredError { largest / rows as f64 } else { 1.0 };
        f.agree("gradient", &d, |_| scale)?;
        f.same_bits("gradient", &d.device, &spare)?;
    }
    f.same_bits("totals", &sums.device, &again)
}

/// A NaN among the outputs must not vanish from the loss.
fn loss_of_nan(f: &mut Fixture<'_>, kind: LossKind) -> Result<()> {
    let shape = Shape::matrix(5, 3);
    let mut outputs = f.normal(15);
    outputs[7] = f64::NAN;
    let y = f.pair(shape, &outputs)?;
    let mut targets = vec![0.0; 15];
    targets[6..9].fill(1.0);
    let t = f.pair(shape, &targets)?;
    let (mut sums, mut d) = (totals(f)?, f.target(shape, Accum::Replace)?);
    let op = LossKernel { kind, outputs: &y.device, targets: &t.device, gradient_scale: 1.0 };
    f.backend.loss(&op, &mut sums.device, Some(d.slots(Accum::Replace).0))?;
    let (loss, gradient) = (f.backend.download(&sums.device)?, f.backend.download(&d.device)?);
    f.require(loss[0].is_nan(), format!("the loss is {}, must be NaN", loss[0]));
    f.require(gradient[7].is_nan(), format!("its gradient is {}, must be NaN", gradient[7]));
    Ok(())
}

/// Among equal outputs the first counts.
fn ties(f: &mut Fixture<'_>, kind: LossKind) -> Result<()> {
    let shape = Shape::matrix(3, 5);
    let y = f.pair(shape, &[1.0, 2.0, 0.0, 5.0, 0.0, 1.0, 2.0, 0.0, 5.0, 7.0, 0.0, 2.0, 0.0, 6.0, 7.0])?;
    let t = f.pair(shape, &[1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])?;
    let mut sums = totals(f)?;
    let op = LossKernel { kind, outputs: &y.device, targets: &t.device, gradient_scale: 1.0 };
    f.backend.loss(&op, &mut sums.device, None)?;
    let right = f.backend.download(&sums.device)?[1];
    f.require(right == 7.0, format!("{right} right answers, must be 4 more than 3: of equal outputs the first counts"));
    Ok(())
}

fn all_finite(f: &mut Fixture<'_>) {
    f.case("each_largest of several tensors", |f| {
        let mut tensors = vec![f.random(Shape::matrix(31, 33))?, f.random(Shape::vector(0))?];
        tensors.push(f.pair(Shape::vector(3), &[1.0, f64::NAN, -2.0])?);
        tensors.push(f.random(Shape::matrix(101, 9))?);
        let (mut got, mut want) = (Vec::new(), Vec::new());
        f.backend.each_largest(&mut tensors.iter().map(|t| &t.device), &mut |v| got.push(v))?;
        Reference.each_largest(&mut tensors.iter().map(|t| &t.oracle), &mut |v| want.push(v))?;
        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        let all = got.len() == want.len() && got.iter().zip(&want).all(same);
        f.require(all, format!("they are {got:?}, must be {want:?}"));
        Ok(())
    });
    for len in [0usize, 1, 5, 64, 1003] {
        for special in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
            for at in [0, len / 2, len.saturating_sub(1)] {
                if special.is_some() && len == 0 {
                    continue;
                }
                f.case(format!("all_finite of {len} values, {special:?} at {at}"), |f| {
                    let mut values = f.normal(len);
                    if let Some(special) = special {
                        values[at] = special;
                    }
                    let t = f.pair(Shape::vector(len), &values)?;
                    let (finite, largest) = (f.backend.all_finite(&t.device)?, f.backend.largest(&t.device)?);
                    f.require(finite == special.is_none(), format!("says {finite}"));
                    let want = Reference.largest(&t.oracle)?;
                    let same = largest == want || (largest.is_nan() && want.is_nan());
                    f.require(same, format!("the largest is {largest}, not {want}"));
                    Ok(())
                });
            }
        }
    }
}
