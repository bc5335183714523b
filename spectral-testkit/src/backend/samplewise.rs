//! Samples with a mean and a variance of their own.

use super::fixture::{ACCUMS, Fixture, Pair};
use spectral_core::backend::{Accum, SampleNorm, SampleNormVjp, Samplewise};
use spectral_core::{Memory, Reference, Result, Shape};

/// Units, places, samples: rows of values and images, with one, few and many samples.
const SHAPES: [&[usize]; 11] = [
    &[0, 3],
    &[3, 0],
    &[1, 1],
    &[5, 1],
    &[7, 33],
    &[3, 2, 5, 9],
    &[16, 64],
    &[31, 4, 4, 17],
    &[101, 129],
    &[257, 1],
    &[3, 5, 4, 1],
];

/// Some epsilon of the usual size.
const EPSILON: f64 = 1e-3;

pub(super) fn run(f: &mut Fixture<'_>) {
    for extents in SHAPES {
        f.case(format!("normalise_samples {extents:?}"), |f| {
            let x = f.random(Shape::new(extents)?)?;
            forward(f, &x)
        });
        for accum in ACCUMS {
            f.case(format!("normalise_samples_vjp {extents:?} {accum:?}"), |f| vjp(f, Shape::new(extents)?, accum));
        }
    }
    for (what, odd) in [("NaN", f64::NAN), ("infinity", f64::INFINITY)] {
        f.case(format!("normalise_samples with {what} in one sample"), |f| {
            let shape = Shape::matrix(6, 20);
            let mut values = f.normal(shape.len());
            values[2 * 20 + 7] = odd;
            let x = f.pair(shape, &values)?;
            forward(f, &x)
        });
    }
    f.case("normalise_samples of equal values", |f| {
        let x = f.pair(Shape::matrix(5, 3), &[2.5; 15])?;
        forward(f, &x)
    });
    refusals(f);
}

fn samples(shape: Shape) -> usize {
    shape.extents().last().copied().unwrap_or(0)
}

fn forward(f: &mut Fixture<'_>, x: &Pair) -> Result<()> {
    let shape = x.oracle.shape();
    let variances = Shape::matrix(1, samples(shape));
    let (mut y, mut variance) = (f.target(shape, Accum::Replace)?, f.target(variances, Accum::Replace)?);
    let mut again = y.device.duplicate()?;
    let op = SampleNorm { x: &x.device, epsilon: EPSILON };
    f.backend.normalise_samples(&op, &mut y.device, &mut variance.device)?;
    f.backend.normalise_samples(&op, &mut again, &mut variance.device)?;
    let op = SampleNorm { x: &x.oracle, ..op };
    Reference.normalise_samples(&op, &mut y.oracle, &mut variance.oracle)?;
    f.agree("variance", &variance, |_| 1.0)?;
    // Differences from the mean cancel, and are then divided by at least the root of epsilon.
    let spread = Reference.download(&variance.oracle)?;
    f.agree("y", &y, |i| 2.0 / (spread[i % spread.len()] + EPSILON).sqrt())?;
    f.same_bits("y", &y.device, &again)
}

fn vjp(f: &mut Fixture<'_>, shape: Shape, accum: Accum) -> Result<()> {
    let (y, dy, scale) = (f.random(shape)?, f.random(shape)?, f.random(Shape::vector(shape.rows()))?);
    let values: Vec<f64> = f.normal(samples(shape)).iter().map(|v| v.abs() + 0.1).collect();
    let values = f.rounded(values);
    let variance = f.pair(Shape::matrix(1, samples(shape)), &values)?;
    let mut dx = f.target(shape, accum)?;
    let (scale_device, epsilon) = (&scale.device, EPSILON);
    let slots = dx.slots(accum);
    let op = SampleNormVjp { y: &y.device, variance: &variance.device, epsilon, scale: scale_device, dy: &dy.device };
    f.backend.normalise_samples_vjp(&op, slots.0)?;
    let op = SampleNormVjp { y: &y.oracle, variance: &variance.oracle, epsilon, scale: &scale.oracle, dy: &dy.oracle };
    Reference.normalise_samples_vjp(&op, slots.1)?;
    f.agree("dx", &dx, |_| 4.0)
}

fn refusals(f: &mut Fixture<'_>) {
    for (label, y, variances) in [
        ("normalise_samples into another shape", Shape::matrix(3, 5), 4),
        ("normalise_samples with another number of samples", Shape::matrix(3, 4), 3),
    ] {
        f.refused(label, |f| {
            let (x, mut y) = (f.random(Shape::matrix(3, 4))?, f.random(y)?);
            let mut variance = f.random(Shape::vector(variances))?;
            let op = SampleNorm { x: &x.device, epsilon: EPSILON };
            f.backend.normalise_samples(&op, &mut y.device, &mut variance.device)
        });
    }
    f.refused("normalise_samples_vjp with another number of units", |f| {
        let y = f.random(Shape::matrix(3, 4))?;
        let (scale, variance) = (f.random(Shape::vector(2))?, f.random(Shape::vector(4))?);
        let mut dx = f.random(Shape::matrix(3, 4))?;
        let op = SampleNormVjp {
            y: &y.device,
            variance: &variance.device,
            epsilon: EPSILON,
            scale: &scale.device,
            dy: &y.device,
        };
        f.backend.normalise_samples_vjp(&op, dx.slots(Accum::Replace).0)
    });
}
