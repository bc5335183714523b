//! Kernels that treat every sample alone: a mean and a variance over all its values.

use super::{Elementwise, GradSlot, expect};
use crate::backend::elementwise::accumulate;
use crate::base::Result;
use crate::tensor::{Shape, Tensor};

/// Each sample with mean 0 and variance 1: `y = (x - mean) / sqrt(variance + epsilon)`, where mean and (biased)
/// variance are those of all values of the sample.
#[derive(Debug, Clone, Copy)]
pub struct SampleNorm<'a> {
    /// Inputs `[units, ..., batch]`.
    pub x: &'a Tensor,
    /// Added to the variance, above 0.
    pub epsilon: f64,
}

impl SampleNorm<'_> {
    /// Checks the shapes of the outputs and of the variances, which have one entry for each sample.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, y: Shape, variance: Shape) -> Result<()> {
        expect(op, self.x.shape(), y)?;
        expect(op, Shape::vector(samples(y)), Shape::vector(variance.len()))
    }
}

/// The way back through [`Samplewise::normalise_samples`] and the factor of each unit behind it.
#[derive(Debug, Clone, Copy)]
pub struct SampleNormVjp<'a> {
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

impl SampleNormVjp<'_> {
    /// Checks all shapes against that of the gradient.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, dx: Shape) -> Result<()> {
        expect(op, dx, self.y.shape())?;
        expect(op, dx, self.dy.shape())?;
        expect(op, Shape::vector(dx.rows()), self.scale.shape())?;
        expect(op, Shape::vector(samples(dx)), Shape::vector(self.variance.len()))
    }
}

/// Kernels that treat every sample alone.
pub trait Samplewise: Elementwise {
    /// [`SampleNorm`]: writes the samples to `y` and the variance of each, before `epsilon` is added, to `variance`.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn normalise_samples(&self, op: &SampleNorm<'_>, y: &mut Tensor, variance: &mut Tensor) -> Result<()> {
        op.check("normalise_samples", y.shape(), variance.shape())?;
        self.normalise_samples_kernel(op, y, variance)
    }

    /// [`normalise_samples`](Self::normalise_samples) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn normalise_samples_kernel(&self, op: &SampleNorm<'_>, y: &mut Tensor, variance: &mut Tensor) -> Result<()> {
        let (mut v, batch) = (self.download(op.x)?, variance.len());
        let rows = v.len().checked_div(batch).unwrap_or(0);
        let mut variances = Vec::with_capacity(batch);
        for b in 0..batch {
            let of = |v: &[f64], f: &dyn Fn(f64) -> f64| (0..rows).map(|r| f(v[r * batch + b])).sum::<f64>();
            let n = rows.max(1) as f64;
            let mean = of(&v, &|x| x) / n;
            let spread = of(&v, &|x| (x - mean).powi(2)) / n;
            (0..rows).for_each(|r| v[r * batch + b] = (v[r * batch + b] - mean) / (spread + op.epsilon).sqrt());
            variances.push(spread);
        }
        self.write(&variances, variance)?;
        self.write(&v, y)
    }

    /// `dx (+)= (g - mean(g) - y * mean(y * g)) / sqrt(variance + epsilon)` with `g = scale * dy`, means over all
    /// values of a sample.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn normalise_samples_vjp(&self, op: &SampleNormVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        op.check("normalise_samples_vjp", dx.tensor.shape())?;
        self.normalise_samples_vjp_kernel(op, dx)
    }

    /// [`normalise_samples_vjp`](Self::normalise_samples_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn normalise_samples_vjp_kernel(&self, op: &SampleNormVjp<'_>, dx: GradSlot<'_>) -> Result<()> {
        let (y, mut d) = (self.download(op.y)?, self.download(op.dy)?);
        let (variance, scale) = (self.download(op.variance)?, self.download(op.scale)?);
        let (batch, columns) = (variance.len(), op.y.shape().columns());
        let rows = y.len().checked_div(batch).unwrap_or(0);
        d.iter_mut().enumerate().for_each(|(i, d)| *d *= scale[i / columns]);
        for (b, variance) in variance.iter().enumerate() {
            let at = |r: usize| r * batch + b;
            let n = rows.max(1) as f64;
            let mean = (0..rows).map(|r| d[at(r)]).sum::<f64>() / n;
            let along = (0..rows).map(|r| d[at(r)] * y[at(r)]).sum::<f64>() / n;
            let root = (variance + op.epsilon).sqrt();
            (0..rows).for_each(|r| d[at(r)] = (d[at(r)] - mean - y[at(r)] * along) / root);
        }
        accumulate(self, d, dx.tensor, dx.accum)
    }
}

/// Samples of a tensor: its last axis.
fn samples(shape: Shape) -> usize {
    shape.extents().last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Memory, Reference};
    use crate::base::DType;

    #[test]
    fn each_sample_gets_mean_zero_and_variance_one() {
        let mut x = Tensor::host_zeros(Shape::new(&[2, 2, 2]).unwrap(), DType::F64);
        Reference.write(&[1.0, 5.0, 3.0, 5.0, 5.0, 5.0, 7.0, 5.0], &mut x).unwrap();
        let mut y = x.duplicate().unwrap();
        let mut variance = Tensor::host_zeros(Shape::matrix(1, 2), DType::F64);
        Reference.normalise_samples(&SampleNorm { x: &x, epsilon: 4.0 }, &mut y, &mut variance).unwrap();
        assert_eq!(variance.host::<f64>().unwrap(), [5.0, 0.0]);
        assert_eq!(y.host::<f64>().unwrap(), [-1.0, 0.0, -1.0 / 3.0, 0.0, 1.0 / 3.0, 0.0, 1.0, 0.0]);
    }
}
