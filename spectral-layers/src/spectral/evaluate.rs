//! The two ways to evaluate a spectral layer and its gradients.

use super::{BASIS, BIAS, LAMBDA_IN, LAMBDA_OUT, Spectral};
use crate::dense::keeps_input;
use spectral_core::backend::{
    Accum, Diagonal, DiagonalGrads, GradSlot, Linear, LinearGrads, OuterProduct, SpectralGrads, SpectralWeight,
};
use spectral_core::{Activation, Backend, Forward, LeftFactor, NodeParams, Result, Saved, Shape, Tensor, Vjp};

/// How to compute `z = W x + b` with `W[o, i] = basis[o, i] * (lambda_in[i] - lambda_out[o])`. The choice depends only
/// on what is trainable and on whether a frozen `lambda_in` is zero, so that forward and backward agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The weight is written to memory. Three products, whatever trains. The product for the weight gradient `dz x^T`
    /// is turned into gradients of the factors as it is computed.
    Weight,
    /// `lambda_in` is frozen at zero: `z = -lambda_out * U + b` with `U = basis x`, and
    /// `d lambda_out = -rowsum(dz * U)`. Three products over the basis, two if it is frozen.
    Rows,
}

impl Form {
    fn of(backend: &dyn Backend, params: NodeParams<'_>) -> Result<Self> {
        // This reads values on a device too: every backend must take the same form, or the same model would train to
        // other bits there. A frozen parameter does not change, so its values are downloaded once, not every step.
        let lambda_in = params.get(LAMBDA_IN);
        let rows = !lambda_in.is_trainable() && lambda_in.is_zero(backend)?;
        Ok(if rows { Self::Rows } else { Self::Weight })
    }
}

/// Tensors kept from forward to backward, enough for both forms: the arena decides what trains, and that may change
/// after the layer is built.
pub(super) fn saved(units: usize, inputs: usize) -> Vec<Saved> {
    let (matrix, vector) = (Shape::matrix(units, inputs), Shape::vector(units));
    let outer = Saved::PerSample(vector);
    let (matrix, vector) = (Saved::Fixed(matrix), Saved::Fixed(vector));
    vec![matrix, vector, vector, outer, outer, outer]
}

/// Index of [`Buffers::scaled`] among them.
const SCALED: usize = 5;

/// The tensors of [`saved`].
struct Buffers<'a> {
    weight: &'a mut Tensor,
    /// `-lambda_out` and the gradient with respect to it.
    minus: &'a mut Tensor,
    minus_grad: &'a mut Tensor,
    /// `W x + b`.
    pre: &'a mut Tensor,
    /// `U`.
    projected: &'a mut Tensor,
    /// `-lambda_out * dz`.
    scaled: &'a mut Tensor,
}

impl<'a> Buffers<'a> {
    fn of(saved: &'a mut [Tensor]) -> Result<Self> {
        match saved {
            [weight, minus, minus_grad, pre, projected, scaled] => {
                Ok(Self { weight, minus, minus_grad, pre, projected, scaled })
            }
            _ => Err(spectral_core::Error::shape("spectral", "6 saved tensors", saved.len())),
        }
    }
}

/// The factors of a node's weight.
pub(super) fn factors(params: NodeParams<'_>) -> SpectralWeight<'_> {
    SpectralWeight {
        basis: params.value(BASIS),
        lambda_in: params.value(LAMBDA_IN),
        lambda_out: params.value(LAMBDA_OUT),
    }
}

/// `weight x`, without bias and activation.
fn product<'a>(x: &'a Tensor, weight: &'a Tensor) -> Linear<'a> {
    Linear { x, weight, bias: None, activation: Activation::Identity }
}

/// `scale * x`, without bias and activation.
fn rows<'a>(x: &'a Tensor, scale: &'a Tensor) -> Diagonal<'a> {
    Diagonal { x, scale, bias: None, activation: Activation::Identity }
}

fn replace(tensor: &mut Tensor) -> Option<GradSlot<'_>> {
    Some(GradSlot { tensor, accum: Accum::Replace })
}

pub(super) fn forward(layer: &Spectral, cx: &mut Forward<'_>) -> Result<()> {
    let (backend, x, w) = (cx.backend, cx.inputs.get(0), factors(cx.params));
    let (bias, activation) = (layer.bias(cx.params), layer.activation);
    let kept = keeps_input(activation);
    let b = Buffers::of(cx.saved)?;
    match Form::of(backend, cx.params)? {
        Form::Weight => {
            backend.spectral_weight(&w, b.weight)?;
            let op = Linear { bias, activation, ..product(x, b.weight) };
            backend.linear(&op, cx.output, kept.then_some(b.pre))
        }
        Form::Rows => {
            backend.scale(-1.0, w.lambda_out, b.minus, Accum::Replace)?;
            backend.linear(&product(x, w.basis), b.projected, None)?;
            let op = Diagonal { bias, activation, ..rows(b.projected, b.minus) };
            backend.diagonal(&op, cx.output, kept.then_some(b.pre))
        }
    }
}

pub(super) fn vjp(layer: &Spectral, cx: &mut Vjp<'_>) -> Result<()> {
    let (backend, x, w) = (cx.backend, cx.inputs.get(0), factors(cx.params));
    let form = Form::of(backend, cx.params)?;
    let b = Buffers::of(cx.saved)?;
    let at = if keeps_input(layer.activation) { &*b.pre } else { cx.output };
    backend.activate_vjp(layer.activation, at, cx.dy)?;
    let dx = cx.input_grads.slot(0);
    if form == Form::Rows {
        cx.param_grads.leave_product(BASIS, LeftFactor::Saved(SCALED));
    }
    let (basis, lambda_in, lambda_out, bias) = if layer.bias {
        cx.param_grads.slots([BASIS, LAMBDA_IN, LAMBDA_OUT, BIAS])?.into()
    } else {
        let [basis, lambda_in, lambda_out] = cx.param_grads.slots([BASIS, LAMBDA_IN, LAMBDA_OUT])?;
        (basis, lambda_in, lambda_out, None)
    };
    match form {
        Form::Weight => {
            backend.linear_vjp(&product(x, b.weight), cx.dy, LinearGrads { x: dx, weight: None, bias })?;
            if basis.is_none() && lambda_in.is_none() && lambda_out.is_none() {
                return Ok(());
            }
            let dw = OuterProduct { left: cx.dy, right: x, pattern: None };
            backend.spectral_weight_vjp(&w, dw, SpectralGrads { basis, lambda_in, lambda_out })
        }
        Form::Rows => {
            let scale = if lambda_out.is_some() { replace(b.minus_grad) } else { None };
            let grads = DiagonalGrads { x: replace(b.scaled), scale, bias };
            backend.diagonal_vjp(&rows(b.projected, b.minus), cx.dy, grads)?;
            if let Some(slot) = lambda_out {
                backend.scale(-1.0, b.minus_grad, slot.tensor, slot.accum)?;
            }
            let grads = LinearGrads { x: dx, weight: basis, bias: None };
            backend.linear_vjp(&product(x, w.basis), b.scaled, grads)
        }
    }
}
