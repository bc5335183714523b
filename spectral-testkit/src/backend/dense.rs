//! Products with dense weights.

use super::fixture::{ACCUMS, EXTENTS, Fixture, Pair, USUAL, large, random_sum, sizes};
use spectral_core::backend::{Accum, DenseKernels, GradSlot, Linear, LinearGrads};
use spectral_core::{Activation, DType, Memory, Reference, Result, Shape, Tensor};

pub(super) fn run(f: &mut Fixture<'_>) {
    for extents in EXTENTS {
        for act in [Activation::Identity, Activation::Relu] {
            forward_cases(f, extents, act);
        }
        for accum in ACCUMS {
            let subsets = [[true; 3], [true, false, false], [false, true, false], [false, false, true], [false; 3]];
            for &wanted in &subsets[..if large(extents) { 1 } else { subsets.len() }] {
                f.case(format!("linear_vjp {extents:?} {accum:?} wanted {wanted:?}"), |f| {
                    vjp(f, extents, accum, wanted)
                });
            }
        }
    }
    for (_, act) in Activation::NAMES.into_iter().filter(|(_, a)| a.is_elementwise()) {
        forward_cases(f, USUAL, act);
    }
    f.case("linear on NaN and infinity", non_finite);
    refusals(f);
}

fn forward_cases(f: &mut Fixture<'_>, extents: (usize, usize, usize), act: Activation) {
    let variants = [(act == Activation::Relu, false), (true, true), (act != Activation::Relu, false)];
    for &(bias, pre) in &variants[..if large(extents) { 1 } else { variants.len() }] {
        let label = format!("linear {act:?} {extents:?} bias {bias} pre-activation {pre}");
        f.case(label, |f| forward(f, extents, act, bias, pre));
    }
}

/// How far a value behind an activation may be off: the slopes are below 1.2, and the function has an error of its own.
pub(super) fn activated(z: &Tensor, sums: impl Fn(usize) -> f64) -> Result<Vec<f64>> {
    let z = Reference.download(z)?;
    Ok(z.iter().enumerate().map(|(i, z)| 1.2 * z.abs().max(sums(i)) + 0.1 * z.abs().min(1.0)).collect())
}

fn forward(
    f: &mut Fixture<'_>,
    (out, inputs, batch): (usize, usize, usize),
    activation: Activation,
    with_bias: bool,
    with_pre: bool,
) -> Result<()> {
    let (x, w) = (f.random(Shape::matrix(inputs, batch))?, f.random(Shape::matrix(out, inputs))?);
    let bias = with_bias.then(|| f.random(Shape::vector(out))).transpose()?;
    let shape = Shape::matrix(out, batch);
    let (mut y, mut z) = (f.target(shape, Accum::Replace)?, f.target(shape, Accum::Replace)?);
    let (mut again, mut spare) = (y.device.duplicate()?, z.device.duplicate()?);

    let op = Linear { x: &x.device, weight: &w.device, bias: bias.as_ref().map(|b| &b.device), activation };
    f.backend.linear(&op, &mut y.device, with_pre.then_some(&mut z.device))?;
    f.backend.linear(&op, &mut again, with_pre.then_some(&mut spare))?;
    let op = Linear { x: &x.oracle, weight: &w.oracle, bias: bias.as_ref().map(|b| &b.oracle), activation };
    Reference.linear(&op, &mut y.oracle, Some(&mut z.oracle))?;

    let (sx, sw) = (sizes(&x.oracle)?, sizes(&w.oracle)?);
    let sb = bias.as_ref().map(|b| sizes(&b.oracle)).transpose()?;
    let op = Linear { x: &sx, weight: &sw, bias: sb.as_ref(), activation: Activation::Identity };
    let mut sums = Tensor::host_zeros(shape, DType::F64);
    Reference.linear(&op, &mut sums, None)?;
    let sums = Reference.download(&sums)?;
    let sum = random_sum(&sums, inputs + 1);
    let scale = activated(&z.oracle, &sum)?;
    f.agree("y", &y, |i| scale[i])?;
    if with_pre {
        f.agree("pre-activation", &z, sum)?;
    }
    f.same_bits("y", &y.device, &again)
}

