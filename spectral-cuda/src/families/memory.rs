//! Tensors, and values between the host and the device.

use crate::{Cuda, Device, Source};
use spectral_core::{DType, Error, Memory, Result, Shape, Tensor, Values};

impl<D: Device> Memory for Cuda<D> {
    fn zeros(&self, shape: Shape, dtype: DType) -> Result<Tensor> {
        let mut tensor = self.scratch(shape, dtype)?;
        self.pool().memory_mut(&mut tensor)?.zero(shape.len() * dtype.bytes())?;
        Ok(tensor)
    }

    fn upload(&self, from: Values<'_>, to: &mut Tensor) -> Result<()> {
        let (bytes, dtype): (&[u8], _) = match from {
            Values::F32(v) => (bytemuck::cast_slice(v), DType::F32),
            Values::F64(v) => (bytemuck::cast_slice(v), DType::F64),
        };
        if dtype != to.dtype() {
            return Err(Error::DType { op: "upload", expected: to.dtype(), got: dtype });
        }
        if from.len() != to.len() {
            return Err(Error::shape("upload", to.shape(), format!("{} values", from.len())));
        }
        self.pool().memory_mut(to)?.write(bytes)
    }

    fn download(&self, from: &Tensor) -> Result<Vec<f64>> {
        let memory = self.pool().memory(from)?;
        match from.dtype() {
            DType::F32 => {
                let mut values = vec![0f32; from.len()];
                memory.read(bytemuck::cast_slice_mut(&mut values))?;
                Ok(values.into_iter().map(f64::from).collect())
            }
            DType::F64 => {
                let mut values = vec![0f64; from.len()];
                memory.read(bytemuck::cast_slice_mut(&mut values))?;
                Ok(values)
            }
        }
    }

    fn copy_kernel(&self, from: &Tensor, to: &mut Tensor) -> Result<()> {
        let bytes = from.len() * from.dtype().bytes();
        match (from.dtype(), to.dtype()) {
            (a, b) if a == b => self.pool().memory_mut(to)?.copy(0, self.pool().memory(from)?, 0, bytes),
            (a, b) => {
                let name = if b == DType::F64 { "widen" } else { "narrow" };
                let call = self.call(Source::Elementwise, name, DType::F32);
                call.tensor_of(a, from).tensor_of(b, to).over(from.len())
            }
        }
    }

    fn fill(&self, value: f64, to: &mut Tensor) -> Result<()> {
        self.call(Source::Elementwise, "fill", to.dtype()).tensor(to).real(value).over(to.len())
    }

    fn synchronize(&self) -> Result<()> {
        self.pool().device.synchronize()
    }
}
