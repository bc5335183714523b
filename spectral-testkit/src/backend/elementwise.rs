//! Kernels that act on every element alone, or move elements.

use super::fixture::{ACCUMS, Fixture, Pair};
use spectral_core::backend::{Accum, Dropout, Elementwise, RowCopy};
use spectral_core::{Activation, Mask, Memory, Penalty, Reference, Result, Shape};

const SHAPES: [(usize, usize); 9] = [(0, 3), (3, 0), (1, 1), (5, 1), (1, 9), (7, 33), (16, 64), (101, 129), (1, 4099)];

/// Arguments where activations overflow, cancel or saturate.
const SPECIAL: [f64; 12] = [0.0, -0.0, 1e-8, -1e-8, 1e-3, -1e-3, 20.0, -20.0, 90.0, -90.0, 800.0, -800.0];

pub(super) fn run(f: &mut Fixture<'_>) {
    let more = [("leaky_relu 0.2", Activation::LeakyRelu { slope: 0.2 }), ("elu 0.5", Activation::Elu { alpha: 0.5 })];
    for (name, act) in Activation::NAMES.into_iter().chain(more) {
        for (rows, batch) in SHAPES {
            let shape = Shape::matrix(rows, batch);
            f.case(format!("activate {name} {shape}"), |f| activate(f, act, shape));
            f.case(format!("activate_vjp {name} {shape}"), |f| activate_vjp(f, act, shape));
        }
        f.case(format!("activate {name} on NaN and infinity"), |f| activate_non_finite(f, act));
    }
    for (rows, batch) in SHAPES {
        let shape = Shape::matrix(rows, batch);
        for accum in ACCUMS {
            for alpha in [1.0, 0.0, -0.3] {
                f.case(format!("scale by {alpha} {shape} {accum:?}"), |f| {
                    let (x, mut y) = (f.random(shape)?, f.target(shape, accum)?);
                    f.backend.scale(alpha, &x.device, &mut y.device, accum)?;
                    Reference.scale(alpha, &x.oracle, &mut y.oracle, accum)?;
                    f.agree("y", &y, |_| 1.0)
                });
            }
            f.case(format!("multiply {shape} {accum:?}"), |f| {
                let (a, b, mut y) = (f.random(shape)?, f.random(shape)?, f.target(shape, accum)?);
                f.backend.multiply(&a.device, &b.device, &mut y.device, accum)?;
                Reference.multiply(&a.oracle, &b.oracle, &mut y.oracle, accum)?;
                f.agree("y", &y, |_| 1.0)
            });
            for rate in [0.0, 0.3, 0.9] {
                f.case(format!("dropout {rate} {shape} {accum:?}"), |f| dropout(f, rate, shape, accum));
            }
            copies(f, rows, batch, accum);
        }
        f.case(format!("zero_where {shape}"), |f| zero_where(f, shape));
        f.case(format!("clamp {shape}"), |f| clamp(f, shape));
        f.case(format!("penalty_vjp {shape}"), |f| penalty_vjp(f, shape));
    }
    f.case("multiply NaN and infinity", |f| {
        let shape = Shape::vector(4);
        let a = f.pair(shape, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2.0])?;
        let (b, mut y) = (f.pair(shape, &[0.0, 2.0, 2.0, f64::NAN])?, f.target(shape, Accum::Replace)?);
        f.backend.multiply(&a.device, &b.device, &mut y.device, Accum::Replace)?;
        Reference.multiply(&a.oracle, &b.oracle, &mut y.oracle, Accum::Replace)?;
        f.agree("y", &y, |_| 1.0)
    });
    refusals(f);
}

fn arguments(f: &mut Fixture<'_>, len: usize) -> Vec<f64> {
    let mut values = f.normal(len);
    values.iter_mut().for_each(|v| *v *= 3.0);
    for (v, special) in values.iter_mut().skip(1).step_by(2).zip(SPECIAL) {
        *v = special;
    }
    f.rounded(values)
}

/// What rounding the argument can do to a value: errors of a fraction of the argument near 0, of 1 far out.
fn near(x: f64) -> f64 {
    0.1 * x.abs().min(1.0)
}

fn activate(f: &mut Fixture<'_>, act: Activation, shape: Shape) -> Result<()> {
    let values = arguments(f, shape.len());
    let (x, mut y) = (f.pair(shape, &values)?, f.target(shape, Accum::Replace)?);
    f.backend.activate(act, &x.device, &mut y.device)?;
    Reference.activate(act, &x.oracle, &mut y.oracle)?;
    f.agree("y", &y, |i| near(values[i]))
}

