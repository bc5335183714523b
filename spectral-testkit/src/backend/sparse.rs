//! Products with weights of which only some entries are stored.

use super::dense::activated;
use super::fixture::{ACCUMS, EXTENTS, Fixture, Pair, USUAL, large, random_sum, sizes};
use spectral_core::backend::{Accum, GradSlot, PackedLinear, SparseGrads, SparseKernels, SparseLinear};
use spectral_core::{Activation, DType, Kernel, Memory, Pattern, Reference, Result, Shape, Tensor, hash64};

pub(super) fn run(f: &mut Fixture<'_>) {
    for extents in EXTENTS {
        let fillings = [Filling::Share(10), Filling::OneRow, Filling::Nothing, Filling::Share(50), Filling::All];
        for &filling in &fillings[..if large(extents) { 2 } else { fillings.len() }] {
            for act in [Activation::Identity, Activation::Relu] {
                forward_cases(f, extents, filling, act);
            }
            for accum in ACCUMS {
                let subsets = [[true; 3], [true, false, false], [false, true, false], [false, false, true]];
                for &wanted in &subsets[..if large(extents) { 1 } else { subsets.len() }] {
                    let label = format!("sparse_linear_vjp {filling:?} {extents:?} {accum:?} wanted {wanted:?}");
                    f.case(label, |f| vjp(f, extents, filling, accum, wanted));
                }
            }
        }
    }
    for extents in [(4, 70, 3), (24, 301, 17), (64, 48, 100), (1028, 515, 35), (8, 3001, 129)] {
        forward_cases(f, extents, Filling::Blocks, Activation::Relu);
        f.case(format!("sparse_linear_vjp in blocks {extents:?}"), |f| {
            vjp(f, extents, Filling::Blocks, Accum::Add, [true; 3])
        });
    }
    for (_, act) in Activation::NAMES.into_iter().filter(|(_, a)| a.is_elementwise()) {
        forward_cases(f, USUAL, Filling::Share(20), act);
    }
    f.case("sparse_linear on NaN and infinity", non_finite);
    for (out, inputs, _) in EXTENTS {
        for filling in [Filling::Share(10), Filling::OneRow, Filling::Nothing, Filling::Share(50)] {
            for samples in [1, 2, 3, 4, 7] {
                let extents = (out, inputs, samples);
                f.case(format!("packed {filling:?} {extents:?}"), |f| packed(f, extents, filling, false));
            }
        }
    }
    f.case("packed on NaN and infinity", |f| {
        (1..5).try_for_each(|samples| packed(f, (40, 70, samples), Filling::Share(20), true))
    });
    refusals(f);
}

/// Which entries are stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filling {
    Nothing,
    /// Percent, at random; at 10 % some rows of small matrices are empty.
    Share(usize),
    /// Every fourth column or so, the same in each four rows.
    Blocks,
    /// All of the middle row, nothing else.
    OneRow,
    All,
}

pub(super) fn pattern(f: &mut Fixture<'_>, out: usize, inputs: usize, filling: Filling) -> Result<Pattern> {
    Pattern::from_fn(out, inputs, |r, c| match filling {
        Filling::Nothing => false,
        Filling::Share(percent) => f.below(100) < percent,
        Filling::Blocks => hash64((r / 4) as u64, c as u64).is_multiple_of(4),
        Filling::OneRow => r == out / 2,
        Filling::All => true,
    })
}

fn forward_cases(f: &mut Fixture<'_>, extents: (usize, usize, usize), filling: Filling, act: Activation) {
    for (bias, pre) in [(false, false), (true, true)] {
        let label = format!("sparse_linear {act:?} {filling:?} {extents:?} bias {bias} pre-activation {pre}");
        f.case(label, |f| forward(f, extents, filling, act, (bias, pre)));
    }
}

