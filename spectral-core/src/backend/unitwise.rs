//! Kernels that treat every unit alone: a factor, a constant, a mean for each.
//!
//! A unit is a row of a `[units, ..., batch]` tensor: a feature of a vector, a channel of an image.

use super::{Accum, Elementwise, GradSlot, check_pre, check_slots, expect};
use crate::backend::Activation;
use crate::backend::elementwise::accumulate;
use crate::base::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// `y = act(scale * x + bias)`, with one factor and one constant for each unit.
#[derive(Debug, Clone, Copy)]
pub struct Diagonal<'a> {
    /// Inputs `[units, ..., batch]`.
    pub x: &'a Tensor,
    /// Factors `[units]`.
    pub scale: &'a Tensor,
    /// Constants `[units]`.
    pub bias: Option<&'a Tensor>,
    /// Applied to every output; element-wise only.
    pub activation: Activation,
}

impl Diagonal<'_> {
    /// Checks all shapes against that of the output.
    ///
    /// # Errors
    /// One does not fit, or the activation is softmax.
    pub fn check(&self, op: &'static str, y: Shape) -> Result<()> {
        let units = Shape::vector(self.x.shape().rows());
        expect(op, self.x.shape(), y)?;
        expect(op, units, self.scale.shape())?;
        if let Some(bias) = self.bias {
            expect(op, units, bias.shape())?;
        }
        if self.activation.is_elementwise() {
            Ok(())
        } else {
            Err(Error::config(op, "softmax cannot be fused; apply it with `activate`"))
        }
    }
}

/// Which gradients of a [`Diagonal`] are wanted, and where they go.
#[derive(Debug, Default)]
pub struct DiagonalGrads<'a> {
    /// `dx = scale * dz`.
    pub x: Option<GradSlot<'a>>,
    /// `dscale = sum of x * dz` over everything but the units.
    pub scale: Option<GradSlot<'a>>,
    /// `dbias = sum of dz` over everything but the units.
    pub bias: Option<GradSlot<'a>>,
}

impl DiagonalGrads<'_> {
    /// Checks all shapes against that of the inputs.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, x: Shape) -> Result<()> {
        let units = Shape::vector(x.rows());
        check_slots(op, [(&self.x, x), (&self.scale, units), (&self.bias, units)])
    }
}

/// Each unit with mean 0 and variance 1: `y = (x - mean) / sqrt(variance + epsilon)`, where mean and (biased)
/// variance are those of the unit's values in `x`.
#[derive(Debug, Clone, Copy)]
pub struct Standardise<'a> {
    /// Inputs `[units, ..., batch]`.
    pub x: &'a Tensor,
    /// Added to the variance, above 0.
    pub epsilon: f64,
}

/// What [`Unitwise::standardise`] gives.
#[derive(Debug)]
pub struct Standardised<'a> {
    /// Of the shape of `x`.
    pub y: &'a mut Tensor,
    /// Mean of each unit, `[units]`.
    pub mean: &'a mut Tensor,
    /// Variance of each unit, divided by the number of values, `[units]`.
    pub variance: &'a mut Tensor,
}

impl Standardised<'_> {
    /// Checks all shapes against that of the inputs.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, x: Shape) -> Result<()> {
        expect(op, x, self.y.shape())?;
        expect(op, Shape::vector(x.rows()), self.mean.shape())?;
        expect(op, Shape::vector(x.rows()), self.variance.shape())
    }
}

/// The way back through [`Unitwise::standardise`] and the factor of each unit behind it.
#[derive(Debug, Clone, Copy)]
pub struct StandardiseVjp<'a> {
    /// What forward gave.
    pub y: &'a Tensor,
    /// As forward gave it.
    pub variance: &'a Tensor,
    /// As forward.
    pub epsilon: f64,
    /// Factors `[units]` that `y` was multiplied with.
    pub scale: &'a Tensor,
    /// Gradient with respect to `scale * y`.
    pub dy: &'a Tensor,
}

impl StandardiseVjp<'_> {
    /// Checks all shapes against that of the gradient.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, dx: Shape) -> Result<()> {
        expect(op, dx, self.y.shape())?;
        expect(op, dx, self.dy.shape())?;
        expect(op, Shape::vector(dx.rows()), self.variance.shape())?;
        expect(op, Shape::vector(dx.rows()), self.scale.shape())
    }
}