fn activate_vjp(f: &mut Fixture<'_>, act: Activation, shape: Shape) -> Result<()> {
    let values = arguments(f, shape.len());
    let x = f.pair(shape, &values)?;
    let at = if act.slope_needs_input() {
        x
    } else {
        let mut y = f.target(shape, Accum::Replace)?;
        Reference.activate(act, &x.oracle, &mut y.oracle)?;
        let values = f.rounded(Reference.download(&y.oracle)?);
        f.pair(shape, &values)?
    };
    let mut dy = f.random(shape)?;
    let before = Reference.download(&dy.oracle)?;
    f.backend.activate_vjp(act, &at.device, &mut dy.device)?;
    Reference.activate_vjp(act, &at.oracle, &mut dy.oracle)?;
    f.agree("dx", &dy, |i| if act.is_elementwise() { 0.1 * before[i].abs() } else { 1.0 })
}

/// NaN stays NaN. Where the limit at infinity exists without cancelling, it is taken.
fn activate_non_finite(f: &mut Fixture<'_>, act: Activation) -> Result<()> {
    let mut values = f.normal(40);
    (values[3], values[21]) = (f64::NAN, f64::NAN);
    if act != Activation::Gelu {
        values[34] = f64::NEG_INFINITY;
        if act.is_elementwise() {
            values[12] = f64::INFINITY;
        }
    }
    let shape = Shape::matrix(4, 10);
    let (x, mut y) = (f.pair(shape, &values)?, f.target(shape, Accum::Replace)?);
    f.backend.activate(act, &x.device, &mut y.device)?;
    Reference.activate(act, &x.oracle, &mut y.oracle)?;
    f.agree("y", &y, |i| near(values[i]))
}

fn dropout(f: &mut Fixture<'_>, rate: f64, shape: Shape, accum: Accum) -> Result<()> {
    let op = Dropout { rate, key: 0xfeed };
    let (x, mut y) = (f.random(shape)?, f.target(shape, accum)?);
    let mut again = y.device.duplicate()?;
    f.backend.dropout(op, &x.device, &mut y.device, accum)?;
    f.backend.dropout(op, &x.device, &mut again, accum)?;
    Reference.dropout(op, &x.oracle, &mut y.oracle, accum)?;
    f.agree("y", &y, |_| 1.0)?;
    f.same_bits("y", &y.device, &again)?;
    if accum == Accum::Replace && rate > 0.0 && shape.len() > 100 {
        let got = f.backend.download(&y.device)?;
        f.backend.dropout(Dropout { key: 1, ..op }, &x.device, &mut again, accum)?;
        let other = f.backend.download(&again)?;
        let moved = got.iter().zip(&other).any(|(a, b)| (*a == 0.0) != (*b == 0.0));
        f.require(moved, "another key drops the same values");
    }
    Ok(())
}

fn copies(f: &mut Fixture<'_>, rows: usize, batch: usize, accum: Accum) {
    let blocks = [(0, 0, rows), (rows / 2, 1, rows - rows / 2), (0, 3, rows / 2), (rows, 0, 0)];
    for (from_row, to_row, count) in blocks {
        let op = RowCopy { from_row, to_row, rows: count };
        f.case(format!("copy_rows {op:?} of [{rows}, {batch}] {accum:?}"), |f| {
            let x = f.random(Shape::matrix(rows, batch))?;
            let mut y: Pair = f.target(Shape::matrix(rows + 3, batch), accum)?;
            f.backend.copy_rows(op, &x.device, &mut y.device, accum)?;
            Reference.copy_rows(op, &x.oracle, &mut y.oracle, accum)?;
            f.agree("rows", &y, |_| 1.0)
        });
    }
}

fn zero_where(f: &mut Fixture<'_>, shape: Shape) -> Result<()> {
    let mask = Mask::from_fn(shape.len(), |i| i % 3 != 1);
    let mut values = f.normal(shape.len());
    values.iter_mut().step_by(2).for_each(|v| *v = f64::NAN);
    let mut t = f.pair(shape, &values)?;
    f.backend.zero_where(&mask, &mut t.device)?;
    let got = f.backend.download(&t.device)?;
    let right = |(i, g): (usize, &f64)| match mask.contains(i) {
        true => g.to_bits() == 0,
        false => g.to_bits() == values[i].to_bits() || values[i].is_nan() && g.is_nan(),
    };
    f.require(got.iter().enumerate().all(right), "entries in the mask must be +0.0, the others unchanged");
    Ok(())
}

