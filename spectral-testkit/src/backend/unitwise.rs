//! Factors, constants and means for each unit.

use super::dense::activated;
use super::fixture::{ACCUMS, Fixture, Pair, random_sum};
use spectral_core::backend::{Accum, Diagonal, DiagonalGrads, GradSlot, Standardise, StandardiseVjp, Standardised};
use spectral_core::{Activation, Memory, Reference, Result, Shape, Unitwise};

/// Units, and values of each: vectors and images, with few and with many samples.
const SHAPES: [&[usize]; 9] =
    [&[0, 3], &[3, 0], &[1, 1], &[5, 1], &[7, 33], &[3, 2, 5, 9], &[16, 64], &[31, 4, 4, 17], &[101, 129]];

/// Some epsilon of the usual size.
const EPSILON: f64 = 1e-3;

pub(super) fn run(f: &mut Fixture<'_>) {
    for extents in SHAPES {
        for (act, bias, pre) in [
            (Activation::Identity, false, false),
            (Activation::Identity, true, true),
            (Activation::Relu, true, false),
            (Activation::Gelu, false, true),
        ] {
            let label = format!("diagonal {act:?} {extents:?} bias {bias} pre-activation {pre}");
            f.case(label, |f| diagonal(f, Shape::new(extents)?, act, bias, pre));
        }
        f.case(format!("standardise {extents:?}"), |f| standardise(f, Shape::new(extents)?));
        for accum in ACCUMS {
            for wanted in [[true; 3], [true, false, false], [false, true, false], [false, false, true], [false; 3]] {
                f.case(format!("diagonal_vjp {extents:?} {accum:?} wanted {wanted:?}"), |f| {
                    diagonal_vjp(f, Shape::new(extents)?, accum, wanted)
                });
            }
            f.case(format!("standardise_vjp {extents:?} {accum:?}"), |f| {
                standardise_vjp(f, Shape::new(extents)?, accum)
            });
        }
    }
    refusals(f);
}

fn units(shape: Shape) -> Shape {
    Shape::vector(shape.rows())
}

fn diagonal(f: &mut Fixture<'_>, shape: Shape, activation: Activation, with_bias: bool, with_pre: bool) -> Result<()> {
    let (x, scale) = (f.random(shape)?, f.random(units(shape))?);
    let bias = with_bias.then(|| f.random(units(shape))).transpose()?;
    let (mut y, mut z) = (f.target(shape, Accum::Replace)?, f.target(shape, Accum::Replace)?);
    let mut again = y.device.duplicate()?;
    let op = Diagonal { x: &x.device, scale: &scale.device, bias: bias.as_ref().map(|b| &b.device), activation };
    f.backend.diagonal(&op, &mut y.device, with_pre.then_some(&mut z.device))?;
    f.backend.diagonal(&op, &mut again, None)?;
    let op = Diagonal { x: &x.oracle, scale: &scale.oracle, bias: bias.as_ref().map(|b| &b.oracle), activation };
    Reference.diagonal(&op, &mut y.oracle, Some(&mut z.oracle))?;
    let near = activated(&z.oracle, |_| 1.0)?;
    f.agree("y", &y, |i| near[i])?;
    if with_pre {
        f.agree("pre-activation", &z, |_| 1.0)?;
    }
    f.same_bits("y", &y.device, &again)
}

fn diagonal_vjp(f: &mut Fixture<'_>, shape: Shape, accum: Accum, wanted: [bool; 3]) -> Result<()> {
    let (x, scale, dz) = (f.random(shape)?, f.random(units(shape))?, f.random(shape)?);
    let mut grads = [f.target(shape, accum)?, f.target(units(shape), accum)?, f.target(units(shape), accum)?];
    let before = [grads[0].device.duplicate()?, grads[1].device.duplicate()?, grads[2].device.duplicate()?];
    let [dx, dscale, dbias] = grads.each_mut().map(|g| g.slots(accum));
    let op = Diagonal { x: &x.device, scale: &scale.device, bias: None, activation: Activation::Identity };
    let chosen = DiagonalGrads {
        x: wanted[0].then_some(dx.0),
        scale: wanted[1].then_some(dscale.0),
        bias: wanted[2].then_some(dbias.0),
    };
    f.backend.diagonal_vjp(&op, &dz.device, chosen)?;
    let op = Diagonal { x: &x.oracle, scale: &scale.oracle, ..op };
    let all = DiagonalGrads { x: Some(dx.1), scale: Some(dscale.1), bias: Some(dbias.1) };
    Reference.diagonal_vjp(&op, &dz.oracle, all)?;
    let n = shape.columns();
    for (i, what) in ["dx", "dscale", "dbias"].into_iter().enumerate() {
        if wanted[i] {
            let sizes = vec![n as f64; shape.rows()];
            f.agree(what, &grads[i], |k| if i == 0 { 1.0 } else { random_sum(&sizes, n)(k).max(1.0) })?;
        } else {
            f.same_bits(what, &grads[i].device, &before[i])?;
        }
    }
    Ok(())
}

