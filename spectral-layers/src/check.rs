//! Checks of hyper-parameters and inputs that several layers share.

use spectral_core::{Activation, Error, Penalty, Result, Shape};

/// The most entries that a weight matrix may have: as many as a sparse pattern can index.
const MAX_ENTRIES: usize = u32::MAX as usize;

pub(crate) fn bad(kind: &str, problem: impl Into<String>) -> Error {
    Error::config(format!("layer `{kind}`"), problem)
}

/// The width of the only input of a layer with `units` outputs and a whole weight matrix.
pub(crate) fn width(kind: &'static str, units: usize, inputs: &[Shape]) -> Result<usize> {
    let width = any_width(kind, units, inputs)?;
    if units.checked_mul(width).is_none_or(|entries| entries > MAX_ENTRIES) {
        return Err(bad(kind, format!("{units} units over {width} inputs are more than 2^32 weights")));
    }
    Ok(width)
}

/// As [`width`], for a layer that need not store all its weights.
pub(crate) fn any_width(kind: &'static str, units: usize, inputs: &[Shape]) -> Result<usize> {
    let &[input] = inputs else {
        return Err(bad(kind, format!("takes one input, got {}; merge them first", inputs.len())));
    };
    if input.rank() != 1 {
        let problem = format!("takes samples with one axis, got {input}; put a `flatten` layer before it");
        return Err(bad(kind, problem));
    }
    if input.is_empty() {
        return Err(Error::shape(kind, "input samples with at least one value", input));
    }
    if units == 0 {
        return Err(bad(kind, "`units` is 0; a layer needs at least one unit"));
    }
    Ok(input.len())
}

/// The only input of a layer that keeps its shape.
pub(crate) fn only(kind: &'static str, inputs: &[Shape]) -> Result<Shape> {
    match inputs {
        [input] if !input.is_empty() => Ok(*input),
        [empty] => Err(Error::shape(kind, "input samples with at least one value", empty)),
        _ => Err(bad(kind, format!("takes one input, got {}; merge them first", inputs.len()))),
    }
}

/// Parameters of an activation, softmax included.
pub(crate) fn activation(kind: &str, activation: Activation) -> Result<()> {
    match activation {
        Activation::LeakyRelu { slope } if !(slope >= 0.0 && slope.is_finite()) => {
            Err(bad(kind, format!("`slope` of leaky_relu is {slope}; it must be a finite number >= 0")))
        }
        Activation::Elu { alpha } if !(alpha > 0.0 && alpha.is_finite()) => {
            Err(bad(kind, format!("`alpha` of elu is {alpha}; it must be a finite number > 0")))
        }
        Activation::Clip { min, max } if !(min < max && min.is_finite() && max.is_finite()) => {
            Err(bad(kind, format!("`min` of clip is {min} and `max` {max}; `min` must be below `max`, both finite")))
        }
        _ => Ok(()),
    }
}

/// An activation that can be fused with a product.
pub(crate) fn fused(kind: &str, act: Activation) -> Result<()> {
    if !act.is_elementwise() {
        return Err(bad(kind, "softmax mixes units; use identity here and put a softmax activation layer after it"));
    }
    activation(kind, act)
}

pub(crate) fn penalty(kind: &str, role: &str, penalty: Penalty) -> Result<()> {
    for (name, factor) in [("l1", penalty.l1), ("l2", penalty.l2)] {
        if !(factor >= 0.0 && factor.is_finite()) {
            return Err(bad(kind, format!("{name} penalty on {role} is {factor}; it must be a finite number >= 0")));
        }
    }
    Ok(())
}

pub(crate) fn density(kind: &str, density: f64) -> Result<()> {
    if (0.0..=1.0).contains(&density) {
        return Ok(());
    }
    Err(bad(kind, format!("`density` is {density}; it must be from 0 to 1")))
}

pub(crate) fn rate(kind: &str, rate: f64) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(bad(kind, format!("`rate` is {rate}; it must be at least 0 and below 1")))
}