fn forward(
    f: &mut Fixture<'_>,
    (out, inputs, batch): (usize, usize, usize),
    filling: Filling,
    activation: Activation,
    (with_bias, with_pre): (bool, bool),
) -> Result<()> {
    let pattern = &pattern(f, out, inputs, filling)?;
    let (x, w) = (f.random(Shape::matrix(inputs, batch))?, f.random(Shape::vector(pattern.nonzeros()))?);
    let bias = with_bias.then(|| f.random(Shape::vector(out))).transpose()?;
    let shape = Shape::matrix(out, batch);
    let (mut y, mut z) = (f.target(shape, Accum::Replace)?, f.target(shape, Accum::Replace)?);
    let (mut again, mut spare) = (y.device.duplicate()?, z.device.duplicate()?);

    let b = bias.as_ref();
    let op = SparseLinear { x: &x.device, pattern, values: &w.device, bias: b.map(|b| &b.device), activation };
    f.backend.sparse_linear(&op, &mut y.device, with_pre.then_some(&mut z.device))?;
    f.backend.sparse_linear(&op, &mut again, with_pre.then_some(&mut spare))?;
    let op = SparseLinear { x: &x.oracle, pattern, values: &w.oracle, bias: b.map(|b| &b.oracle), activation };
    Reference.sparse_linear(&op, &mut y.oracle, Some(&mut z.oracle))?;

    let (sx, sw) = (sizes(&x.oracle)?, sizes(&w.oracle)?);
    let sb = b.map(|b| sizes(&b.oracle)).transpose()?;
    let op = SparseLinear { x: &sx, pattern, values: &sw, bias: sb.as_ref(), activation: Activation::Identity };
    let mut sums = Tensor::host_zeros(shape, DType::F64);
    Reference.sparse_linear(&op, &mut sums, None)?;
    let sums = Reference.download(&sums)?;
    let sum = random_sum(&sums, inputs + 1);
    let scale = activated(&z.oracle, &sum)?;
    f.agree("y", &y, |i| scale[i])?;
    if with_pre {
        f.agree("pre-activation", &z, sum)?;
    }
    f.same_bits("y", &y.device, &again)
}

/// Every layout that the backend has for these entries, where it takes so many samples; with `strange`, on inputs of
/// which some are NaN or infinite.
fn packed(
    f: &mut Fixture<'_>,
    (out, inputs, samples): (usize, usize, usize),
    filling: Filling,
    strange: bool,
) -> Result<()> {
    let pattern = &pattern(f, out, inputs, filling)?;
    let mut x = f.normal(inputs * samples);
    if strange {
        (x[2 * samples], x[65 * samples], x[67 * samples - 1]) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    }
    let x = f.pair(Shape::matrix(inputs, samples), &x)?;
    let (w, bias) = (f.random(Shape::vector(pattern.nonzeros()))?, f.random(Shape::vector(out))?);
    for kernel in Kernel::SPARSE {
        let Some(packed) = f.backend.pack(kernel, pattern, &w.device)? else { continue };
        for (bias, activation) in [(None, Activation::Identity), (Some(&bias), Activation::Relu)] {
            let mut y = f.target(Shape::matrix(out, samples), Accum::Replace)?;
            let mut again = y.device.duplicate()?;
            let op = PackedLinear { x: &x.device, bias: bias.map(|b| &b.device), activation };
            if samples > packed.most_samples() {
                let refused = packed.linear(&op, &mut y.device).is_err();
                f.require(refused, "more samples than it takes are accepted");
                continue;
            }
            packed.linear(&op, &mut y.device)?;
            packed.linear(&op, &mut again)?;
            let bias = bias.map(|b| &b.oracle);
            let op = SparseLinear { x: &x.oracle, pattern, values: &w.oracle, bias, activation };
            Reference.sparse_linear(&op, &mut y.oracle, None)?;
            f.agree("y", &y, |_| (inputs as f64).sqrt())?;
            f.same_bits("y", &y.device, &again)?;
        }
    }
    Ok(())
}

fn vjp(
    f: &mut Fixture<'_>,
    (out, inputs, batch): (usize, usize, usize),
    filling: Filling,
    accum: Accum,
    wanted: [bool; 3],
) -> Result<()> {
    let pattern = &pattern(f, out, inputs, filling)?;
    let (x, w) = (f.random(Shape::matrix(inputs, batch))?, f.random(Shape::vector(pattern.nonzeros()))?);
    let dz = f.random(Shape::matrix(out, batch))?;
    let mut grads = targets(f, &x, &w, out, accum)?;
    let mut again = Vec::new();
    for g in &grads {
        again.push(g.device.duplicate()?);
    }
    let op = SparseLinear { x: &x.device, pattern, values: &w.device, bias: None, activation: Activation::Identity };
    let oracle = SparseLinear { x: &x.oracle, values: &w.oracle, ..op };
    let [dx, dw, db] = grads.each_mut().map(|g| g.slots(accum));
    let chosen = SparseGrads {
        x: wanted[0].then_some(dx.0),
        values: wanted[1].then_some(dw.0),
        bias: wanted[2].then_some(db.0),
    };
    f.backend.sparse_linear_vjp(&op, &dz.device, chosen)?;
    let all = SparseGrads { x: Some(dx.1), values: Some(dw.1), bias: Some(db.1) };
    Reference.sparse_linear_vjp(&oracle, &dz.oracle, all)?;
    let mut slots = again.iter_mut().zip(wanted).map(|(tensor, on)| on.then_some(GradSlot { tensor, accum }));
    let mut next = || slots.next().flatten();
    let same = SparseGrads { x: next(), values: next(), bias: next() };
    f.backend.sparse_linear_vjp(&op, &dz.device, same)?;

    let (sx, sw, sd) = (sizes(&x.oracle)?, sizes(&w.oracle)?, sizes(&dz.oracle)?);
    let op = SparseLinear { x: &sx, values: &sw, ..oracle };
    let mut sums = grads.each_ref().map(|g| Tensor::host_zeros(g.oracle.shape(), DType::F64));
    let [x, values, bias] = sums.each_mut().map(|tensor| Some(GradSlot { tensor, accum: Accum::Replace }));
    Reference.sparse_linear_vjp(&op, &sd, SparseGrads { x, values, bias })?;
    let terms = [out, batch, batch];
    for (i, what) in ["dx", "d values", "db"].into_iter().enumerate() {
        let sums = Reference.download(&sums[i])?;
        if wanted[i] {
            f.agree(what, &grads[i], |k| random_sum(&sums, terms[i])(k).max(1.0))?;
        }
        // What is not wanted keeps what it held, here and in the copy made before.
        f.same_bits(what, &grads[i].device, &again[i])?;
    }
    Ok(())
}

