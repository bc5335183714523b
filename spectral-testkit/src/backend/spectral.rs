//! The weight of a spectral layer and its gradients.

use super::fixture::{ACCUMS, EXTENTS, Fixture, Pair, random_sum, sizes};
use spectral_core::backend::{Accum, GradSlot, OuterProduct, SpectralGrads, SpectralKernels, SpectralWeight};
use spectral_core::{DType, Memory, Reference, Result, Shape, Tensor};

pub(super) fn run(f: &mut Fixture<'_>) {
    for (out, inputs, batch) in EXTENTS {
        f.case(format!("spectral_weight [{out}, {inputs}]"), |f| forward(f, out, inputs));
        for accum in ACCUMS {
            for bits in if out * inputs > 10_000 { 7..8 } else { 0..8 } {
                let wanted = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
                let what = format!("spectral_weight_vjp [{out}, {inputs}] over {batch} {accum:?} wanted {wanted:?}");
                f.case(what, |f| vjp(f, (out, inputs, batch), accum, wanted));
            }
        }
    }
    for (label, [basis, lambda_in, lambda_out]) in [
        ("spectral_weight with lambda_in of another length", [4, 3, 3]),
        ("spectral_weight with lambda_out of another length", [4, 4, 4]),
        ("spectral_weight with a basis of another shape", [5, 4, 3]),
    ] {
        f.refused(label, |f| {
            let factors = [Shape::matrix(3, basis), Shape::vector(lambda_in), Shape::vector(lambda_out)];
            let [basis, lambda_in, lambda_out] = [f.random(factors[0])?, f.random(factors[1])?, f.random(factors[2])?];
            let mut w = f.target(Shape::matrix(3, 4), Accum::Replace)?;
            let op =
                SpectralWeight { basis: &basis.device, lambda_in: &lambda_in.device, lambda_out: &lambda_out.device };
            f.backend.spectral_weight(&op, &mut w.device)
        });
    }
    for which in 0..3 {
        f.refused("spectral_weight_vjp with a gradient of another shape", |f| {
            let factors = factors(f, 3, 4)?;
            let (left, right) = (f.random(Shape::matrix(3, 2))?, f.random(Shape::matrix(4, 2))?);
            let mut grads = targets(f, 3, 4, Accum::Add)?;
            grads[which] = f.random(Shape::vector(7))?;
            let [basis, lambda_in, lambda_out] = grads.each_mut().map(|g| Some(g.slots(Accum::Add).0));
            let grads = SpectralGrads { basis, lambda_in, lambda_out };
            let dw = OuterProduct { left: &left.device, right: &right.device, pattern: None };
            f.backend.spectral_weight_vjp(&device(&factors), dw, grads)
        });
    }
}

fn factors(f: &mut Fixture<'_>, out: usize, inputs: usize) -> Result<[Pair; 3]> {
    Ok([f.random(Shape::matrix(out, inputs))?, f.random(Shape::vector(inputs))?, f.random(Shape::vector(out))?])
}

fn targets(f: &mut Fixture<'_>, out: usize, inputs: usize, accum: Accum) -> Result<[Pair; 3]> {
    let shapes = [Shape::matrix(out, inputs), Shape::vector(inputs), Shape::vector(out)];
    Ok([f.target(shapes[0], accum)?, f.target(shapes[1], accum)?, f.target(shapes[2], accum)?])
}

fn device(factors: &[Pair; 3]) -> SpectralWeight<'_> {
    let [basis, lambda_in, lambda_out] = factors;
    SpectralWeight { basis: &basis.device, lambda_in: &lambda_in.device, lambda_out: &lambda_out.device }
}

fn oracle(factors: &[Pair; 3]) -> SpectralWeight<'_> {
    let [basis, lambda_in, lambda_out] = factors;
    SpectralWeight { basis: &basis.oracle, lambda_in: &lambda_in.oracle, lambda_out: &lambda_out.oracle }
}

