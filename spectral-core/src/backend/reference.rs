//! The scalar f64 oracle: host memory and every provided kernel body as it stands.

use super::{
    Backend, ConvKernels, DenseKernels, Elementwise, Memory, PoolKernels, Reduce, Samplewise, SparseKernels,
    SpectralKernels, Unitwise, UpdateKernels,
};
use crate::base::{DType, Element, Error, Result, Values};
use crate::tensor::{Shape, Tensor};

/// The slow backend that is right by inspection. Computes in f64 and rounds once to the tensor's type.
///
/// For tests: kernels of real backends are compared with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl Memory for Reference {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        Tensor::try_host_zeros(shape, dtype)
    }

    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        if from.len() != to.len() {
            return Err(Error::shape("upload", to.shape(), format!("{} values", from.len())));
        }
        match from {
            Values::F32(v) => to.host_mut::<f32>()?.copy_from_slice(v),
            Values::F64(v) => to.host_mut::<f64>()?.copy_from_slice(v),
        }
        Ok(())
    }

    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        Ok(match from.dtype() {
            DType::F32 => from.host::<f32>()?.iter().map(|v| v.wide()).collect(),
            DType::F64 => from.host::<f64>()?.to_vec(),
        })
    }
}

impl Elementwise for Reference {}
impl DenseKernels for Reference {}
impl SpectralKernels for Reference {}
impl SparseKernels for Reference {}
impl Unitwise for Reference {}
impl Samplewise for Reference {}
impl ConvKernels for Reference {}
impl PoolKernels for Reference {}
impl Reduce for Reference {}
impl UpdateKernels for Reference {}

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }
    fn describe(&self) -> String {
        "scalar f64 oracle, 1 thread".into()
    }
}