fn targets(f: &mut Fixture<'_>, x: &Pair, w: &Pair, out: usize, accum: Accum) -> Result<[Pair; 3]> {
    let bias = Shape::vector(out);
    Ok([f.target(x.oracle.shape(), accum)?, f.target(w.oracle.shape(), accum)?, f.target(bias, accum)?])
}

/// NaN reaches the outputs that are connected to it in its sample, stored zeros included, and no other.
fn non_finite(f: &mut Fixture<'_>) -> Result<()> {
    let (out, inputs, batch) = USUAL;
    let pattern = &pattern(f, out, inputs, Filling::Share(40))?;
    let mut x = f.normal(inputs * batch);
    x[2 * batch + 3] = f64::NAN;
    x[4 * batch + 5] = f64::INFINITY;
    let mut w = f.normal(pattern.nonzeros());
    if let Some(k) = pattern.iter().position(|(_, c)| c == 2) {
        w[k] = 0.0;
    }
    let (x, w) = (f.pair(Shape::matrix(inputs, batch), &x)?, f.pair(Shape::vector(w.len()), &w)?);
    let mut y = f.target(Shape::matrix(out, batch), Accum::Replace)?;
    let op = SparseLinear { x: &x.device, pattern, values: &w.device, bias: None, activation: Activation::Relu };
    f.backend.sparse_linear(&op, &mut y.device, None)?;
    Reference.sparse_linear(&SparseLinear { x: &x.oracle, values: &w.oracle, ..op }, &mut y.oracle, None)?;
    f.agree("y", &y, |_| inputs as f64)
}

fn refusals(f: &mut Fixture<'_>) {
    for (label, [rows, surplus, biases, units, samples]) in [
        ("sparse_linear with inputs of another width", [5, 0, 3, 3, 5]),
        ("sparse_linear with values of another number", [4, 1, 3, 3, 5]),
        ("sparse_linear with a bias of another length", [4, 0, 2, 3, 5]),
        ("sparse_linear into too few units", [4, 0, 3, 2, 5]),
        ("sparse_linear into another batch", [4, 0, 3, 3, 6]),
    ] {
        f.refused(label, |f| {
            let pattern = &pattern(f, 3, 4, Filling::Share(50))?;
            let (x, values) =
                (f.random(Shape::matrix(rows, 5))?, f.random(Shape::vector(pattern.nonzeros() + surplus))?);
            let (bias, mut y) = (f.random(Shape::vector(biases))?, f.random(Shape::matrix(units, samples))?);
            let op = SparseLinear {
                x: &x.device,
                pattern,
                values: &values.device,
                bias: Some(&bias.device),
                activation: Activation::Identity,
            };
            f.backend.sparse_linear(&op, &mut y.device, None)
        });
    }
    for which in 0..4 {
        f.refused("sparse_linear_vjp with a gradient of another shape", |f| {
            let pattern = &pattern(f, 3, 4, Filling::All)?;
            let (x, w) = (f.random(Shape::matrix(4, 5))?, f.random(Shape::vector(12))?);
            let dz = f.random(Shape::matrix(3, if which == 3 { 6 } else { 5 }))?;
            let mut grads = targets(f, &x, &w, 3, Accum::Add)?;
            if let Some(wrong) = grads.get_mut(which) {
                *wrong = f.random(Shape::matrix(2, 2))?;
            }
            let activation = Activation::Identity;
            let op = SparseLinear { x: &x.device, pattern, values: &w.device, bias: None, activation };
            let [x, values, bias] = grads.each_mut().map(|g| Some(g.slots(Accum::Add).0));
            f.backend.sparse_linear_vjp(&op, &dz.device, SparseGrads { x, values, bias })
        });
    }
}