/// `|basis| * (|lambda_in| + |lambda_out|)`: the size of what cancels in an entry of the weight.
fn forward(f: &mut Fixture<'_>, out: usize, inputs: usize) -> Result<()> {
    let factors = factors(f, out, inputs)?;
    let mut w = f.target(Shape::matrix(out, inputs), Accum::Replace)?;
    let mut again = w.device.duplicate()?;
    f.backend.spectral_weight(&device(&factors), &mut w.device)?;
    f.backend.spectral_weight(&device(&factors), &mut again)?;
    Reference.spectral_weight(&oracle(&factors), &mut w.oracle)?;
    let [basis, lambda_in, lambda_out] = [&factors[0], &factors[1], &factors[2]].map(|p| Reference.download(&p.oracle));
    let (basis, lambda_in, lambda_out) = (basis?, lambda_in?, lambda_out?);
    f.agree("W", &w, |i| basis[i].abs() * (lambda_in[i % inputs].abs() + lambda_out[i / inputs].abs()))?;
    f.same_bits("W", &w.device, &again)
}

fn vjp(
    f: &mut Fixture<'_>,
    (out, inputs, batch): (usize, usize, usize),
    accum: Accum,
    wanted: [bool; 3],
) -> Result<()> {
    let factors = factors(f, out, inputs)?;
    let (left, right) = (f.random(Shape::matrix(out, batch))?, f.random(Shape::matrix(inputs, batch))?);
    let dw = OuterProduct { left: &left.device, right: &right.device, pattern: None };
    let mut grads = targets(f, out, inputs, accum)?;
    let mut again = Vec::new();
    for g in &grads {
        again.push(g.device.duplicate()?);
    }
    let [basis, lambda_in, lambda_out] = grads.each_mut().map(|g| g.slots(accum));
    let chosen = SpectralGrads {
        basis: wanted[0].then_some(basis.0),
        lambda_in: wanted[1].then_some(lambda_in.0),
        lambda_out: wanted[2].then_some(lambda_out.0),
    };
    f.backend.spectral_weight_vjp(&device(&factors), dw, chosen)?;
    let all = SpectralGrads { basis: Some(basis.1), lambda_in: Some(lambda_in.1), lambda_out: Some(lambda_out.1) };
    let exact = OuterProduct { left: &left.oracle, right: &right.oracle, pattern: None };
    Reference.spectral_weight_vjp(&oracle(&factors), exact, all)?;
    let mut slots = again.iter_mut().zip(wanted).map(|(tensor, on)| on.then_some(GradSlot { tensor, accum }));
    let mut next = || slots.next().flatten();
    let same = SpectralGrads { basis: next(), lambda_in: next(), lambda_out: next() };
    f.backend.spectral_weight_vjp(&device(&factors), dw, same)?;

    // Sums of |dW * basis| over rows and columns: those of the same kernel on sizes, but for the sign.
    let (sb, left, right) = (sizes(&factors[0].oracle)?, sizes(&left.oracle)?, sizes(&right.oracle)?);
    let dw = OuterProduct { left: &left, right: &right, pattern: None };
    let op = SpectralWeight { basis: &sb, ..oracle(&factors) };
    let mut columns = Tensor::host_zeros(Shape::vector(inputs), DType::F64);
    let mut rows = Tensor::host_zeros(Shape::vector(out), DType::F64);
    let mut sd = Tensor::host_zeros(Shape::matrix(out, inputs), DType::F64);
    let slot = |tensor| Some(GradSlot { tensor, accum: Accum::Replace });
    let sums = SpectralGrads { basis: None, lambda_in: slot(&mut columns), lambda_out: slot(&mut rows) };
    Reference.spectral_weight_vjp(&op, dw, sums)?;
    dw.write(&Reference, &sb, &mut sd)?;
    let (columns, rows) = (Reference.download(&columns)?, Reference.download(&sizes(&rows)?)?);
    let d = Reference.download(&sd)?;
    if wanted[0] {
        f.agree("d basis", &grads[0], |i| (4.0 * random_sum(&d, batch)(i)).max(1.0))?;
    }
    if wanted[1] {
        f.agree("d lambda_in", &grads[1], |i| random_sum(&columns, out * batch)(i).max(1.0))?;
    }
    if wanted[2] {
        f.agree("d lambda_out", &grads[2], |i| random_sum(&rows, inputs * batch)(i).max(1.0))?;
    }
    for ((what, g), again) in ["d basis", "d lambda_in", "d lambda_out"].into_iter().zip(&grads).zip(&again) {
        // What is not wanted keeps what it held, here and in the copy made before.
        f.same_bits(what, &g.device, again)?;
    }
    Ok(())
}