fn vjp(
    f: &mut Fixture<'_>,
    (out, inputs, batch): (usize, usize, usize),
    accum: Accum,
    wanted: [bool; 3],
) -> Result<()> {
    let (x, w) = (f.random(Shape::matrix(inputs, batch))?, f.random(Shape::matrix(out, inputs))?);
    let dz = f.random(Shape::matrix(out, batch))?;
    let mut grads = targets(f, &x, &w, out, accum)?;
    let mut again = [grads[0].device.duplicate()?, grads[1].device.duplicate()?, grads[2].device.duplicate()?];
    let untouched = [&grads[0].device, &grads[1].device, &grads[2].device].map(|t| f.backend.download(t));

    let op = Linear { x: &x.device, weight: &w.device, bias: None, activation: Activation::Identity };
    let oracle = Linear { x: &x.oracle, weight: &w.oracle, ..op };
    let [dx, dw, db] = &mut grads;
    let slots = [dx.slots(accum), dw.slots(accum), db.slots(accum)];
    let [(dx, rx), (dw, rw), (db, rb)] = slots;
    let chosen =
        LinearGrads { x: wanted[0].then_some(dx), weight: wanted[1].then_some(dw), bias: wanted[2].then_some(db) };
    f.backend.linear_vjp(&op, &dz.device, chosen)?;
    Reference.linear_vjp(&oracle, &dz.oracle, LinearGrads { x: Some(rx), weight: Some(rw), bias: Some(rb) })?;
    let [ax, aw, ab] = &mut again;
    let slot = |i: usize, tensor| wanted[i].then_some(GradSlot { tensor, accum });
    let same = LinearGrads { x: slot(0, ax), weight: slot(1, aw), bias: slot(2, ab) };
    f.backend.linear_vjp(&op, &dz.device, same)?;

    let (sx, sw, sd) = (sizes(&x.oracle)?, sizes(&w.oracle)?, sizes(&dz.oracle)?);
    let op = Linear { x: &sx, weight: &sw, bias: None, activation: Activation::Identity };
    let mut sums = [&grads[0], &grads[1], &grads[2]].map(|g| Tensor::host_zeros(g.oracle.shape(), DType::F64));
    let [x, weight, bias] = &mut sums;
    let slot = |tensor| Some(GradSlot { tensor, accum: Accum::Replace });
    Reference.linear_vjp(&op, &sd, LinearGrads { x: slot(x), weight: slot(weight), bias: slot(bias) })?;
    let terms = [out, batch, batch];
    for (i, what) in ["dx", "dW", "db"].into_iter().enumerate() {
        let sums = Reference.download(&sums[i])?;
        if wanted[i] {
            f.agree(what, &grads[i], |k| random_sum(&sums, terms[i])(k).max(1.0))?;
            f.same_bits(what, &grads[i].device, &again[i])?;
        } else {
            let now = f.backend.download(&grads[i].device)?;
            let same =
                untouched[i].as_ref().is_ok_and(|old| old.iter().zip(&now).all(|(a, b)| a.to_bits() == b.to_bits()));
            f.require(same, format!("{what} was not wanted but changed"));
        }
    }
    Ok(())
}

/// Where the gradients of input, weights and bias go.
fn targets(f: &mut Fixture<'_>, x: &Pair, w: &Pair, out: usize, accum: Accum) -> Result<[Pair; 3]> {
    Ok([f.target(x.oracle.shape(), accum)?, f.target(w.oracle.shape(), accum)?, f.target(Shape::vector(out), accum)?])
}

/// NaN reaches every output of its sample, through weights of zero too, and no other sample.
fn non_finite(f: &mut Fixture<'_>) -> Result<()> {
    let (out, inputs, batch) = USUAL;
    let mut x = f.normal(inputs * batch);
    x[2 * batch + 3] = f64::NAN;
    x[4 * batch + 5] = f64::INFINITY;
    let mut w = f.normal(out * inputs);
    w[2] = 0.0;
    let (x, w) = (f.pair(Shape::matrix(inputs, batch), &x)?, f.pair(Shape::matrix(out, inputs), &w)?);
    let mut y = f.target(Shape::matrix(out, batch), Accum::Replace)?;
    let op = Linear { x: &x.device, weight: &w.device, bias: None, activation: Activation::Relu };
    f.backend.linear(&op, &mut y.device, None)?;
    Reference.linear(&Linear { x: &x.oracle, weight: &w.oracle, ..op }, &mut y.oracle, None)?;
    f.agree("y", &y, |_| inputs as f64)
}

fn refusals(f: &mut Fixture<'_>) {
    let cases = [
        ("linear with inputs of another width", [4, 5, 3, 3, 3, 5]),
        ("linear into too few units", [4, 5, 4, 2, 3, 5]),
        ("linear into another batch", [4, 5, 4, 3, 3, 6]),
        ("linear with a bias of another length", [4, 5, 4, 3, 2, 5]),
    ];
    for (label, [rows, batch, inputs, units, biases, samples]) in cases {
        let out = 3;
        f.refused(label, |f| {
            let (x, w) = (f.random(Shape::matrix(rows, batch))?, f.random(Shape::matrix(out, inputs))?);
            let (bias, mut y) = (f.random(Shape::vector(biases))?, f.random(Shape::matrix(units, samples))?);
            let activation = Activation::Identity;
            let op = Linear { x: &x.device, weight: &w.device, bias: Some(&bias.device), activation };
            f.backend.linear(&op, &mut y.device, None)
        });
    }
    f.refused("linear with softmax", |f| {
        let (x, w) = (f.random(Shape::matrix(4, 5))?, f.random(Shape::matrix(3, 4))?);
        let mut y = f.random(Shape::matrix(3, 5))?;
        let op = Linear { x: &x.device, weight: &w.device, bias: None, activation: Activation::Softmax };
        f.backend.linear(&op, &mut y.device, None)
    });
    for which in 0..4 {
        f.refused("linear_vjp with a gradient of another shape", |f| {
            let (x, w) = (f.random(Shape::matrix(4, 5))?, f.random(Shape::matrix(3, 4))?);
            let dz = f.random(Shape::matrix(3, if which == 3 { 6 } else { 5 }))?;
            let mut grads = targets(f, &x, &w, 3, Accum::Add)?;
            if let Some(wrong) = grads.get_mut(which) {
                *wrong = f.random(Shape::matrix(2, 2))?;
            }
            let op = Linear { x: &x.device, weight: &w.device, bias: None, activation: Activation::Identity };
            let [x, weight, bias] = grads.each_mut().map(|g| Some(g.slots(Accum::Add).0));
            f.backend.linear_vjp(&op, &dz.device, LinearGrads { x, weight, bias })
        });
    }
}
