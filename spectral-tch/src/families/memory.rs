//! Making tensors and moving values.

use crate::Torch;
use crate::storage::{flat, zeros};
use spectral_core::{DType, Error, Memory, Result, Shape, Tensor, Values};
use tch::Device;

impl Memory for Torch {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        zeros(shape, dtype, self.device())
    }

    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        if from.len() != to.len() {
            return Err(Error::shape("upload", to.shape(), format!("{} values", from.len())));
        }
        let got = match from {
            Values::F32(_) => DType::F32,
            Values::F64(_) => DType::F64,
        };
        if got != to.dtype() {
            return Err(Error::DType { op: "upload", expected: to.dtype(), got });
        }
        let mut to = flat(to)?;
        self.call(|| {
            let host = match from {
                Values::F32(v) => tch::Tensor::f_from_slice(v)?,
                Values::F64(v) => tch::Tensor::f_from_slice(v)?,
            };
            to.f_copy_(&host)
        })
    }

    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        let (values, dtype) = (flat(from)?, from.dtype());
        self.call(|| {
            let host = values.f_to(Device::Cpu)?;
            match dtype {
                DType::F32 => {
                    let mut to = vec![0f32; from.len()];
                    host.f_copy_data(&mut to, from.len())?;
                    Ok(to.into_iter().map(f64::from).collect())
                }
                DType::F64 => {
                    let mut to = vec![0f64; from.len()];
                    host.f_copy_data(&mut to, from.len())?;
                    Ok(to)
                }
            }
        })
    }

    fn copy_kernel(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
        let (from, mut to) = (flat(from)?, flat(to)?);
        self.call(|| to.f_copy_(&from))
    }

    fn fill(&self, value: f64, to: &mut Tensor) -> Result<()> {
        let mut to = flat(to)?;
        self.call(|| to.f_fill_(value).map(|_| ()))
    }

    fn synchronize(&self) -> Result<()> {
        if let Device::Cuda(index) = self.device() {
            tch::Cuda::synchronize(index as i64);
        }
        Ok(())
    }
}