/// `y = x` where `x > 0`, else `slope * x`, with one slope for each unit.
#[derive(Debug, Clone, Copy)]
pub struct Prelu<'a> {
    /// Inputs `[units, ..., batch]`.
    pub x: &'a Tensor,
    /// Slopes on the negative side `[units]`.
    pub slope: &'a Tensor,
}

impl Prelu<'_> {
    /// Checks all shapes against that of the output.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, y: Shape) -> Result<()> {
        expect(op, self.x.shape(), y)?;
        expect(op, Shape::vector(self.x.shape().rows()), self.slope.shape())
    }
}

/// Which gradients of a [`Prelu`] are wanted, and where they go.
#[derive(Debug, Default)]
pub struct PreluGrads<'a> {
    /// `dx = dy` where `x > 0`, else `slope * dy`.
    pub x: Option<GradSlot<'a>>,
    /// `dslope = sum of x * dy` over the values of a unit that are not above 0.
    pub slope: Option<GradSlot<'a>>,
}

impl PreluGrads<'_> {
    /// Checks all shapes against that of the inputs.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, x: Shape) -> Result<()> {
        check_slots(op, [(&self.x, x), (&self.slope, Shape::vector(x.rows()))])
    }
}

/// Kernels that treat every unit alone.
pub trait Unitwise: Elementwise {
    /// `y = act(scale * x + bias)`, and `pre = scale * x + bias` where asked for.
    ///
    /// # Errors
    /// Shapes do not fit or the activation is softmax.
    fn diagonal(&self, op: &Diagonal<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        op.check("diagonal", y.shape())?;
        check_pre("diagonal", y, pre.as_deref())?;
        self.diagonal_kernel(op, y, pre)
    }