/// `y`, mean and variance, and what the backend made of them.
fn standardised(f: &mut Fixture<'_>, shape: Shape, x: &Pair) -> Result<[Pair; 3]> {
    let target = |f: &mut Fixture<'_>, shape| f.target(shape, Accum::Replace);
    let mut all = [target(f, shape)?, target(f, units(shape))?, target(f, units(shape))?];
    let [y, mean, variance] = &mut all;
    let to = Standardised { y: &mut y.device, mean: &mut mean.device, variance: &mut variance.device };
    f.backend.standardise(&Standardise { x: &x.device, epsilon: EPSILON }, to)?;
    let to = Standardised { y: &mut y.oracle, mean: &mut mean.oracle, variance: &mut variance.oracle };
    Reference.standardise(&Standardise { x: &x.oracle, epsilon: EPSILON }, to)?;
    Ok(all)
}

fn standardise(f: &mut Fixture<'_>, shape: Shape) -> Result<()> {
    let x = f.random(shape)?;
    let [y, mean, variance] = standardised(f, shape, &x)?;
    f.agree("mean", &mean, |_| 1.0)?;
    f.agree("variance", &variance, |_| 1.0)?;
    // Differences from the mean cancel, and are then divided by at least the root of epsilon.
    let spread = Reference.download(&variance.oracle)?;
    f.agree("y", &y, |i| 2.0 / (spread[i / shape.columns().max(1)] + EPSILON).sqrt())
}

fn standardise_vjp(f: &mut Fixture<'_>, shape: Shape, accum: Accum) -> Result<()> {
    let (y, dy, scale) = (f.random(shape)?, f.random(shape)?, f.random(units(shape))?);
    let values: Vec<f64> = f.normal(shape.rows()).iter().map(|v| v.abs() + 0.1).collect();
    let values = f.rounded(values);
    let variance = f.pair(units(shape), &values)?;
    let mut dx = f.target(shape, accum)?;
    let mut again = dx.device.duplicate()?;
    let op = StandardiseVjp {
        y: &y.device,
        variance: &variance.device,
        epsilon: EPSILON,
        scale: &scale.device,
        dy: &dy.device,
    };
    f.backend.standardise_vjp(&op, &mut dx.device, accum)?;
    f.backend.standardise_vjp(&op, &mut again, accum)?;
    let op = StandardiseVjp {
        y: &y.oracle,
        variance: &variance.oracle,
        epsilon: EPSILON,
        scale: &scale.oracle,
        dy: &dy.oracle,
    };
    Reference.standardise_vjp(&op, &mut dx.oracle, accum)?;
    f.agree("dx", &dx, |_| 4.0)?;
    f.same_bits("dx", &dx.device, &again)
}

fn refusals(f: &mut Fixture<'_>) {
    for (label, factors, act) in [
        ("diagonal with too few factors", 2, Activation::Identity),
        ("diagonal with too many factors", 4, Activation::Identity),
        ("diagonal with softmax", 3, Activation::Softmax),
    ] {
        f.refused(label, |f| {
            let (x, scale) = (f.random(Shape::matrix(3, 4))?, f.random(Shape::vector(factors))?);
            let mut y = f.random(Shape::matrix(3, 4))?;
            let op = Diagonal { x: &x.device, scale: &scale.device, bias: None, activation: act };
            f.backend.diagonal(&op, &mut y.device, None)
        });
    }
    f.refused("diagonal_vjp into another shape", |f| {
        let (x, scale) = (f.random(Shape::matrix(3, 4))?, f.random(Shape::vector(3))?);
        let mut slot = f.random(Shape::vector(4))?;
        let op = Diagonal { x: &x.device, scale: &scale.device, bias: None, activation: Activation::Identity };
        let scale = Some(GradSlot { tensor: &mut slot.device, accum: Accum::Replace });
        f.backend.diagonal_vjp(&op, &x.device, DiagonalGrads { scale, ..DiagonalGrads::default() })
    });
    f.refused("standardise into another shape", |f| {
        let (x, mut y) = (f.random(Shape::matrix(3, 4))?, f.random(Shape::matrix(3, 5))?);
        let (mut mean, mut variance) = (f.random(Shape::vector(3))?, f.random(Shape::vector(3))?);
        let to = Standardised { y: &mut y.device, mean: &mut mean.device, variance: &mut variance.device };
        f.backend.standardise(&Standardise { x: &x.device, epsilon: EPSILON }, to)
    });
    f.refused("standardise_vjp with another number of units", |f| {
        let y = f.random(Shape::matrix(3, 4))?;
        let (scale, variance) = (f.random(Shape::vector(3))?, f.random(Shape::vector(2))?);
        let mut dx = f.backend.zeros(Shape::matrix(3, 4), f.dtype)?;
        let op = StandardiseVjp {
            y: &y.device,
            variance: &variance.device,
            epsilon: EPSILON,
            scale: &scale.device,
            dy: &y.device,
        };
        f.backend.standardise_vjp(&op, &mut dx, Accum::Replace)
    });
}