/// Elements inside the limit keep their bits, and NaN stays NaN.
fn clamp(f: &mut Fixture<'_>, shape: Shape) -> Result<()> {
    let mut values = f.normal(shape.len());
    for (v, special) in values.iter_mut().skip(1).step_by(3).zip([f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.5]) {
        *v = special;
    }
    let mut t = f.pair(shape, &values)?;
    f.backend.clamp(0.5, &mut t.device)?;
    let got = f.backend.download(&t.device)?;
    let right = |(g, v): (&f64, &f64)| {
        if v.is_nan() { g.is_nan() } else { g.to_bits() == v.clamp(-0.5, 0.5).to_bits() }
    };
    let all = got.iter().zip(&Reference.download(&t.oracle)?).all(right);
    f.require(all, "elements must be inside -0.5..=0.5, unchanged where they were");
    Ok(())
}

/// The slope of `|x|` at 0 is 0.
fn penalty_vjp(f: &mut Fixture<'_>, shape: Shape) -> Result<()> {
    let mut values = f.normal(shape.len());
    values.iter_mut().step_by(3).for_each(|v| *v *= 0.0);
    let (x, mut dx) = (f.pair(shape, &values)?, f.random(shape)?);
    let penalty = Penalty { l1: 0.3, l2: 0.2 };
    f.backend.penalty_vjp(penalty, 0.5, &x.device, &mut dx.device)?;
    Reference.penalty_vjp(penalty, 0.5, &x.oracle, &mut dx.oracle)?;
    f.agree("dx", &dx, |_| 1.0)
}

fn refusals(f: &mut Fixture<'_>) {
    let (a, b) = (Shape::matrix(3, 4), Shape::matrix(3, 5));
    let op = Dropout { rate: 0.5, key: 1 };
    let pairs = |f: &mut Fixture<'_>| -> Result<(Pair, Pair, Pair)> { Ok((f.random(a)?, f.random(a)?, f.random(b)?)) };
    f.refused("activate into another shape", |f| {
        let (x, _, mut y) = pairs(f)?;
        f.backend.activate(Activation::Relu, &x.device, &mut y.device)
    });
    f.refused("activate_vjp over another shape", |f| {
        let (x, _, mut y) = pairs(f)?;
        f.backend.activate_vjp(Activation::Relu, &x.device, &mut y.device)
    });
    f.refused("scale into another shape", |f| {
        let (x, _, mut y) = pairs(f)?;
        f.backend.scale(1.0, &x.device, &mut y.device, Accum::Add)
    });
    f.refused("multiply of two shapes", |f| {
        let (x, mut y, other) = pairs(f)?;
        f.backend.multiply(&x.device, &other.device, &mut y.device, Accum::Replace)
    });
    f.refused("multiply into another shape", |f| {
        let (x, y, mut other) = pairs(f)?;
        f.backend.multiply(&x.device, &y.device, &mut other.device, Accum::Replace)
    });
    f.refused("dropout into another shape", |f| {
        let (x, _, mut y) = pairs(f)?;
        f.backend.dropout(op, &x.device, &mut y.device, Accum::Replace)
    });
    f.refused("copy_rows between batches", |f| {
        let (x, _, mut y) = pairs(f)?;
        let rows = RowCopy { from_row: 0, to_row: 0, rows: 1 };
        f.backend.copy_rows(rows, &x.device, &mut y.device, Accum::Replace)
    });
    for (from_row, to_row, rows) in [(1, 0, 3), (0, 1, 3), (4, 0, 1)] {
        f.refused("copy_rows past the end", |f| {
            let (x, mut y, _) = pairs(f)?;
            f.backend.copy_rows(RowCopy { from_row, to_row, rows }, &x.device, &mut y.device, Accum::Replace)
        });
    }
    f.refused("penalty_vjp into another shape", |f| {
        let (x, _, mut y) = pairs(f)?;
        f.backend.penalty_vjp(Penalty { l1: 1.0, l2: 1.0 }, 1.0, &x.device, &mut y.device)
    });
    f.refused("zero_where with a mask of another length", |f| {
        let mut x = f.random(a)?;
        f.backend.zero_where(&Mask::none(11), &mut x.device)
    });
}
