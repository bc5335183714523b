//! Optimiser steps.

use super::fixture::{Fixture, Pair};
use super::sparse::{Filling, pattern};
use spectral_core::backend::{OuterProduct, Rule, SUBNORMAL_CUT, Update, UpdateKernels};
use spectral_core::{Constrain, Constraint, Mask, Memory, Reference, Result, Rows, Shape, Tensor};

const RULES: [Rule; 8] = [
    Rule::Sgd { momentum: 0.0, nesterov: false },
    Rule::Sgd { momentum: 0.9, nesterov: false },
    Rule::Sgd { momentum: 0.9, nesterov: true },
    Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    Rule::Adam { beta1: 0.0, beta2: 0.9, epsilon: 1e-3 },
    Rule::Adamax { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    Rule::RmsProp { rho: 0.9, epsilon: 1e-7, epsilon_inside: false },
    Rule::RmsProp { rho: 0.9, epsilon: 1e-7, epsilon_inside: true },
];

/// Learning rate of all steps.
const RATE: f64 = 0.05;

/// What gradients of [`steps`] are multiplied by.
const SCALE: f64 = 0.7;

/// What an update has.
#[derive(Debug, Clone, Copy)]
struct Options {
    pruned: bool,
    trainable: bool,
    /// Penalties and decay.
    pulled: bool,
}

pub(super) fn run(f: &mut Fixture<'_>) {
    for rule in RULES {
        for len in [0, 1, 5, 64, 67, 1003] {
            for (pruned, trainable) in [(false, false), (true, false), (false, true), (true, true)] {
                for pulled in [false, true] {
                    let options = Options { pruned, trainable, pulled };
                    f.case(format!("update {rule:?} of {len} entries {options:?}"), |f| steps(f, rule, len, options));
                }
            }
        }
        f.case(format!("update {rule:?} of masked NaN"), |f| masked_nan(f, rule));
        f.case(format!("update {rule:?} of subnormals"), |f| subnormals(f, rule));
        f.refused("update with a state tensor too many", |f| {
            let (mut w, g) = (f.random(Shape::vector(4))?, f.random(Shape::vector(4))?);
            let mut state = state(f, rule.slots() + 1, 4)?;
            f.backend.update(&plain(rule), &mut w.device, &g.device, &mut state)
        });
    }
    for rule in RULES {
        for (out, inputs, batch) in [(1, 1, 1), (10, 7, 3), (70, 130, 5), (19, 65, 333)] {
            for masked in [false, true] {
                let what = format!("update_product {rule:?} of [{out}, {inputs}] over {batch}, masked: {masked}");
                f.case(what, |f| product(f, rule, (out, inputs, batch), masked, None));
            }
        }
        for (out, inputs, batch) in [(1, 1, 2), (10, 7, 1), (130, 300, 2), (70, 130, 5), (19, 65, 333)] {
            for (filling, masked) in [(Filling::Share(40), false), (Filling::Share(40), true), (Filling::OneRow, true)]
            {
                let what =
                    format!("update_product {rule:?} of {filling:?} {out}x{inputs} over {batch}, masked: {masked}");
                f.case(what, |f| product(f, rule, (out, inputs, batch), masked, Some(filling)));
            }
        }
    }
    for constraint in [
        Constraint::None,
        Constraint::NonNeg,
        Constraint::UnitNorm,
        Constraint::MaxNorm { max: 5.0 },
        Constraint::MinMaxNorm { min: 6.0, max: 7.0, rate: 0.3 },
    ] {
        for rows in [Rows::Equal(1), Rows::Equal(7), Rows::Starts(&[0, 40, 40, 43, 455])] {
            for masked in [false, true] {
                let what = format!("constrain {constraint:?} {rows:?}, masked: {masked}");
                f.case(what, |f| constrained(f, constraint, rows, masked));
            }
        }
    }
    for rows in [Rows::Equal(2), Rows::Starts(&[0, 4])] {
        f.refused("constrain with rows that do not fit", |f| {
            let mut w = f.random(Shape::vector(5))?;
            let op = Constrain { constraint: Constraint::UnitNorm, rows, trainable: None };
            f.backend.constrain(&op, &mut w.device)
        });
    }
    let rule = RULES[3];
    for (left, right) in [((3, 5), (5, 5)), ((4, 5), (6, 5)), ((4, 5), (5, 6))] {
        f.refused("update_product with factors of other shapes", |f| {
            let mut w = f.random(Shape::matrix(4, 5))?;
            let (left, right) = (f.random(Shape::matrix(left.0, left.1))?, f.random(Shape::matrix(right.0, right.1))?);
            let mut state = (0..2).map(|_| w.device.duplicate()).collect::<Result<Vec<_>>>()?;
            let factors = OuterProduct { left: &left.device, right: &right.device, pattern: None };
            f.backend.update_product(&plain(rule), &mut w.device, factors, &mut state)
        });
    }
    f.refused("update with a gradient of another length", |f| {
        let (mut w, g) = (f.random(Shape::vector(4))?, f.random(Shape::vector(5))?);
        let mut state = state(f, rule.slots(), 4)?;
        f.backend.update(&plain(rule), &mut w.device, &g.device, &mut state)
    });
    f.refused("update with state of another length", |f| {
        let (mut w, g) = (f.random(Shape::vector(4))?, f.random(Shape::vector(4))?);
        let mut state = state(f, rule.slots(), 5)?;
        f.backend.update(&plain(rule), &mut w.device, &g.device, &mut state)
    });
    let short = Mask::none(3);
    for (pruned, trainable) in [(Some(&short), None), (None, Some(&short))] {
        f.refused("update with a mask of another length", |f| {
            let (mut w, g) = (f.random(Shape::vector(4))?, f.random(Shape::vector(4))?);
            let mut state = state(f, rule.slots(), 4)?;
            let op = Update { pruned, trainable, ..plain(rule) };
            f.backend.update(&op, &mut w.device, &g.device, &mut state)
        });
    }
}

/// The first step of a rule, without anything optional.
fn plain(rule: Rule) -> Update<'static> {
    Update {
        rule,
        rate: RATE,
        step: 1,
        gradient_scale: 1.0,
        l1: 0.0,
        l2: 0.0,
        decay: 0.0,
        pruned: None,
        trainable: None,
    }
}

