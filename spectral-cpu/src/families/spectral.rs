//! Spectral weights and their gradients.

use super::dense::weight_gradient;
use super::{row_grain, typed};
use crate::Cpu;
use crate::kernels::crew::Rows;
use crate::kernels::gemm::{gemm_panels, panel_rows};
use crate::kernels::math::Math;
use crate::kernels::spectral::{Gradients, Results, Weight};
use crate::kernels::vector::Lanes;
use spectral_core::{Accum, GradSlot, OuterProduct, Result, SpectralGrads, SpectralKernels, SpectralWeight, Tensor};

impl SpectralKernels for Cpu {
    fn spectral_weight_kernel(&self, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
        typed!(op.basis, E => weight_of::<E>(self, op, weight))
    }

    fn spectral_weight_vjp_kernel(
        &self,
        op: &SpectralWeight<'_>,
        dw: OuterProduct<'_>,
        grads: SpectralGrads<'_>,
    ) -> Result<()> {
        let _shape = op.basis.shape();
        typed!(op.basis, E => vjp::<E>(self, op, dw, grads))
    }
}

fn weight_of<E: Lanes>(cpu: &Cpu, op: &SpectralWeight<'_>, weight: &mut Tensor) -> Result<()> {
    let (basis, inner, outer) = (op.basis.host::<E>()?, op.lambda_in.host::<E>()?, op.lambda_out.host::<E>()?);
    let n = inner.len();
    let rows = Rows { values: weight.host_mut::<E>()?, width: n };
    cpu.crew().share(outer.len(), row_grain(n), rows, |top, bottom, rows| {
        let (basis, outer) = (&basis[top * n..bottom * n], &outer[top..bottom]);
        cpu.simd().run(Weight { basis, inner, outer, weight: rows.values });
    });
    Ok(())
}

/// The gradient of the weight is computed in panels of whole rows, and each gives its part to all factors while it is
/// in the cache: a row is all that its output's eigenvalue needs; those of the inputs are sums over the panels, in
/// their order.
fn vjp<E: Math>(cpu: &Cpu, op: &SpectralWeight<'_>, dw: OuterProduct<'_>, grads: SpectralGrads<'_>) -> Result<()> {
    let (rows, columns) = (op.basis.shape().rows(), op.basis.shape().columns());
    let (basis, inner, outer) = (op.basis.host::<E>()?, op.lambda_in.host::<E>()?, op.lambda_out.host::<E>()?);
    let product =
        weight_gradient(dw.left.host::<E>()?, dw.right.host::<E>()?, rows, columns, dw.left.shape().columns());
    let (to_inner, to_outer) = (sums_to::<E>(grads.lambda_in)?, sums_to::<E>(grads.lambda_out)?);
    let (to_basis, accum) = match grads.basis {
        Some(slot) => (Some(slot.tensor.host_mut::<E>()?), slot.accum),
        None => (None, Accum::Replace),
    };
    let height = panel_rows::<E>(cpu, columns);
    let room = if to_inner.is_some() { rows.div_ceil(height) * columns } else { 0 };
    cpu.scratch().with(room, |sums: &mut [E]| {
        let to_sums = to_inner.is_some().then_some(&mut *sums);
        let results = Results { columns, height, basis: to_basis, outer: to_outer, sums: to_sums };
        gemm_panels(cpu, product, results, |first, dw, results| {
            let (last, top) = (first + dw.len(), first / columns);
            cpu.simd().run(Gradients {
                dw,
                basis: &basis[first..last],
                inner,
                outer: &outer[top..last / columns],
                to_basis: results.basis.map(|to| (to, accum)),
                to_inner: results.sums.map(|to| &mut to[..columns]),
                to_outer: results.outer,
            });
        });
        let Some(to) = to_inner else { return };
        for panel in sums.chunks_exact(columns.max(1)) {
            to.iter_mut().zip(panel).for_each(|(to, sum)| *to = *to + *sum);
        }
    });
    Ok(())
}

/// What sums are added to.
fn sums_to<E: Lanes>(slot: Option<GradSlot<'_>>) -> Result<Option<&mut [E]>> {
    let Some(GradSlot { tensor, accum }) = slot else { return Ok(None) };
    let to = tensor.host_mut::<E>()?;
    if accum == Accum::Replace {
        to.fill(E::of(0.0));
    }
    Ok(Some(to))
}
