//! Main memory.

use crate::Cpu;
use crate::kernels::transpose::transpose;
use spectral_core::backend::sample_features;
use spectral_core::{DType, Error, Memory, Reference, Result, Shape, Tensor, Values};

impl Memory for Cpu {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        Tensor::try_host_zeros(shape, dtype)
    }

    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        Reference.upload(from, to)
    }

    fn upload_samples(
        &self,
        table: Values<'_>,
        sample: &(dyn Fn(usize) -> usize + Sync),
        to: &mut Tensor,
    ) -> Result<()> {
        let features = sample_features(table, to)?;
        match (table, to.dtype()) {
            (Values::F32(table), DType::F32) => transpose(self, (table, features), sample, to.host_mut()?),
            (Values::F64(table), DType::F64) => transpose(self, (table, features), sample, to.host_mut()?),
            _ => Reference.upload_samples(table, sample, to)?,
        }
        Ok(())
    }

    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        Reference.download(from)
    }

    fn write(&self, from: &[f64], to: &mut Tensor) -> Result<()> {
        if from.len() != to.len() {
            return Err(Error::shape("write", to.shape(), format!("{} values", from.len())));
        }
        match to.dtype() {
            DType::F32 => to.host_mut::<f32>()?.iter_mut().zip(from).for_each(|(t, f)| *t = *f as f32),
            DType::F64 => to.host_mut::<f64>()?.copy_from_slice(from),
        }
        Ok(())
    }

    fn copy_kernel(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
        match (from.dtype(), to.dtype()) {
            (DType::F32, DType::F32) => to.host_mut::<f32>()?.copy_from_slice(from.host()?),
            (DType::F64, DType::F64) => to.host_mut::<f64>()?.copy_from_slice(from.host()?),
            (DType::F32, DType::F64) => {
                to.host_mut::<f64>()?.iter_mut().zip(from.host::<f32>()?).for_each(|(t, f)| *t = f64::from(*f));
            }
            (DType::F64, DType::F32) => {
                to.host_mut::<f32>()?.iter_mut().zip(from.host::<f64>()?).for_each(|(t, f)| *t = *f as f32);
            }
        }
        Ok(())
    }

    fn fill(&self, value: f64, to: &mut Tensor) -> Result<()> {
        match to.dtype() {
            DType::F32 => to.host_mut::<f32>()?.fill(value as f32),
            DType::F64 => to.host_mut::<f64>()?.fill(value),
        }
        Ok(())
    }
}