    /// [`diagonal`](Self::diagonal) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn diagonal_kernel(&self, op: &Diagonal<'_>, y: &mut Tensor, pre: Option<&mut Tensor>) -> Result<()> {
        let (mut z, scale, n) = (self.download(op.x)?, self.download(op.scale)?, op.x.shape().columns());
        let bias = op.bias.map_or_else(|| Ok(vec![0.0; scale.len()]), |b| self.download(b))?;
        z.iter_mut().enumerate().for_each(|(i, z)| *z = scale[i / n] * *z + bias[i / n]);
        if let Some(pre) = pre {
            self.write(&z, pre)?;
        }
        z.iter_mut().for_each(|z| *z = op.activation.value(*z));
        self.write(&z, y)
    }

    /// Gradients of `z = scale * x + bias` for `dz`, the gradient after [`Elementwise::activate_vjp`].
    ///
    /// # Errors
    /// Shapes do not fit.
    fn diagonal_vjp(&self, op: &Diagonal<'_>, dz: &Tensor, grads: DiagonalGrads<'_>) -> Result<()> {
        op.check("diagonal_vjp", dz.shape())?;
        grads.check("diagonal_vjp", op.x.shape())?;
        self.diagonal_vjp_kernel(op, dz, grads)
    }

    /// [`diagonal_vjp`](Self::diagonal_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn diagonal_vjp_kernel(&self, op: &Diagonal<'_>, dz: &Tensor, grads: DiagonalGrads<'_>) -> Result<()> {
        let (x, scale, d) = (self.download(op.x)?, self.download(op.scale)?, self.download(dz)?);
        let n = op.x.shape().columns();
        if let Some(slot) = grads.x {
            let dx = d.iter().enumerate().map(|(i, d)| scale[i / n] * d).collect();
            accumulate(self, dx, slot.tensor, slot.accum)?;
        }
        let sums = |f: &dyn Fn(usize) -> f64| (0..scale.len()).map(|u| (u * n..(u + 1) * n).map(f).sum()).collect();
        if let Some(slot) = grads.scale {
            accumulate(self, sums(&|i| x[i] * d[i]), slot.tensor, slot.accum)?;
        }
        if let Some(slot) = grads.bias {
            accumulate(self, sums(&|i| d[i]), slot.tensor, slot.accum)?;
        }
        Ok(())
    }

    /// [`Prelu`].
    ///
    /// # Errors
    /// Shapes do not fit.
    fn prelu(&self, op: &Prelu<'_>, y: &mut Tensor) -> Result<()> {
        op.check("prelu", y.shape())?;
        self.prelu_kernel(op, y)
    }

    /// [`prelu`](Self::prelu) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn prelu_kernel(&self, op: &Prelu<'_>, y: &mut Tensor) -> Result<()> {
        let (mut v, slope, n) = (self.download(op.x)?, self.download(op.slope)?, op.x.shape().columns());
        v.iter_mut().enumerate().filter(|(_, x)| **x <= 0.0).for_each(|(i, x)| *x *= slope[i / n]);
        self.write(&v, y)
    }

    /// Gradients of [`Prelu`] for `dy`, the gradient of its output.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn prelu_vjp(&self, op: &Prelu<'_>, dy: &Tensor, grads: PreluGrads<'_>) -> Result<()> {
        op.check("prelu_vjp", dy.shape())?;
        grads.check("prelu_vjp", op.x.shape())?;
        self.prelu_vjp_kernel(op, dy, grads)
    }

    /// [`prelu_vjp`](Self::prelu_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn prelu_vjp_kernel(&self, op: &Prelu<'_>, dy: &Tensor, grads: PreluGrads<'_>) -> Result<()> {
        let (x, slope, d) = (self.download(op.x)?, self.download(op.slope)?, self.download(dy)?);
        let n = op.x.shape().columns();
        if let Some(slot) = grads.x {
            let dx = d.iter().enumerate().map(|(i, d)| if x[i] > 0.0 { *d } else { slope[i / n] * d }).collect();
            accumulate(self, dx, slot.tensor, slot.accum)?;
        }
        if let Some(slot) = grads.slope {
            let along = |i: usize| if x[i] > 0.0 { 0.0 } else { x[i] * d[i] };
            let sums = (0..slope.len()).map(|u| (u * n..(u + 1) * n).map(along).sum()).collect();
            accumulate(self, sums, slot.tensor, slot.accum)?;
        }
        Ok(())
    }

    /// [`Standardise`].
    ///
    /// # Errors
    /// Shapes do not fit.
    fn standardise(&self, op: &Standardise<'_>, to: Standardised<'_>) -> Result<()> {
        to.check("standardise", op.x.shape())?;
        self.standardise_kernel(op, to)
    }

    /// [`standardise`](Self::standardise) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn standardise_kernel(&self, op: &Standardise<'_>, to: Standardised<'_>) -> Result<()> {
        let (mut v, n) = (self.download(op.x)?, op.x.shape().columns());
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for row in v.chunks_mut(n.max(1)) {
            let mean = row.iter().sum::<f64>() / n as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            row.iter_mut().for_each(|x| *x = (*x - mean) / (variance + op.epsilon).sqrt());
            means.push(mean);
            variances.push(variance);
        }
        means.resize(op.x.shape().rows(), 0.0);
        variances.resize(op.x.shape().rows(), 0.0);
        self.write(&means, to.mean)?;
        self.write(&variances, to.variance)?;
        self.write(&v, to.y)
    }

    /// `dx (+)= scale / sqrt(variance + epsilon) * (dy - mean(dy) - y * mean(y * dy))`, means over everything but
    /// the units.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn standardise_vjp(&self, op: &StandardiseVjp<'_>, dx: &mut Tensor, accum: Accum) -> Result<()> {
        op.check("standardise_vjp", dx.shape())?;
        self.standardise_vjp_kernel(op, dx, accum)
    }

    /// [`standardise_vjp`](Self::standardise_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn standardise_vjp_kernel(&self, op: &StandardiseVjp<'_>, dx: &mut Tensor, accum: Accum) -> Result<()> {
        let (y, mut d, n) = (self.download(op.y)?, self.download(op.dy)?, dx.shape().columns());
        let (variance, scale) = (self.download(op.variance)?, self.download(op.scale)?);
        for (u, (d, y)) in d.chunks_mut(n.max(1)).zip(y.chunks(n.max(1))).enumerate() {
            let mean = d.iter().sum::<f64>() / n as f64;
            let along = d.iter().zip(y).map(|(d, y)| d * y).sum::<f64>() / n as f64;
            let factor = scale[u] / (variance[u] + op.epsilon).sqrt();
            d.iter_mut().zip(y).for_each(|(d, y)| *d = factor * (*d - mean - y * along));
        }
        accumulate(self, d, dx, accum)
    }
}
