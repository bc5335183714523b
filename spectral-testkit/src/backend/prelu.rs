//! A learnt slope for each unit on the negative side.

use super::fixture::{ACCUMS, Fixture};
use spectral_core::backend::{Accum, Prelu, PreluGrads, Unitwise};
use spectral_core::{Reference, Result, Shape};

const SHAPES: [&[usize]; 8] =
    [&[0, 3], &[3, 0], &[1, 1], &[5, 1], &[7, 33], &[3, 2, 5, 9], &[31, 4, 4, 17], &[101, 129]];

pub(super) fn run(f: &mut Fixture<'_>) {
    for extents in SHAPES {
        f.case(format!("prelu {extents:?}"), |f| {
            let values = f.normal(Shape::new(extents)?.len());
            forward(f, Shape::new(extents)?, &values)
        });
        for accum in ACCUMS {
            for wanted in [[true; 2], [true, false], [false, true], [false; 2]] {
                f.case(format!("prelu_vjp {extents:?} {accum:?} wanted {wanted:?}"), |f| {
                    vjp(f, Shape::new(extents)?, accum, wanted)
                });
            }
        }
    }
    f.case("prelu of 0, NaN and infinity", |f| {
        let values = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0];
        forward(f, Shape::matrix(2, 3), &values)
    });
    f.refused("prelu with another number of slopes", |f| {
        let (x, slope) = (f.random(Shape::matrix(3, 4))?, f.random(Shape::vector(4))?);
        let mut y = f.random(Shape::matrix(3, 4))?;
        f.backend.prelu(&Prelu { x: &x.device, slope: &slope.device }, &mut y.device)
    });
    f.refused("prelu_vjp into another shape", |f| {
        let (x, slope, mut dx) =
            (f.random(Shape::matrix(3, 4))?, f.random(Shape::vector(3))?, f.random(Shape::matrix(4, 3))?);
        let op = Prelu { x: &x.device, slope: &slope.device };
        let grads = PreluGrads { x: Some(dx.slots(Accum::Replace).0), slope: None };
        f.backend.prelu_vjp(&op, &x.device, grads)
    });
}

fn forward(f: &mut Fixture<'_>, shape: Shape, values: &[f64]) -> Result<()> {
    let (x, slope) = (f.pair(shape, values)?, f.random(Shape::vector(shape.rows()))?);
    let mut y = f.target(shape, Accum::Replace)?;
    f.backend.prelu(&Prelu { x: &x.device, slope: &slope.device }, &mut y.device)?;
    Reference.prelu(&Prelu { x: &x.oracle, slope: &slope.oracle }, &mut y.oracle)?;
    f.agree("y", &y, |_| 1.0)
}

fn vjp(f: &mut Fixture<'_>, shape: Shape, accum: Accum, wanted: [bool; 2]) -> Result<()> {
    let units = Shape::vector(shape.rows());
    let (x, slope, dy) = (f.random(shape)?, f.random(units)?, f.random(shape)?);
    let mut grads = [f.target(shape, accum)?, f.target(units, accum)?];
    let before = [grads[0].device.duplicate()?, grads[1].device.duplicate()?];
    let [dx, dslope] = grads.each_mut().map(|g| g.slots(accum));
    let op = Prelu { x: &x.device, slope: &slope.device };
    let chosen = PreluGrads { x: wanted[0].then_some(dx.0), slope: wanted[1].then_some(dslope.0) };
    f.backend.prelu_vjp(&op, &dy.device, chosen)?;
    let op = Prelu { x: &x.oracle, slope: &slope.oracle };
    Reference.prelu_vjp(&op, &dy.oracle, PreluGrads { x: Some(dx.1), slope: Some(dslope.1) })?;
    let root = (shape.columns() as f64).sqrt().max(1.0);
    for (i, (what, size)) in [("dx", 1.0), ("dslope", root)].into_iter().enumerate() {
        if wanted[i] {
            f.agree(what, &grads[i], |_| size)?;
        } else {
            f.same_bits(what, &grads[i].device, &before[i])?;
        }
    }
    Ok(())
}