fn state(f: &Fixture<'_>, slots: usize, len: usize) -> Result<Vec<Tensor>> {
    (0..slots).map(|_| f.backend.zeros(Shape::vector(len), f.dtype)).collect()
}

/// Three steps with clipping, compared after each.
fn steps(f: &mut Fixture<'_>, rule: Rule, len: usize, options: Options) -> Result<()> {
    let shape = Shape::vector(len);
    let pruned = options.pruned.then(|| Mask::from_fn(len, |i| i % 3 == 1));
    let trainable = options.trainable.then(|| Mask::from_fn(len, |i| i % 5 < 3));
    let mut w = f.random(shape)?;
    let frozen = f.backend.download(&w.device)?;
    let mut device = state(f, rule.slots(), len)?;
    let mut oracle: Vec<Tensor> = (0..rule.slots()).map(|_| Tensor::host_zeros(shape, w.oracle.dtype())).collect();
    let (l1, l2) = if options.pulled { (1e-2, 2e-2) } else { (0.0, 0.0) };
    for step in 1..=3 {
        // Where gradient and penalty cancel, a rule that divides by their sum makes a large difference of its rounding.
        let values = Reference.download(&w.oracle)?.into_iter().zip(f.normal(len));
        let pull = |w: f64| 2.0 * l2 * w + l1 * w.signum();
        let cancels = |w: f64, g: f64| options.pulled && (SCALE * g + pull(w)).abs() < 0.05;
        let apart = |(w, g)| if cancels(w, g) { g + 1.0 } else { g };
        let g = f.pair(shape, &f.rounded(values.map(apart).collect()))?;
        let op = Update {
            step,
            gradient_scale: SCALE,
            l1,
            l2,
            decay: if options.pulled { 3e-2 } else { 0.0 },
            pruned: pruned.as_ref(),
            trainable: trainable.as_ref(),
            ..plain(rule)
        };
        let (mut again, mut spare) = (w.device.duplicate()?, Vec::new());
        for s in &device {
            spare.push(s.duplicate()?);
        }
        f.backend.update(&op, &mut w.device, &g.device, &mut device)?;
        f.backend.update(&op, &mut again, &g.device, &mut spare)?;
        Reference.update(&op, &mut w.oracle, &g.oracle, &mut oracle)?;
        f.agree(&format!("values after step {step}"), &w, |_| RATE)?;
        f.same_bits("values", &w.device, &again)?;
        for (s, o) in device.iter().zip(&oracle) {
            let pair = Pair { device: s.duplicate()?, oracle: o.duplicate()? };
            let largest = Reference.download(o)?.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            f.agree(&format!("state after step {step}"), &pair, |_| 0.1 * largest)?;
        }
    }
    let values = f.backend.download(&w.device)?;
    let held = device.iter().map(|s| f.backend.download(s)).collect::<Result<Vec<_>>>()?;
    for i in 0..len {
        let all = || std::iter::once(&values).chain(&held).map(|v| v[i]);
        if pruned.as_ref().is_some_and(|m| m.contains(i)) {
            f.require(all().all(|v| v.to_bits() == 0), format!("pruned entry {i} or its state is not +0.0"));
        } else if trainable.as_ref().is_some_and(|m| !m.contains(i)) {
            let kept = values[i].to_bits() == frozen[i].to_bits() && held.iter().all(|s| s[i].to_bits() == 0);
            f.require(kept, format!("frozen entry {i} or its state changed"));
        }
    }
    Ok(())
}

