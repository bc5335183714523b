//! The weight of a spectral layer and its gradients.

use super::{Accum, DenseKernels, GradSlot, LinearGrads, OuterProduct, check_slots, expect};
use crate::backend::elementwise::accumulate;
use crate::base::Result;
use crate::tensor::{Shape, Tensor};

/// `W[o, i] = basis[o, i] * (lambda_in[i] - lambda_out[o])`.
///
/// Source: Giambagli et al., Nat. Commun. 12:1330 (2021); spectraltools A7.
#[derive(Debug, Clone, Copy)]
pub struct SpectralWeight<'a> {
    /// Lower-left block of the eigenvector matrix, `[out, in]`.
    pub basis: &'a Tensor,
    /// Eigenvalues of the inputs, `[in]`.
    pub lambda_in: &'a Tensor,
    /// Eigenvalues of the outputs, `[out]`.
    pub lambda_out: &'a Tensor,
}

impl SpectralWeight<'_> {
    /// Checks all shapes against that of the weight.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, weight: Shape) -> Result<()> {
        expect(op, self.basis.shape(), weight)?;
        expect(op, Shape::vector(weight.columns()), self.lambda_in.shape())?;
        expect(op, Shape::vector(weight.rows()), self.lambda_out.shape())
    }
}

/// Which gradients of a [`SpectralWeight`] are wanted, and where they go.
#[derive(Debug, Default)]
pub struct SpectralGrads<'a> {
    /// `d basis = dW * (lambda_in - lambda_out)`, `[out, in]`.
    pub basis: Option<GradSlot<'a>>,
    /// `d lambda_in = sum over o of dW * basis`, `[in]`.
    pub lambda_in: Option<GradSlot<'a>>,
    /// `d lambda_out = -sum over i of dW * basis`, `[out]`.
    pub lambda_out: Option<GradSlot<'a>>,
}

impl SpectralGrads<'_> {
    /// Checks all shapes against that of the weight.
    ///
    /// # Errors
    /// One does not fit.
    pub fn check(&self, op: &'static str, weight: Shape) -> Result<()> {
        let (inner, outer) = (Shape::vector(weight.columns()), Shape::vector(weight.rows()));
        check_slots(op, [(&self.basis, weight), (&self.lambda_in, inner), (&self.lambda_out, outer)])
    }
}

/// Spectral weights.
pub trait SpectralKernels: DenseKernels {
    /// Writes `W = basis * (lambda_in - lambda_out)`, `[out, in]`.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn spectral_weight(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        op.check("spectral_weight", weight.shape())?;
        self.spectral_weight_kernel(op, weight)
    }

    /// [`spectral_weight`](Self::spectral_weight) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn spectral_weight_kernel(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        let gap = gaps(self, op)?;
        let w: Vec<f64> = self.download(op.basis)?.iter().zip(gap).map(|(b, g)| b * g).collect();
        self.write(&w, weight)
    }

    /// Gradients of the three factors for `dw`, the gradient of the weight. A kernel of its own need not write that to
    /// memory.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn spectral_weight_vjp(
        &self,
        op: &SpectralWeight<'_>,
        dw: OuterProduct<'_>,
        grads: SpectralGrads<'_>,
    ) -> Result<()> {
        op.check("spectral_weight_vjp", op.basis.shape())?;
        dw.check("spectral_weight_vjp", op.basis)?;
        grads.check("spectral_weight_vjp", op.basis.shape())?;
        self.spectral_weight_vjp_kernel(op, dw, grads)
    }

    /// [`spectral_weight_vjp`](Self::spectral_weight_vjp) for operands that fit: what a backend overrides.
    ///
    /// # Errors
    /// The device failed, or a tensor is on another one or of another element type.
    fn spectral_weight_vjp_kernel(
        &self,
        op: &SpectralWeight<'_>,
        dw: OuterProduct<'_>,
        grads: SpectralGrads<'_>,
    ) -> Result<()> {
        let shape = op.basis.shape();
        let inputs = shape.columns();
        let mut written = self.zeros(shape, op.basis.dtype())?;
        let slot = GradSlot { tensor: &mut written, accum: Accum::Replace };
        self.linear_vjp(&dw.of(op.basis), dw.left, LinearGrads { weight: Some(slot), ..LinearGrads::default() })?;
        let (d, basis) = (self.download(&written)?, self.download(op.basis)?);
        if let Some(slot) = grads.basis {
            let v = d.iter().zip(gaps(self, op)?).map(|(d, g)| d * g).collect();
            accumulate(self, v, slot.tensor, slot.accum)?;
        }
        let (mut rows, mut columns) = (vec![0.0; shape.rows()], vec![0.0; inputs]);
        for (i, (d, b)) in d.iter().zip(&basis).enumerate() {
            rows[i / inputs] -= d * b;
            columns[i % inputs] += d * b;
        }
        for (slot, v) in [(grads.lambda_in, columns), (grads.lambda_out, rows)] {
            if let Some(slot) = slot {
                accumulate(self, v, slot.tensor, slot.accum)?;
            }
        }
        Ok(())
    }
}

/// `lambda_in[i] - lambda_out[o]`, row-major.
fn gaps<B: SpectralKernels + ?Sized>(backend: &B, op: &SpectralWeight<'_>) -> Result<Vec<f64>> {
    let (inner, outer) = (backend.download(op.lambda_in)?, backend.download(op.lambda_out)?);
    Ok(outer.iter().flat_map(|o| inner.iter().map(move |i| i - o)).collect())
}