/// Two steps with a product for a gradient have the bits of those with the product written down.
fn product(
    f: &mut Fixture<'_>,
    rule: Rule,
    (out, inputs, batch): (usize, usize, usize),
    masked: bool,
    stored: Option<Filling>,
) -> Result<()> {
    let pattern = stored.map(|filling| pattern(f, out, inputs, filling)).transpose()?;
    let pattern = pattern.as_ref();
    let shape = pattern.map_or(Shape::matrix(out, inputs), |p| Shape::vector(p.nonzeros()));
    let pruned = masked.then(|| Mask::from_fn(shape.len(), |i| i % 3 == 1));
    let trainable = masked.then(|| Mask::from_fn(shape.len(), |i| i % 5 < 3));
    let mut value = f.random(shape)?.device;
    let zeros = || f.backend.zeros(shape, f.dtype);
    let mut state = (0..rule.slots()).map(|_| zeros()).collect::<Result<Vec<_>>>()?;
    let mut written = zeros()?;
    let (mut wanted, mut wanted_state) = (value.duplicate()?, Vec::new());
    for s in &state {
        wanted_state.push(s.duplicate()?);
    }
    for step in 1..=2 {
        let (left, right) = (f.random(Shape::matrix(out, batch))?, f.random(Shape::matrix(inputs, batch))?);
        let factors = OuterProduct { left: &left.device, right: &right.device, pattern };
        let (pruned, trainable) = (pruned.as_ref(), trainable.as_ref());
        let op = Update { step, l1: 1e-2, l2: 2e-2, decay: 3e-2, pruned, trainable, ..plain(rule) };
        factors.write(f.backend, &wanted, &mut written)?;
        f.backend.update(&op, &mut wanted, &written, &mut wanted_state)?;
        f.backend.update_product(&op, &mut value, factors, &mut state)?;
    }
    f.same_bits("values", &value, &wanted)?;
    state.iter().zip(&wanted_state).try_for_each(|(s, wanted)| f.same_bits("state", s, wanted))
}

/// Frozen entries keep their bits; a row of zeros stays one.
fn constrained(f: &mut Fixture<'_>, constraint: Constraint, rows: Rows<'_>, masked: bool) -> Result<()> {
    let shape = Shape::matrix(7, 65);
    let mut values = f.normal(shape.len());
    values[65..130].fill(0.0);
    let mut w = f.pair(shape, &values)?;
    let trainable = masked.then(|| Mask::from_fn(shape.len(), |i| i % 5 < 3));
    let op = Constrain { constraint, rows, trainable: trainable.as_ref() };
    let mut again = w.device.duplicate()?;
    f.backend.constrain(&op, &mut w.device)?;
    f.backend.constrain(&op, &mut again)?;
    Reference.constrain(&op, &mut w.oracle)?;
    f.agree("values", &w, |_| 1.0)?;
    f.same_bits("values", &w.device, &again)?;
    let now = f.backend.download(&w.device)?;
    let frozen = |i: usize| trainable.as_ref().is_some_and(|m| !m.contains(i));
    let moved = (0..values.len()).find(|&i| frozen(i) && now[i].to_bits() != values[i].to_bits());
    f.require(moved.is_none(), format!("frozen entry {moved:?} changed"));
    Ok(())
}

/// Whatever pruned entries held and whatever their gradient is, they become +0.0; frozen ones ignore their gradient.
fn masked_nan(f: &mut Fixture<'_>, rule: Rule) -> Result<()> {
    let len = 70;
    let shape = Shape::vector(len);
    let (pruned, trainable) = (Mask::from_fn(len, |i| i % 7 == 2), Mask::from_fn(len, |i| i % 4 != 3));
    let mut values = f.normal(len);
    let mut gradient = f.normal(len);
    for i in 0..len {
        if pruned.contains(i) {
            (values[i], gradient[i]) = (f64::NAN, f64::INFINITY);
        } else if !trainable.contains(i) {
            gradient[i] = f64::NAN;
        }
    }
    let (mut w, g) = (f.pair(shape, &values)?, f.pair(shape, &gradient)?);
    let mut held = state(f, rule.slots(), len)?;
    for s in &mut held {
        let start: Vec<f64> = (0..len).map(|i| if pruned.contains(i) { -1.0 } else { 0.25 }).collect();
        f.backend.write(&start, s)?;
    }
    let op = Update { pruned: Some(&pruned), trainable: Some(&trainable), l1: 0.1, ..plain(rule) };
    f.backend.update(&op, &mut w.device, &g.device, &mut held)?;
    let now = f.backend.download(&w.device)?;
    let held = held.iter().map(|s| f.backend.download(s)).collect::<Result<Vec<_>>>()?;
    for i in 0..len {
        let right = if pruned.contains(i) {
            now[i].to_bits() == 0 && held.iter().all(|s| s[i].to_bits() == 0)
        } else if !trainable.contains(i) {
            now[i].to_bits() == values[i].to_bits() && held.iter().all(|s| s[i] == 0.25)
        } else {
            now[i].is_finite()
        };
        f.require(right, format!("entry {i} became {}", now[i]));
    }
    Ok(())
}

/// Values and state that decay never linger as subnormals.
fn subnormals(f: &mut Fixture<'_>, rule: Rule) -> Result<()> {
    let small = f.rounded(vec![1e-31, -1e-31, 1e-40, -1e-38, 0.9e-30, -0.0]);
    let shape = Shape::vector(small.len());
    let (mut w, g) = (f.pair(shape, &small)?, f.pair(shape, &vec![0.0; small.len()])?);
    let mut held = state(f, rule.slots(), small.len())?;
    for s in &mut held {
        f.backend.write(&small.iter().map(|v| v.abs()).collect::<Vec<_>>(), s)?;
    }
    f.backend.update(&Update { rate: 0.0, ..plain(rule) }, &mut w.device, &g.device, &mut held)?;
    let mut left = f.backend.download(&w.device)?;
    for s in &held {
        left.extend(f.backend.download(s)?);
    }
    let lingering = left.iter().find(|v| **v != 0.0);
    f.require(lingering.is_none(), format!("{lingering:?} is left, below {SUBNORMAL_CUT:e} nothing may be"));
    Ok(())
}
